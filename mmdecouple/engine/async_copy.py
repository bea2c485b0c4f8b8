"""Asynchronous copies of device tensors to the host."""

import torch
from torch import Tensor


class AsyncCopy:
    """Copies a tensor to the host while the device continues to compute.

    Args:
        tensor: Tensor of any shape and device; it is copied on the current stream.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._copy = tensor.detach().to('cpu', non_blocking=True)
        self._arrived = None
        if tensor.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> Tensor:
        """Returns the values on the host, after waiting for the copy."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy
