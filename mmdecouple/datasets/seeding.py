"""Random draws that depend on a key only."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STREAMS = ('sample', 'order', 'iteration')


def derive_seeds(*key: int, stream: str, count: int = 1) -> list[int]:
    """Derives independent 32-bit seeds from a key.

    Args:
        *key: Non-negative integers that identify the draw, such as (run seed, epoch, index).
        stream: Kind of draw, one of `STREAMS`; the same key gives different seeds in different streams.
        count: Number of seeds, one per generator.

    Returns:
        `count` integers in [0, 2**32).
    """
    sequence = np.random.SeedSequence(key, spawn_key=(STREAMS.index(stream),))
    return [int(seed) for seed in sequence.generate_state(count)]


def seed_global_generators(*key: int, stream: str) -> None:
    """Seeds the global generators of Python, numpy and torch (CPU) from a key; arguments as for `derive_seeds`."""
    for_python, for_numpy, for_torch = derive_seeds(*key, stream=stream, count=3)
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.default_generator.manual_seed(for_torch)


@contextmanager
def sample_rng(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Context manager that seeds the global generators of Python, numpy and torch (CPU), and restores them afterwards.

    Draws inside the context depend only on the three arguments, not on the worker or on earlier draws.

    Args:
        seed: Seed of the run, at least 0.
        epoch: Epoch of the draw, at least 0.
        index: Index of the sample, at least 0.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    seed_global_generators(seed, epoch, index, stream='sample')
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
