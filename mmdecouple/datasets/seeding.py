"""Random draws that depend on a key and on nothing else."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STREAMS = ('sample', 'order', 'iteration')


def derive_seeds(*key: int, stream: str, count: int = 1) -> list[int]:
    """Independent 32-bit seeds for a key of non-negative integers.

    Args:
        key: Words that name the draw, such as (run seed, epoch, index).
        stream: Which kind of draw asks, one of ``STREAMS``: equal keys of two streams differ.
        count: How many seeds to derive, one for each generator that needs its own.

    Returns:
        ``count`` integers in [0, 2**32).
    """
    sequence = np.random.SeedSequence(key, spawn_key=(STREAMS.index(stream),))
    return [int(word) for word in sequence.generate_state(count)]


def seed_global_generators(*key: int, stream: str) -> None:
    """Seeds Python's, numpy's and torch's (CPU) global generators from a key."""
    for_python, for_numpy, for_torch = derive_seeds(*key, stream=stream, count=3)
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.default_generator.manual_seed(for_torch)


@contextmanager
def sample_rng(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Seeds Python's, numpy's and torch's (CPU) global generators inside, restores them outside.

    Whatever is drawn inside depends only on the three arguments: not on the worker that draws it,
    nor on what was drawn before.

    Args:
        seed: Seed of the run, >= 0.
        epoch: Epoch of the draw, >= 0.
        index: Index of the sample, >= 0.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    seed_global_generators(seed, epoch, index, stream='sample')
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
