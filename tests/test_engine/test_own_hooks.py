import logging
import os
import signal

import pytest
from mmengine.hooks import CheckpointHook, Hook

from mmdecouple.engine import DurableCheckpointHook, FiniteLossHook, GracefulStopHook, NonFiniteLoss, SeedHook
from mmdecouple.engine.own_hooks import OWN, own_hooks, unsaved
from mmdecouple.registry import HOOKS
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError
from tests.test_engine.toy import Toy, make_runner

NAMES = [kind.__name__ for kind in OWN]


@HOOKS.register_module()
class PatientLossHook(FiniteLossHook):
    """A user's own kind of a hook that every run has."""


def names(runner):
    return [type(hook).__name__ for hook in runner.hooks]


@pytest.mark.parametrize(
    'custom',
    [
        None,
        [],
        [dict(type='EMAHook')],
        # What a config looks like that was written when the shipped one listed them.
        [dict(type=name) for name in NAMES] + [dict(type='EMAHook')],
    ],
)
def test_custom_hooks_only_add(tmp_path, custom):
    runner = make_runner(tmp_path, Toy(), custom)
    found = names(runner)
    assert [found.count(name) for name in NAMES] == [1] * len(NAMES)
    assert found.count('EMAHook') == int(bool(custom))
    order = [name for name in found if name in ('DryRunHook', 'QuarantineHook', 'RemarksHook')]
    assert order == ['DryRunHook', 'QuarantineHook', 'RemarksHook']
    assert found.index('FiniteLossHook') == 0 and found[-1] == 'GracefulStopHook'


def test_a_hook_that_every_run_has_is_set_up_by_naming_it(tmp_path):
    hooks = [
        dict(type='GracefulStopHook', interval=3),
        dict(type='mmdecouple.GracefulStopHook', interval=7),
        dict(type='PatientLossHook'),
    ]
    runner = make_runner(tmp_path, Toy(), hooks)
    stops = [hook for hook in runner.hooks if isinstance(hook, GracefulStopHook)]
    assert [hook.interval for hook in stops] == [7]
    assert names(runner).count('PatientLossHook') == 1 and 'FiniteLossHook' not in names(runner)


def test_a_config_that_replaces_the_list_keeps_the_teacher_and_the_check(tmp_path):
    model = Toy(bad_at=(3,))
    with pytest.raises(NonFiniteLoss):
        make_runner(tmp_path, model, [dict(type='EMAHook')]).train()
    assert model.updates == [(0, 4), (1, 4), (2, 4)] and len(model.data_preprocessor.steps) == 4


def test_the_shipped_configs_list_none_of_them_and_can_be_added_to(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(
        "_base_ = 'mmdecouple::_base_/default_runtime.py'\n"
        "custom_hooks = _base_.custom_hooks + [dict(type='EMAHook')]\n"
    )
    assert load_config(str(path)).custom_hooks == [dict(type='EMAHook')]


def test_mmengines_checkpoint_hook_becomes_the_durable_one():
    given = dict(type='CheckpointHook', interval=4, max_keep_ckpts=2)
    for kind in ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook):
        defaults, _ = own_hooks(dict(checkpoint=dict(given, type=kind)), None)
        assert defaults['checkpoint'] == dict(given, type='DurableCheckpointHook')
    defaults, _ = own_hooks(None, None)
    assert HOOKS.build(defaults['checkpoint']).interval == 1


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.mark.parametrize(
    'checkpoint, said',
    [
        (None, 'this run saves nothing'),
        (dict(type='DurableCheckpointHook', interval=-1, save_last=False), 'this run saves nothing'),
        (dict(type='DurableCheckpointHook', interval=-1), 'only its last checkpoint'),
        (dict(type='DurableCheckpointHook', interval=1, save_optimizer=False), '--resume cannot continue'),
        (CheckpointHook(interval=1), 'if the run is killed while it saves'),
        (DurableCheckpointHook(interval=1), None),
    ],
)
def test_a_run_that_keeps_less_than_it_seems_says_so(tmp_path, checkpoint, said):
    runner = make_runner(tmp_path, Toy(), [])
    lines = Lines()
    runner.logger.addHandler(lines)
    runner._hooks.clear()
    runner.register_hooks(dict(checkpoint=checkpoint))
    found = [line for line in lines.lines if line.startswith('default_hooks.checkpoint')]
    assert len(found) == int(said is not None) and all(said in line for line in found)


@pytest.mark.parametrize(
    'options, batches, apart',
    [
        (dict(interval=2), 5, 10),
        (dict(interval=3), 5, None),
        (dict(interval=1), 6, None),
        (dict(interval=4, by_epoch=False), 6, 4),
        (dict(interval=6, by_epoch=False), 5, None),
        (dict(interval=-1), 5, None),
    ],
)
def test_checkpoints_inside_an_accumulation_are_announced(options, batches, apart):
    found = list(unsaved(dict(options, type='DurableCheckpointHook'), dict(accumulative_counts=3, batches=batches)))
    found = [line for line in found if 'inside an accumulation of 3' in line]
    assert len(found) == int(apart is not None) and all(f'every {apart} iterations' in line for line in found)


def test_a_schedule_that_nothing_would_follow_is_refused():
    with pytest.raises(ValueError, match='default_hooks.param_scheduler must not be None'):
        own_hooks(dict(param_scheduler=None), None)


def test_a_loop_of_iterations_and_mmengines_epochs_stop_at_a_signal_too(tmp_path):

    @HOOKS.register_module(force=True)
    class SecondStepHook(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    for name, loop in dict(
        iterations=dict(type='IterBasedTrainLoop', max_iters=9), epochs=dict(type='EpochBasedTrainLoop', max_epochs=9)
    ).items():
        model = Toy()
        runner = make_runner(tmp_path / name, model, [dict(type='SecondStepHook'), dict(type='SeedHook')])
        runner._train_loop = loop
        with pytest.raises(SystemExit):
            runner.train()
        assert model.calls == 2 and (tmp_path / name / 'interrupted.pth').exists()
        assert sum(isinstance(hook, SeedHook) for hook in runner.hooks) == 1


def test_the_checkpoint_hook_refuses_an_argument_that_saving_does_not_take():
    with pytest.raises(UserError, match=r'default_hooks\.checkpoint\.keep_max'):
        HOOKS.build(dict(type='DurableCheckpointHook', interval=1, keep_max=3))
