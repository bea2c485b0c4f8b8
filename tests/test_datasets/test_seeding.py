import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmdecouple.datasets import EpochSampler, SeededDataset, sample_rng
from mmdecouple.datasets.seeding import derive_seeds
from mmdecouple.engine import PretrainRunner


class Draws(SeededDataset):
    """Items that are nothing but draws of the three global generators."""

    def load(self, index):
        return dict(index=index)

    def __len__(self):
        return 10


def draw(results):
    return results['index'], random.random(), float(np.random.rand()), float(torch.rand(()))


def epochs_of_draws(workers, persistent=False, epochs=3):
    dataset = Draws([draw], seed=7)
    sampler = EpochSampler(dataset, seed=7)
    loader = DataLoader(
        dataset, sampler=sampler, batch_size=3, num_workers=workers, persistent_workers=persistent, collate_fn=list
    )
    drawn = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn.append([item for batch in loader for item in batch])
    return drawn


def test_draws_are_the_same_whatever_the_number_of_workers():
    reference = epochs_of_draws(0)
    assert epochs_of_draws(1) == reference
    assert epochs_of_draws(2) == reference
    assert epochs_of_draws(2, persistent=True) == reference


def test_draws_of_one_sample_differ_in_every_epoch():
    by_sample = zip(*(sorted(epoch) for epoch in epochs_of_draws(0)))
    for draws in by_sample:
        for generator in (1, 2, 3):
            assert len({values[generator] for values in draws}) == 3


def test_the_generators_outside_do_not_notice():
    def states():
        return str((random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()))

    before = states()
    with pytest.raises(KeyError), sample_rng(1, 2, 3):
        random.random(), np.random.rand(), torch.rand(2)
        raise KeyError
    assert states() == before


def test_streams_and_keys_give_different_seeds():
    keys = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 1, 3)]
    seeds = [
        tuple(derive_seeds(*key, stream=stream, count=3)) for key in keys for stream in ('sample', 'order', 'iteration')
    ]
    assert len({seed for triple in seeds for seed in triple}) == 36


def test_the_runner_gives_its_seed_to_data_sets_that_have_none():
    def loader(seed):
        return PretrainRunner.build_dataloader(
            dict(dataset=Draws([draw], seed=seed), sampler=dict(type='mmdecouple.EpochSampler'), batch_size=2), seed=41
        )

    assert loader(None).dataset.seed == loader(None).sampler.seed == 41
    assert loader(3).dataset.seed == 3


def test_a_negative_seed_is_named():
    with pytest.raises(ValueError, match='seed must be a whole number or None of at least 0, got -1'):
        Draws([draw], seed=-1)
