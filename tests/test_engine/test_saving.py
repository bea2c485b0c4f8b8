"""Buffers that each process fills for itself, in checkpoints of several processes."""

import pytest
import torch
from torch import nn

from mmdecouple.engine import saving
from mmdecouple.models.layers import EmbeddingQueue
from mmdecouple.utils.errors import UserError

RECORD = dict(processes=3)


def model_of(rank):
    model = nn.ModuleDict(dict(queue=EmbeddingQueue(4, 2), layer=nn.BatchNorm1d(2)))
    model['queue'].push(torch.full((4, 2), float(rank)), torch.ones(4), rank + 1)
    return model


@pytest.fixture
def become(monkeypatch):
    """Lets this process take the place of a rank; what it gathers are the buffers of all ranks."""

    def rank_of(rank, processes=3):
        models = [model_of(other) for other in range(processes)]
        named = [dict(model.named_buffers()) for model in models]
        name_of = {id(buffer): name for name, buffer in named[rank].items()}
        monkeypatch.setattr(saving, 'get_rank', lambda: rank)
        monkeypatch.setattr(saving, 'get_world_size', lambda: processes)
        monkeypatch.setattr(
            saving, 'gather', lambda buffer: [one[name_of[id(buffer)]] for one in named] if rank == 0 else []
        )
        return models[rank]

    return rank_of


@pytest.mark.parametrize('rank, processes, source', [(0, 3, 0), (1, 3, 1), (2, 3, 2), (3, 4, 0), (4, 5, 1), (1, 2, 1)])
def test_a_rank_continues_with_the_queue_that_it_had(rank, processes, source, become):
    first = become(0)
    meta = dict(record=RECORD, other_ranks=saving.gather_other_ranks(first))
    assert [sorted(state) for state in meta['other_ranks']] == [['queue.rows', 'queue.stored']] * 2
    resumed = become(rank, processes)
    resumed.load_state_dict(first.state_dict())
    saving.restore_rank(resumed, meta, 'iter_4.pth')
    for name, buffer in model_of(source)['queue'].named_buffers():
        assert torch.equal(resumed['queue'].get_buffer(name), buffer)


def test_other_ranks_and_single_processes_gather_nothing(become):
    assert saving.gather_other_ranks(become(1)) == saving.gather_other_ranks(become(0, 1)) == []
    assert saving.gather_other_ranks(nn.Linear(2, 2)) == []


@pytest.mark.parametrize('record, said', [(RECORD, 1), (None, 1), (dict(processes=1), 0)])
def test_a_checkpoint_of_one_process_is_reported_if_there_were_several(record, said, become, monkeypatch):
    lines = []
    monkeypatch.setattr(saving, 'print_log', lambda line, *_: lines.append(line))
    saving.restore_rank(become(1), dict(record=record), 'iter_4.pth')
    assert len(lines) == said and all('does not hold queue.rows of all processes' in line for line in lines)


@pytest.mark.parametrize(
    'others',
    [
        1,
        [1],
        [{}],
        [{'queue.rows': torch.zeros(4, 2)}],
        [{'queue.rows': torch.zeros(1, 2), 'queue.stored': torch.tensor(1)}],
        [{'queue.rows': 'text', 'queue.stored': torch.tensor(1)}],
    ],
)
def test_buffers_that_do_not_fit_are_refused_before_any_is_restored(others, become):
    model = become(1)
    before = model['queue'].rows.clone()
    with pytest.raises(UserError, match=r'iter_4.pth.*meta.other_ranks does not fit'):
        saving.restore_rank(model, dict(record=RECORD, other_ranks=others), 'iter_4.pth')
    assert torch.equal(model['queue'].rows, before)


def test_a_value_of_the_own_queue_that_is_not_finite_is_found():
    class Runner:
        model = model_of(0)
        optim_wrapper = None

    assert saving.first_nonfinite_of(Runner) is None
    Runner.model['queue'].rows[0, 0] = float('nan')
    assert 'queue.rows' in saving.first_nonfinite_of(Runner)
