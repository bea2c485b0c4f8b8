from unittest import mock

import pytest

from mmdecouple.datasets import EpochSampler


def keys(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_sample_comes_once_in_an_order_of_its_own_each_epoch():
    sampler = EpochSampler(range(50), seed=1)
    first, second = keys(sampler, 0), keys(sampler, 1)
    assert sorted(index for _, index in first) == list(range(50))
    assert {epoch for epoch, _ in second} == {1}
    assert [index for _, index in first] != [index for _, index in second]
    assert keys(EpochSampler(range(50), seed=1), 1) == second


def test_skipping_leaves_out_the_first_keys_of_one_epoch_only():
    sampler = EpochSampler(range(50), seed=1)
    whole = keys(sampler, 3)
    sampler.skip(12)
    assert keys(sampler, 3) == whole[12:]
    assert keys(sampler, 3) == whole
    assert len(sampler) == 50


@pytest.mark.parametrize('round_up, lengths', [(True, [4, 4, 4]), (False, [4, 3, 3])])
def test_the_ranks_share_the_samples(round_up, lengths):
    shares = []
    for rank in range(3):
        with mock.patch('mmdecouple.datasets.sampler.get_dist_info', return_value=(rank, 3)):
            sampler = EpochSampler(range(10), seed=1, round_up=round_up)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert [len(share) for share in shares] == lengths
    assert {index for share in shares for _, index in share} == set(range(10))


def test_an_empty_data_set_is_named():
    with pytest.raises(ValueError, match='has no samples'):
        EpochSampler([])
