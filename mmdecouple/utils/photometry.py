"""Photometric operations as numbers, for draws that the loader makes and the device applies.

An operation is a pair (index in `OPERATIONS`, amount). The operations of a view are float64 `(S, 2)` in their order,
filled up with `none`. Amounts: the factor of `brightness`, `contrast` and `saturation`; for `hue` the shift as a
fraction of the circle; for `blur` the standard deviation in pixels; for `solarize` the smallest value that is inverted;
0 for the others.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

OPERATIONS = ('none', 'brightness', 'contrast', 'saturation', 'hue', 'gray', 'blur', 'solarize')
Operation = tuple[str, float]
_INDEX = {name: index for index, name in enumerate(OPERATIONS)}


def encode_operations(views: Sequence[Sequence[Operation]]) -> Tensor:
    """Returns the operations of V views, (name, amount) in their order, as float64 `(V, S, 2)`."""
    longest = max(map(len, views), default=0)
    numbers = [
        [(_INDEX[name], amount) for name, amount in operations] + [(0, 0)] * (longest - len(operations))
        for operations in views
    ]
    return torch.from_numpy(np.array(numbers, dtype=np.float64).reshape(len(views), longest, 2))
