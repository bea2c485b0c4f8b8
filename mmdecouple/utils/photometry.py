"""Photometric operations as numbers, for draws that the loader makes and the device applies.

An operation is a pair (index in `OPERATIONS`, amount). The operations of a view are float64 `(S, 2)` in their order,
filled up with `none`. Amounts: the factor of `brightness`, `contrast` and `saturation`; for `hue` the shift as a
fraction of the circle; for `blur` the standard deviation in pixels; for `solarize` the smallest value that is inverted;
0 for the others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

OPERATIONS = ('none', 'brightness', 'contrast', 'saturation', 'hue', 'gray', 'blur', 'solarize')
Operation = tuple[str, float]


def encode_operations(views: Sequence[Sequence[Operation]]) -> Tensor:
    """Returns the operations of V views, (name, amount) in their order, as float64 `(V, S, 2)`."""
    longest = max(map(len, views), default=0)
    numbers = torch.zeros(len(views), longest, 2, dtype=torch.float64)
    for row, operations in zip(numbers, views):
        for place, (name, amount) in enumerate(operations):
            row[place] = torch.tensor([OPERATIONS.index(name), amount], dtype=torch.float64)
    return numbers
