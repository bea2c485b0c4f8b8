"""Inference: evaluation mode and full float32, without changing random generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import nn


def exact_float32() -> None:
    """Enables full float32 for the rest of the process, for threads, which must not change the mode of each other."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision('highest')


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context of evaluation mode in full float32, which restores modes, precision and random generators afterwards.

    By default, a GPU runs convolutions in TF32 with three digits, which other devices do not reproduce.

    Args:
        model: Module whose mode is changed.
    """
    modes = {module: module.training for module in model.modules()}
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    precision = torch.get_float32_matmul_precision()
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        torch.set_float32_matmul_precision('highest')
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            torch.set_float32_matmul_precision(precision)
            random.setstate(python)
            np.random.set_state(numpy)


@torch.no_grad()
def try_size(model: nn.Module, height: int, width: int) -> None:
    """Shows a black image to a network, so that one of a fixed size is refused before anything is measured.

    Args:
        model: Network with `data_preprocessor` and `dense_features`.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        UserError: The network does not support images of this size.
    """
    black = dict(inputs=[torch.zeros(3, height, width, dtype=torch.uint8)], data_samples=[BaseDataElement()])
    with evaluating(model):
        model.dense_features(torch.stack(list(model.data_preprocessor(black)['inputs'])))
