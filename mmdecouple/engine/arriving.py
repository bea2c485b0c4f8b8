"""Numbers of the device that the host reads later, when it need not wait for them."""

import torch
from torch import Tensor


class Arriving:
    """A tensor on its way to the host, while the device goes on.

    Args:
        tensor: Of any device; it is copied on the current stream.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._copy = tensor.detach().to('cpu', non_blocking=True)
        self._arrived = None
        if tensor.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> Tensor:
        """The values on the host; waits until they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy
