"""Optimizer state divided among forked gloo processes, against the same optimizer in one process."""

import os
import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from mmdecouple.engine import NonFiniteGradient, SoCoLARS
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.engine.sharding import ShardedOptimizer, gather_state, local_state
from tests.test_runs.processes import fork

OPTIMIZERS = {
    'AdamW': lambda groups: torch.optim.AdamW(groups, 0.01, weight_decay=0.1),
    'SGD': lambda groups: torch.optim.SGD(groups, 0.1, momentum=0.9),
    'SoCoLARS': lambda groups: SoCoLARS(groups, 0.1),
}


def in_processes(folder: Path, processes: int, call) -> list:
    """What a function returns in each of several gloo processes."""

    def run(rank):
        store = torch.distributed.FileStore(str(folder / 'store'), processes)
        torch.distributed.init_process_group('gloo', store=store, rank=rank, world_size=processes)
        try:
            torch.save(call(rank), folder / f'{rank}.pt')
        except BaseException:
            traceback.print_exc()
            raise
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

    children = [fork(lambda rank=rank: run(rank)) for rank in range(processes)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * processes
    return [torch.load(folder / f'{rank}.pt', weights_only=False) for rank in range(processes)]


def model_and_wrapper(kind, sharded, clip='norm'):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 9), nn.Linear(9, 2, bias=False))
    wide = [p for p in model.parameters() if p.ndim > 1]
    narrow = [p for p in model.parameters() if p.ndim == 1]
    groups = [dict(params=wide), dict(params=narrow, weight_decay=0.0)]
    return model, PrecisionOptimWrapper(
        'fp32', clip_grad=dict(type=clip, max_norm=0.5), sharded=sharded, optimizer=OPTIMIZERS[kind](groups)
    )


def take_steps(model, wrapper, steps, factor=1.0):
    """Steps with the same gradients in all processes, as after DDP; one of them freezes the last layer."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = factor * torch.randn(parameter.shape, generator=generator)
        wrapper.frozen = list(model[3].parameters()) if step == 1 else ()
        for group in wrapper.optimizer.param_groups:
            group['lr'] = 0.01 / (1 + step)
        wrapper.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


def whole_state(wrapper, rank):
    gather_state(wrapper)
    if rank == 0:
        return wrapper.state_dict()
    with pytest.raises(RuntimeError, match='not been consolidated'):
        wrapper.state_dict()
    return None


def same(first, second):
    if torch.is_tensor(first):
        return torch.equal(first, second) and first.dtype == second.dtype
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize('processes', [2, 3])
@pytest.mark.parametrize('kind, clip', [('AdamW', 'tensor'), ('SGD', 'norm'), ('SoCoLARS', 'norm')])
def test_a_divided_optimizer_computes_the_bytes_of_the_whole_one(tmp_path, kind, clip, processes):
    def run(rank):
        model, wrapper = model_and_wrapper(kind, True, clip)
        weights = take_steps(model, wrapper, range(4))
        return weights, whole_state(wrapper, rank), local_state(wrapper)['state']

    found = in_processes(tmp_path, processes, run)
    model, wrapper = model_and_wrapper(kind, False, clip)
    expected = take_steps(model, wrapper, range(4))
    assert all(same(weights, expected) for weights, _, _ in found)
    whole = wrapper.state_dict()
    assert same(found[0][1], whole)
    held = Counter(index for _, _, own in found for index in own)
    assert held == Counter(whole['state'].keys())
    assert all(same(state, whole['state'][index]) for _, _, own in found for index, state in own.items())


@pytest.mark.parametrize('kind', ['AdamW', 'SoCoLARS'])
def test_a_state_goes_on_with_and_without_division(tmp_path, kind):
    model, wrapper = model_and_wrapper(kind, False)
    take_steps(model, wrapper, range(2))
    half = dict(model=model.state_dict(), optimizer=wrapper.state_dict())
    torch.save(half, tmp_path / 'half.pt')
    expected = take_steps(model, wrapper, range(2, 5))

    def run(rank):
        model, wrapper = model_and_wrapper(kind, True)
        loaded = torch.load(tmp_path / 'half.pt')
        model.load_state_dict(loaded['model'])
        wrapper.load_state_dict(loaded['optimizer'])
        return take_steps(model, wrapper, range(2, 4)), whole_state(wrapper, rank)

    (weights, state), _ = in_processes(tmp_path, 2, run)
    model, wrapper = model_and_wrapper(kind, False)
    model.load_state_dict(weights)
    wrapper.load_state_dict(state)
    assert same(take_steps(model, wrapper, [4]), expected)


def test_a_state_of_another_model_is_refused(tmp_path):
    def run(rank):
        model, wrapper = model_and_wrapper('SGD', True)
        state = dict(state={}, param_groups=[dict(params=[0], lr=0.1), dict(params=[1], lr=0.1)])
        with pytest.raises(ValueError, match='other sizes'):
            wrapper.optimizer.load_state_dict(state)

    in_processes(tmp_path, 2, run)


@pytest.mark.parametrize('kind', ['AdamW', 'SoCoLARS'])
def test_a_gradient_that_is_not_finite_changes_nothing_in_any_process(tmp_path, kind):
    def run(rank):
        model, wrapper = model_and_wrapper(kind, True)
        before = take_steps(model, wrapper, [0]), wrapper.optimizer.own_state()
        before = torch.load(_saved(tmp_path / f'before{rank}.pt', before), weights_only=False)
        with pytest.raises(NonFiniteGradient):
            take_steps(model, wrapper, [1], float('inf'))
        if kind == 'SoCoLARS':
            # As on a GPU: the optimizer itself skips the step.
            wrapper.optimizer.grad_scale, wrapper.optimizer.found_inf = None, torch.ones(())
            wrapper.optimizer.step()
            assert not hasattr(wrapper.optimizer.optim, 'found_inf')
        assert same(before, (model.state_dict(), wrapper.optimizer.own_state()))
        assert wrapper.optimizer._step_supports_amp_scaling == (kind == 'SoCoLARS')

    in_processes(tmp_path, 2, run)


def _saved(path, content):
    torch.save(content, path)
    return path


def test_one_process_keeps_the_plain_optimizer():
    assert not isinstance(model_and_wrapper('AdamW', True)[1].optimizer, ShardedOptimizer)
