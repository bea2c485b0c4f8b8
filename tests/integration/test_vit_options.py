"""Every way to train that the README names, tried on the tiny ViT methods through the runner."""

import functools

import pytest
import torch
from torch._dynamo.utils import counters

from mmdecouple.engine import PretrainRunner
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.utils.configs import load_config
from tests.integration.runs import write_case

SHORT = {'train_dataloader.batch_size': 12, 'train_cfg.max_epochs': 1, 'param_scheduler': None, 'randomness.seed': 5}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Gives the losses and the student's last weights of a method's run of two iterations an epoch, with options."""
    case = write_case(tmp_path_factory.mktemp('options'))

    @functools.cache
    def of(method, **options):
        name = '_'.join([method, *options])
        config = load_config(str(case / f'{method}.py'))
        config.merge_from_dict(SHORT | {key.replace('__', '.'): value for key, value in options.items()})
        config.work_dir, config.experiment_name = str(case / name), f'{case.name}_{name}'
        runner = PretrainRunner.from_cfg(config)
        runner.train()
        model = bare_model(runner)
        weights = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
        return runner.message_hub.get_scalar('train/loss').data[0].tolist(), weights

    return of


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


both = pytest.mark.parametrize('method', ['ibot-d', 'maskalign-d', 'unirefiner-d'])


@both
def test_recomputed_activations_change_nothing(trained, method):
    losses, weights = trained(method)
    recomputed_losses, recomputed = trained(method, model__backbone__with_cp=True)
    assert recomputed_losses == losses and same(recomputed, weights)


@both
def test_bf16_loses_the_same_within_its_rounding(trained, method):
    losses, _ = trained(method)
    rounded, _ = trained(method, optim_wrapper__precision='bf16')
    # The softmax of temperature 0.04 multiplies the rounding of logits by 25.
    assert rounded != losses and rounded == pytest.approx(losses, rel=0.1)


@pytest.mark.parametrize('method', ['ibot-d', 'maskalign-d'])
def test_accumulated_gradients_wait_for_the_second_iteration(trained, method):
    still_losses, still = trained(method, optim_wrapper__optimizer__lr=0.0)
    losses, weights = trained(method, optim_wrapper__accumulative_counts=2)
    assert losses == still_losses != trained(method)[0]
    assert not same(weights, still) and not same(weights, trained(method)[1])


@both
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiled_step_loses_the_same_and_its_network_is_one_graph(trained, method):
    expected, _ = trained(method, train_cfg__max_epochs=2)
    counters.clear()
    compiled, _ = trained(method, train_cfg__max_epochs=2, compile__backend='aot_eager')
    assert len(expected) == 4 and compiled == pytest.approx(expected, rel=1e-4)
    assert not any('branching' in reason for reason in counters['graph_break'])
