"""A gradient that is not finite reaches no weight, no state of an optimizer and no checkpoint."""

import copy
import json

import pytest
import torch
from mmengine.structures import BaseDataElement
from torch import nn

from mmdecouple.engine import (
    CollapsedScale,
    NonFiniteGradient,
    NonFiniteLoss,
    PrecisionOptimWrapper,
    SoCoLARS,
    gradients,
)
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.finite import first_nonfinite

from .test_hooks import TellHook  # noqa: F401
from .toy import Toy, make_runner

CLIPPINGS = [None, dict(max_norm=1.0), dict(type='value', clip_value=1.0), dict(type='tensor', max_norm=1.0)]
IMAGES = [
    dict(inputs=torch.ones(2) * index, data_samples=BaseDataElement(metainfo=dict(img_path=f'{index}.jpg')))
    for index in range(8)
]


class Rough(Toy):
    """A toy whose gradient goes wrong in some calls while its loss is finite, and which notes its weights."""

    def __init__(self, bad_at=(), factor=float('nan')):
        super().__init__()
        self.other = nn.Parameter(torch.ones(3, 2))
        self.rough_at, self.seen = bad_at, []
        self.register_buffer('factor', torch.tensor(factor), persistent=False)
        self.other.register_hook(lambda g: g * self.factor if self.calls - 1 in self.rough_at else g)

    def forward(self, inputs, data_samples=None, mode='loss'):
        self.seen.append({name: value.clone() for name, value in self.state_dict().items()})
        losses = super().forward(inputs, mode)
        return dict(losses, loss_other=(self.other * inputs.float()[:1]).square().mean())


def runner_of(work_dir, model, hooks=(), wrapper='PrecisionOptimWrapper', optimizer=None, **options):
    from mmengine.dataset import default_collate

    wrapper = dict(
        type=wrapper,
        clip_grad=options.pop('clip_grad', None),
        accumulative_counts=options.pop('accumulate', 1),
        **({'precision': options.pop('precision', 'fp32')} if wrapper == 'PrecisionOptimWrapper' else {}),
    )
    runner = make_runner(work_dir, model, [dict(type='FiniteLossHook'), dict(type='TeacherHook'), *hooks], **options)
    runner._train_dataloader = torch.utils.data.DataLoader(IMAGES, batch_size=2, collate_fn=default_collate)
    runner.optim_wrapper = dict(wrapper, optimizer=optimizer or dict(type='AdamW', lr=0.1))
    return runner


def assert_stopped_untouched(model, runner, at):
    """Weights are those at the start of iteration `at`, nothing was saved, and the teacher did not follow."""
    assert all(torch.equal(value, model.seen[at][name]) for name, value in model.state_dict().items())
    assert first_nonfinite(runner.optim_wrapper.optimizer.state_dict()) is None
    assert all(iteration < at for iteration, _ in model.updates)


@pytest.mark.parametrize('clip_grad', CLIPPINGS, ids=['free', 'norm', 'value', 'tensor'])
@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize('factor', [float('nan'), float('inf'), 1e30], ids=['nan', 'inf', 'overflow'])
def test_a_bad_gradient_with_a_finite_loss_reaches_no_weight(tmp_path, clip_grad, precision, factor):
    model = Rough({2}, factor)
    runner = runner_of(tmp_path, model, clip_grad=clip_grad, precision=precision)
    with pytest.raises(
        NonFiniteGradient, match='gradient of other not finite at epoch 0, iteration 2, rank 0; no weig'
    ) as error:
        runner.train()
    assert_stopped_untouched(model, runner, 2)
    capture = json.loads((tmp_path / 'nonfinite_gradient_rank0.json').read_text())
    assert capture['images'] == ['4.jpg', '5.jpg'] and capture['parameters'] == ['other']
    assert 0 < float(capture['terms']['loss']) < 1e3
    assert len(str(error.value).replace(str(tmp_path), 'work_dirs/densecl')) <= 250


@pytest.mark.parametrize('bad, step', [(0, 2), (1, 2), (6, 7), (7, 7)])
def test_a_bad_gradient_that_accumulates_reaches_no_weight_either(tmp_path, bad, step):
    model = Rough({bad})
    runner = runner_of(tmp_path, model, accumulate=3, epochs=2)
    with pytest.raises(NonFiniteGradient, match=f'iteration {step},'):
        runner.train()
    assert_stopped_untouched(model, runner, step)
    images = json.loads((tmp_path / 'nonfinite_gradient_rank0.json').read_text())['images']
    assert {f'{2 * (bad % 4)}.jpg', f'{2 * (step % 4)}.jpg'} <= set(images) and len(images) in (4, 6)


@pytest.mark.parametrize('wrapper', ['PrecisionOptimWrapper', 'OptimWrapper'])
def test_the_last_step_is_checked_too_and_nothing_of_it_is_saved(tmp_path, wrapper):
    model = Rough({3})
    with pytest.raises(NonFiniteGradient, match='iteration 3, .*no good checkpoint yet'):
        runner_of(tmp_path, model, wrapper=wrapper, checkpoint=dict(type='DurableCheckpointHook', interval=1)).train()
    assert list(tmp_path.glob('*.pth')) == []


def test_a_bad_loss_is_reported_as_the_cause_of_its_gradients(tmp_path):
    model = Rough()
    model.bad_at = {1}
    with pytest.raises(NonFiniteLoss, match='loss_main and 1 more not finite at epoch 0, iteration 1'):
        runner_of(tmp_path, model).train()


def test_good_gradients_train_to_the_bit_as_without_a_check(tmp_path, monkeypatch):
    first, second = Rough(), Rough()
    runner_of(tmp_path / 'checked', first, precision='bf16', clip_grad=dict(max_norm=0.1)).train()
    monkeypatch.setattr(gradients.GradientWatch, 'check', lambda *_: None)
    runner_of(tmp_path / 'free', second, precision='bf16', clip_grad=dict(max_norm=0.1)).train()
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize(
    'optimizer',
    [
        dict(type='AdamW', lr=0.1, fused=True),
        dict(type='SoCoLARS', lr=0.1),
        dict(type='SGD', lr=0.1, momentum=0.9, fused=True),
    ],
    ids=lambda cfg: cfg['type'],
)
@pytest.mark.parametrize('bad, saves', [(2, 2), (3, 100)], ids=['settled by the next step', 'settled at the end'])
def test_the_device_leaves_the_step_out_and_the_run_ends_at_the_next_look(tmp_path, monkeypatch, optimizer, bad, saves):
    monkeypatch.setattr(gradients, '_on_host', lambda tensor: False)
    model = Rough({bad})
    runner = runner_of(
        tmp_path,
        model,
        optimizer=optimizer,
        checkpoint=dict(type='DurableCheckpointHook', interval=saves, by_epoch=False, save_last=False),
    )
    with pytest.raises(NonFiniteGradient, match=f'gradient of other not finite at epoch 0, iteration {bad},'):
        runner.train()
    assert len(model.seen) == 4
    assert all(torch.equal(value, model.seen[bad][name]) for name, value in model.state_dict().items())
    assert first_nonfinite(runner.optim_wrapper.optimizer.state_dict()) is None
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_2.pth'][: saves == 2]


def test_a_checkpoint_settles_the_step_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gradients, '_on_host', lambda tensor: False)
    model = Rough({1})
    with pytest.raises(NonFiniteGradient, match='iteration 1,'):
        runner_of(
            tmp_path,
            model,
            optimizer=dict(type='SGD', lr=0.1, fused=True),
            checkpoint=dict(type='DurableCheckpointHook', interval=2, by_epoch=False),
        ).train()
    assert len(model.seen) == 2 and list(tmp_path.glob('*.pth')) == []


def test_lars_with_good_gradients_is_the_same_with_the_flag_of_the_device():
    def weights(found):
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(shape)) for shape in [(4, 3), (5,)]]
        optimizer = SoCoLARS(parameters, lr=0.3)
        if found is not None:
            optimizer.found_inf = torch.tensor(found)
        for _ in range(3):
            for p in parameters:
                p.grad = torch.randn_like(p)
            optimizer.step()
        return parameters

    assert all(torch.equal(*pair) for pair in zip(weights(None), weights(0.0)))
    skipped = weights(1.0)
    torch.manual_seed(0)
    assert all(torch.equal(p, torch.randn(p.shape)) for p in skipped)


def test_a_checkpoint_brings_no_kernels_of_another_machine():
    def wrapper(**options):
        model = nn.Linear(2, 2)
        model(torch.ones(1, 2)).sum().backward()
        return PrecisionOptimWrapper('fp32', optimizer=torch.optim.AdamW(model.parameters(), 0.1, **options))

    there, here = wrapper(fused=True), wrapper()
    there.step()
    stored = copy.deepcopy(there.state_dict())
    here.load_state_dict(stored)
    assert here.optimizer.param_groups[0]['fused'] is None and here.optimizer.state_dict()['state'][0]['step'] == 1
    assert stored['param_groups'][0]['fused'] is True


@pytest.mark.parametrize('name', ['other', 'factor_ema'])
def test_a_checkpoint_with_a_tensor_that_is_not_finite_is_never_written(tmp_path, name):
    model = Rough()
    model.register_buffer('factor_ema', torch.zeros(2))

    def poison(runner, _):
        if runner.iter == 2:
            model.state_dict()[name].fill_(float('inf'))

    checkpoint = dict(type='DurableCheckpointHook', interval=1, by_epoch=False)
    with pytest.raises(
        UserError,
        match=f'state_dict.{name} is not finite after iteration 3; iter_3.pth was not '
        'written. Last good checkpoint: .*iter_2.pth',
    ):
        runner_of(tmp_path, model, [dict(type='TellHook', call=poison, priority='HIGH')], checkpoint=checkpoint).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']


def test_a_weight_that_was_bad_before_the_step_is_said_to_be(tmp_path):
    model = Rough()

    def poison(runner, _):
        if runner.iter == 2:
            model.other.data[0, 0] = float('nan')

    checkpoint = dict(type='DurableCheckpointHook', interval=2, by_epoch=False)
    with pytest.raises(NonFiniteLoss) as error:
        runner_of(tmp_path, model, [dict(type='TellHook', call=poison)], checkpoint=checkpoint).train()
    assert 'weight other was already not finite' in str(error.value) and 'no weight was' not in str(error.value)
    assert 'resume' in str(error.value) and 'iter_2.pth' in str(error.value)


def test_a_poisoned_checkpoint_is_not_resumed(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=1)
    runner_of(tmp_path, Rough(), checkpoint=checkpoint).train()
    stored = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    stored['optimizer']['state'][0]['exp_avg'][0] = float('nan')
    torch.save(stored, tmp_path / 'epoch_1.pth')
    with pytest.raises(UserError, match='epoch_1.pth.*exp_avg.* holds NaN'):
        runner_of(
            tmp_path, Rough(), checkpoint=checkpoint, epochs=2, resume=True, load_from=str(tmp_path / 'epoch_1.pth')
        ).train()


def test_steps_that_fp16_leaves_out_are_counted_and_the_teacher_waits(tmp_path):
    model = Rough({0, 2}, float('inf'))
    runner = runner_of(tmp_path, model, precision='fp16', optimizer=dict(type='SoCoLARS', lr=0.1))
    runner.train()
    assert runner.optim_wrapper.skipped == 2
    assert runner.message_hub.get_scalar('train/fp16_skips').current() == 2
    assert [iteration for iteration, _ in model.updates] == [1, 3]
    assert first_nonfinite(model.state_dict()) is None


def test_a_collapsed_scale_of_fp16_ends_the_run(tmp_path):
    model = Rough(range(100))
    runner = runner_of(tmp_path, model, precision='fp16', epochs=6)
    with pytest.raises(CollapsedScale, match='17 consecutive steps skipped, loss scale 0.5 at epoch 4') as e:
        runner.train()
    assert_stopped_untouched(model, runner, 0)
    capture = json.loads((tmp_path / 'collapsed_scale_rank0.json').read_text())
    assert capture['skips'] == 17 and capture['scale'] == 0.5 and len(capture['images']) == 34
    assert len(str(e.value).replace(str(tmp_path), 'work_dirs/densecl')) <= 250


@pytest.mark.parametrize(
    'state, name',
    [
        ({'a': torch.ones(2), 'b': [torch.ones(2), (torch.tensor([1.0, float('inf')]),)]}, 'b.1.0'),
        ({'a': {'c': torch.tensor(float('nan'), dtype=torch.bfloat16)}}, 'a.c'),
        (
            {'a': torch.full((3,), 3e38), 'b': torch.tensor([2**62]), 'c': torch.ones(0), 'd': float('nan'), 'e': None},
            None,
        ),
        ({'a': torch.tensor([1e300], dtype=torch.float64), 'b': torch.tensor([complex(1, float('inf'))])}, 'b'),
    ],
)
def test_the_first_tensor_that_is_not_finite_is_named(state, name):
    assert first_nonfinite(state) == name


@pytest.mark.cuda
@pytest.mark.parametrize('kind', ['SGD', 'AdamW', 'SoCoLARS'])
def test_a_step_on_the_gpu_checks_without_waiting(kind):
    parameters = [nn.Parameter(torch.randn(8, 8).cuda()) for _ in range(3)]
    optimizer = dict(SGD=torch.optim.SGD, AdamW=torch.optim.AdamW, SoCoLARS=SoCoLARS)[kind](parameters, lr=0.1)
    optim = PrecisionOptimWrapper('fp32', optimizer=optimizer)
    for step in range(3):
        for p in parameters:
            p.grad = torch.full_like(p, 1.0 if step < 2 else float('nan'))
        before = [p.detach().clone() for p in parameters]
        torch.cuda.set_sync_debug_mode('error')
        try:
            optim.step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    assert all(torch.equal(*pair) for pair in zip(parameters, before))
    with pytest.raises(NonFiniteGradient):
        optim.state_dict()
