"""Running a network without training it: evaluation mode, full float32, untouched generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


def exact_float32() -> None:
    """Full float32 for the rest of the process: for threads, which must not switch it under each other."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision('highest')


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode in full float32; afterwards all modules' modes, precision and random generators as before.

    A GPU would run convolutions in TF32, three digits, which no other machine repeats.
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
