"""The order of an epoch is a shuffle that is a function of size, seed and epoch alone, with a table or without."""

import math
import pickle
import tracemalloc
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmdecouple.datasets import EpochSampler
from mmdecouple.datasets.epoch_order import LARGEST_TABLE, EpochOrder, KeyedPermutation, order_rule
from mmdecouple.datasets.seeding import derive_seeds

LARGE = LARGEST_TABLE + 1
KEYS = st.lists(st.integers(0, 2**32 - 1), min_size=16, max_size=16)


def keyed(size, epoch=0):
    return KeyedPermutation(size, derive_seeds(7, epoch, stream='order', count=16)).at(np.arange(size))


def sampler_of(size, rank=0, processes=1, **options):
    with mock.patch('mmdecouple.datasets.sampler.get_dist_info', return_value=(rank, processes)):
        return EpochSampler(range(size), seed=7, **options)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20_000), KEYS)
def test_every_position_of_any_size_has_an_index_of_its_own(size, keys):
    assert np.array_equal(np.sort(KeyedPermutation(size, keys).at(np.arange(size))), np.arange(size))


@settings(max_examples=100, deadline=None)
@given(st.integers(2**21, 2**62), KEYS, st.data())
def test_an_index_depends_neither_on_its_neighbours_nor_on_their_number(size, keys, data):
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=20, unique=True))
    permutation = KeyedPermutation(size, keys)
    together = permutation.at(np.array(positions)).tolist()
    assert together == [permutation.at(np.array([position]))[0] for position in positions]
    assert len(set(together)) == len(positions) and min(together) >= 0 and max(together) < size


def test_one_round_of_the_permutation_is_the_formula_in_whole_numbers():
    size, key = 1000, (5 << 32) | 9
    lefts = math.isqrt(size - 1) + 1
    rights = math.ceil(size / lefts)

    def mixed(value):
        value = ((value + 1) * 0x9E3779B97F4A7C15 ^ key) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    def permuted(value):
        left, right = divmod(value, rights)
        value = (left + mixed(right)) % lefts * rights + right
        return value if value < size else permuted(value)

    assert KeyedPermutation(size, [5, 9]).at(np.arange(size)).tolist() == [permuted(value) for value in range(size)]


@pytest.mark.parametrize('size', [997, 20_011])
def test_positions_neighbours_and_epochs_are_as_independent_as_those_of_numpy(size):
    """Chi-square of position against index, distances of neighbours, and fixed points, each over 20 epochs."""
    cells = 8
    orders = [keyed(size, epoch) for epoch in range(20)]
    reference = [np.random.default_rng(epoch).permutation(size) for epoch in range(20)]
    places = np.arange(size) * cells // size
    counts = sum(np.histogram2d(places, order * cells // size, cells)[0] for order in orders)
    expected = np.outer(*[np.bincount(places)] * 2) * 20 / size
    assert stats.chisquare(counts.ravel(), expected.ravel(), ddof=2 * cells - 2).pvalue > 1e-3
    steps = [np.concatenate([np.diff(order) for order in some]) for some in (orders, reference)]
    assert stats.ks_2samp(*steps).pvalue > 1e-3
    assert abs(np.mean([np.corrcoef(order[:-1], order[1:])[0, 1] for order in orders])) < 4 / math.sqrt(20 * size)
    assert sum((order == np.arange(size)).sum() for order in orders) < 50
    equal = [(one == other).sum() for one, other in pairwise(orders)]
    assert max(equal) < 12 and np.mean(equal) < 3


@pytest.mark.parametrize('size', [50, LARGE])
def test_the_order_is_a_function_of_size_seed_and_epoch(size):
    positions = np.arange(min(size, 1000))
    first = EpochOrder(size, 7, 3).at(positions)
    torch.rand(3), np.random.rand(3)
    assert np.array_equal(EpochOrder(size, 7, 3).at(positions), first)
    for seed, epoch in ((7, 4), (8, 3)):
        assert not np.array_equal(EpochOrder(size, seed, epoch).at(positions), first)


def test_up_to_a_million_samples_the_order_is_that_of_torch():
    generator = torch.Generator()
    generator.manual_seed(derive_seeds(7, 3, stream='order')[0])
    sampler = sampler_of(10_000)
    sampler.set_epoch(3)
    assert [index for _, index in sampler] == torch.randperm(10_000, generator=generator).tolist()


def test_the_rule_of_the_order_is_named():
    assert [order_rule(size, True) for size in (1, LARGEST_TABLE, LARGE)] == ['randperm', 'randperm', 'feistel-1']
    assert sampler_of(LARGE).rule == 'feistel-1' and sampler_of(LARGE, shuffle=False).rule == 'list'


@pytest.mark.parametrize('size, round_up', [(LARGE, True), (10, True), (10, False), (3, True)])
def test_the_keys_of_all_ranks_are_those_of_one_dealt_out(size, round_up):
    """Also if they start inside the epoch: what a resume with another number of processes relies on."""
    processes, start, taken = 4, 2, 5000
    whole = [index for (_, index), _ in zip(sampler_of(size), range(processes * (start + taken)))]
    if round_up:
        whole = (whole * processes)[: math.ceil(size / processes) * processes]
    for rank in range(processes):
        sampler = sampler_of(size, rank, processes, round_up=round_up)
        sampler.skip(start)
        found = [index for (_, index), _ in zip(sampler, range(taken))]
        assert found == whole[rank::processes][start : start + taken]


def test_a_hundred_million_samples_take_no_memory_and_start_anywhere():
    sampler = pickle.loads(pickle.dumps(sampler_of(10**8)))
    sampler.skip(10**8 - 5000)
    tracemalloc.start()
    try:
        keys = list(iter(sampler))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert len(keys) == len(set(keys)) == 5000
