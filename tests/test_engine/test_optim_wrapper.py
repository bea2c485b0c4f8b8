"""One word chooses the precision, on the CPU too; gradients are clipped and dropped as the recipes ask."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmdecouple.engine import PrecisionOptimWrapper
from mmdecouple.engine.gradients import skips_on_device, use_fused_kernels
from mmdecouple.utils.settings import SettingError


def wrapper(precision: str, model: nn.Module) -> PrecisionOptimWrapper:
    return PrecisionOptimWrapper(precision, optimizer=torch.optim.SGD(model.parameters(), 0.1))


@pytest.mark.parametrize(
    'precision, dtype', [('bf16', torch.bfloat16), ('fp16', torch.float16), ('fp32', torch.float32)]
)
def test_forward_runs_in_the_chosen_precision_and_weights_stay_in_float32(precision, dtype):
    model = nn.Linear(4, 4)
    optim = wrapper(precision, model)
    with optim.optim_context(model):
        out = model(torch.randn(2, 4))
    before = model.weight.detach().clone()
    optim.update_params(1e-3 * out.float().square().sum())
    assert out.dtype == dtype
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, before)


def test_its_state_survives_a_round_trip():
    model = nn.Linear(4, 4)
    first, second = wrapper('bf16', model), wrapper('bf16', model)
    first.optimizer.param_groups[0]['lr'] = 0.03
    second.load_state_dict(first.state_dict())
    assert second.optimizer.param_groups[0]['lr'] == 0.03


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match='must be one of bf16, fp16, fp32'):
        wrapper('half', nn.Linear(2, 2))


def test_fp16_on_a_cpu_is_refused_where_torch_would_compute_in_float32(monkeypatch):
    monkeypatch.setattr('mmdecouple.engine.optim_wrapper.CPU_SUPPORTS_FP16', False)
    monkeypatch.setattr('mmdecouple.engine.optim_wrapper.get_device', lambda: 'cpu')
    with pytest.raises(SettingError, match="precision 'fp16' on a CPU needs torch 2.3 or newer, .*; use 'bf16'"):
        PrecisionOptimWrapper('fp16', optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1))


def test_fp16_steps_on_the_cpu_as_fp32_does_and_leaves_out_a_step_that_overflows():
    models, wrappers = {}, {}

    def step(precision, factor):
        with wrappers[precision].optim_context(models[precision]):
            out = models[precision](torch.full((1, 4), 0.5))
        wrappers[precision].update_params(factor * out.float().square().sum())

    for precision in ('fp32', 'fp16'):
        models[precision] = nn.Linear(4, 4, bias=False)
        nn.init.eye_(models[precision].weight)
        wrappers[precision] = wrapper(precision, models[precision])
        step(precision, 0.1)
    scaler = wrappers['fp16'].loss_scaler
    before = scaler.get_scale()
    step('fp16', float('inf'))
    assert not torch.equal(models['fp32'].weight, torch.eye(4)) and scaler.get_scale() == before / 2
    torch.testing.assert_close(models['fp16'].weight, models['fp32'].weight, rtol=1e-3, atol=1e-5)


def gradients():
    """Parameters of several shapes with gradient norms on both sides of 3, one without a gradient."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape)) for shape in [(8, 8), (4,), (2, 3, 4), (1, 1), (5,)]]
    for parameter, size in zip(parameters[:-1], (9.0, 0.5, 3.1, 0.0)):
        parameter.grad = size * nn.functional.normalize(torch.randn(parameter.shape).flatten(), dim=0).view(
            parameter.shape
        )
    return parameters


def clip_one_by_one(parameters, limit):
    """`clip_gradients` of facebookresearch/dino, written from its definition."""
    for parameter in parameters:
        if parameter.grad is not None:
            factor = limit / (parameter.grad.norm(2) + 1e-6)
            if factor < 1:
                parameter.grad.mul_(factor)


def clip(parameters, **clip_grad):
    optim = PrecisionOptimWrapper('fp32', clip_grad=clip_grad, optimizer=torch.optim.SGD(parameters, 0.0))
    optim.step()
    return optim


def test_each_tensor_is_clipped_by_its_own_norm_as_dino_does():
    ours, theirs = gradients(), gradients()
    optim = clip(ours, type='tensor', max_norm=3.0)
    clip_one_by_one(theirs, 3.0)
    for mine, other in zip(ours[:-1], theirs):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=0)
    assert ours[-1].grad is None and torch.equal(ours[1].grad, gradients()[1].grad)
    logged = optim.message_hub.get_scalar('train/grad_norm').current()
    assert logged == pytest.approx((9**2 + 0.5**2 + 3.1**2) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(
    'clip_grad, clip_like_torch',
    [
        (dict(max_norm=2.0), lambda ps: nn.utils.clip_grad_norm_(ps, 2.0)),
        (dict(type='norm', max_norm=1.0, norm_type='inf'), lambda ps: nn.utils.clip_grad_norm_(ps, 1.0, 'inf')),
        (dict(type='value', clip_value=0.1), lambda ps: nn.utils.clip_grad_value_(ps, 0.1)),
    ],
)
def test_the_clippings_of_mmengine_still_work(clip_grad, clip_like_torch):
    ours, theirs = gradients(), gradients()
    clip(ours, **clip_grad)
    clip_like_torch(theirs)
    assert all(torch.equal(mine.grad, other.grad) for mine, other in zip(ours[:-1], theirs))


@pytest.mark.parametrize(
    'clip_grad, words',
    [
        (dict(type='global', max_norm=1.0), "must be one of norm, value, tensor, got 'global'"),
        (dict(type='tensor'), 'clip_grad.max_norm must be a number above 0, got None'),
        (dict(type='value', clip_value=0.0), 'clip_grad.clip_value must be a number above 0, got 0.0'),
        (dict(type='norm', max_norm='1'), "clip_grad.max_norm must be a number above 0, got '1'"),
        (dict(type='tensor', max_norm=1.0, norm_type=1), 'takes max_norm alone, got type, max_norm, norm_type'),
    ],
)
def test_a_clipping_that_cannot_be_meant_is_refused(clip_grad, words):
    with pytest.raises(ValueError, match=words):
        clip(gradients(), **clip_grad)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_frozen_parameter_feels_neither_the_step_nor_weight_decay(accumulate):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    optim = PrecisionOptimWrapper(
        'fp32', optimizer=torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.5), accumulative_counts=accumulate
    )
    before = [p.detach().clone() for p in model.parameters()]

    def moved():
        for _ in range(accumulate):
            with optim.optim_context(model):
                loss = model(torch.ones(2, 3)).square().sum()
            optim.update_params(loss)
        return [not torch.equal(p, old) for p, old in zip(model.parameters(), before)]

    optim.frozen = list(model[1].parameters())
    assert moved() == moved() == [True, True, False, False]
    assert all(p.requires_grad for p in model.parameters())
    optim.frozen = ()
    assert moved() == [True] * 4


@pytest.mark.cuda
@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_clipping_on_the_gpu_sees_unscaled_gradients_and_never_waits(precision):
    parameters = [nn.Parameter(p.detach().cuda()) for p in gradients()]
    optim = PrecisionOptimWrapper(
        precision, clip_grad=dict(type='tensor', max_norm=3.0), optimizer=torch.optim.SGD(parameters, 0.0)
    )
    weights = [p.grad for p in gradients()]
    for _ in range(3):
        optim.zero_grad()
        optim.backward(sum((p * w.cuda()).sum() for p, w in zip(parameters, weights) if w is not None))
        if precision == 'fp32':
            torch.cuda.set_sync_debug_mode('error')
        try:
            optim.step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    expected = gradients()
    clip_one_by_one(expected, 3.0)
    for mine, other in zip(parameters[:-1], expected):
        torch.testing.assert_close(mine.grad.cpu(), other.grad, rtol=1e-3 if precision == 'fp16' else 1e-6, atol=0)
    logged = optim.message_hub.get_scalar('train/grad_norm').current()
    assert logged == pytest.approx((9**2 + 0.5**2 + 3.1**2) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    'options, fused',
    [
        (dict(), True),
        (dict(fused=False), False),
        (dict(foreach=True), None),
        (dict(foreach=False), None),
        (dict(differentiable=True), None),
    ],
)
@pytest.mark.parametrize('kind', [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_an_optimizer_on_a_gpu_takes_fused_kernels_unless_the_config_chose(kind, options, fused):
    """Without a GPU: its parameters only say that they are on one."""
    on_gpu = dict(is_cuda=True, is_floating_point=lambda: True)

    def kernels(**change):
        optimizer = kind([torch.nn.Parameter(torch.zeros(2))], lr=0.1, **options)
        optimizer.param_groups[0]['params'] = [SimpleNamespace(**on_gpu), SimpleNamespace(**on_gpu | change)]
        use_fused_kernels(optimizer)
        assert optimizer.defaults['fused'] == optimizer.param_groups[0]['fused']
        assert skips_on_device(optimizer) == bool(optimizer.param_groups[0]['fused'])
        return optimizer.param_groups[0]['fused']

    unchanged = options.get('fused')
    assert kernels() is fused
    assert kernels(is_cuda=False) is unchanged
    assert kernels(is_floating_point=lambda: False) is unchanged
