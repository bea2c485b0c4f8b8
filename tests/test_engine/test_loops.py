import pytest
import torch

from mmdecouple.engine import PretrainRunner

from .toy import Toy, make_runner


def test_a_checkpoint_that_does_not_fit_the_epoch_length_is_named(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=3, by_epoch=False, save_last=False)
    make_runner(tmp_path, Toy(), [], checkpoint=checkpoint).train()
    fewer = [dict(inputs=value) for value in torch.ones(4, 2)]
    runner = make_runner(tmp_path, Toy(), [], resume=True, dataset=fewer)
    with pytest.raises(ValueError, match='an epoch has 2 iterations now'):
        runner.train()


def test_a_sampler_that_cannot_skip_is_named(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=3, by_epoch=False, save_last=False)
    make_runner(tmp_path, Toy(), [], checkpoint=checkpoint).train()
    with pytest.raises(ValueError, match='EpochSampler'):
        make_runner(tmp_path, Toy(), [], resume=True).train()


def test_seeds_that_differ_by_rank_are_refused(tmp_path):
    with pytest.raises(ValueError, match='diff_rank_seed'):
        PretrainRunner(Toy(), str(tmp_path), randomness=dict(seed=1, diff_rank_seed=True))
