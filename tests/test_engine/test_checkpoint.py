import os
import pickle
import random
import signal
import time

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdecouple.engine import (
    AtomicLocalBackend,
    DamagedCheckpoint,
    UnsafeCheckpoint,
    find_resumable,
    load_weights,
    read_checkpoint,
    weights_only_loading,
)
from mmdecouple.utils.compatibility import OutOfMemoryError
from mmdecouple.weights.readers.tensor_pickles import TensorUnpickler


def checkpoint(iteration, size=64):
    return dict(
        meta=dict(iter=iteration, epoch=0, seed=3, saved_at=float(iteration)),
        state_dict=dict(weight=torch.full((size, 1000), float(iteration))),
        optimizer=dict(state={}),
        message_hub=dict(
            log_scalars=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1])), info=np.arange(3), value=np.float64(2)
        ),
    )


def save(folder, iteration, size=64):
    path = str(folder / f'iter_{iteration}.pth')
    temporary = f'{path}.made'
    torch.save(checkpoint(iteration, size), temporary)
    with open(temporary, 'rb') as file:
        AtomicLocalBackend().put(file.read(), path)
    os.remove(temporary)
    return path


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_what_our_checkpoints_hold_survives_the_safe_reader(tmp_path):
    loaded = read_checkpoint(save(tmp_path, 5))
    assert loaded['meta']['seed'] == 3
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['info'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('legacy', [False, True])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, legacy):
    path, trap = str(tmp_path / 'hostile.pth'), str(tmp_path / 'trap')
    torch.save(dict(state_dict={}, meta=Hostile(trap)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafeCheckpoint, match='allow_pickle_checkpoint=True') as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value)
    with pytest.raises(UnsafeCheckpoint), weights_only_loading():
        torch.load(path, weights_only=False)
    assert not os.path.exists(trap)
    read_checkpoint(path, allow_pickle=True)
    assert os.path.exists(trap)


class Reaching:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_attributes_of_allowed_classes_cannot_be_reached(tmp_path):
    path = str(tmp_path / 'reaching.pth')
    torch.save(dict(state_dict=Reaching()), path)
    with pytest.raises(UnsafeCheckpoint, match='__init__'):
        read_checkpoint(path)


def test_a_bare_pickle_is_refused(tmp_path):
    path, trap = tmp_path / 'bare.pth', str(tmp_path / 'trap')
    path.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(ValueError):
        read_checkpoint(str(path))
    assert not os.path.exists(trap)


@pytest.mark.parametrize('content', [b'', b'<html></html>', b'PK\x03\x04 cut'])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / 'odd.pth'
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match='odd.pth'):
        read_checkpoint(str(path))


def test_resume_takes_the_newest_whole_checkpoint(tmp_path):
    for iteration in (1, 2, 3, 4):
        save(tmp_path, iteration)
    torch.save(dict(state_dict={}), tmp_path / 'best.pth')
    assert find_resumable(str(tmp_path)).endswith('iter_4.pth')
    whole = (tmp_path / 'iter_4.pth').read_bytes()
    (tmp_path / 'iter_4.pth').write_bytes(whole[: len(whole) // 2])
    flipped = bytearray((tmp_path / 'iter_3.pth').read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / 'iter_3.pth').write_bytes(flipped)
    assert find_resumable(str(tmp_path)).endswith('iter_2.pth')
    assert find_resumable(str(tmp_path / 'absent')) is None


@pytest.mark.parametrize('error', [MemoryError(), OutOfMemoryError('out of memory')])
def test_want_of_memory_is_not_taken_for_damage(tmp_path, monkeypatch, error):
    def load(*_, **__):
        raise error

    torch.save(dict(state_dict={}), tmp_path / 'a.pth')
    monkeypatch.setattr(TensorUnpickler, 'load', load)
    with pytest.raises(type(error)):
        read_checkpoint(str(tmp_path / 'a.pth'))


def test_a_kill_during_a_save_leaves_the_previous_checkpoint(tmp_path):
    rng = random.Random(0)
    newest = 0
    for _ in range(25):
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
            for iteration in range(newest + 1, newest + 10_000):
                save(tmp_path, iteration, size=512)
                for old in tmp_path.glob('iter_*.pth'):
                    if int(old.stem.split('_')[1]) < iteration:
                        old.unlink()
            os._exit(0)
        time.sleep(rng.uniform(0.01, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        path = find_resumable(str(tmp_path))
        if newest or path:
            loaded = read_checkpoint(path)
            assert loaded['meta']['iter'] >= newest
            newest = loaded['meta']['iter']
            assert (loaded['state_dict']['weight'] == newest).all()
            for left in tmp_path.glob('*.pth'):
                read_checkpoint(str(left))
    assert newest > 0


def test_weights_that_do_not_fit_are_listed():
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(2, 2), head=torch.nn.Linear(2, 3)))
    weights = {key: value + 1 for key, value in model.state_dict().items()}
    head = {key: value for key, value in weights.items() if 'head' not in key}
    load_weights(model, dict(state_dict=head), 'a.pth')
    assert torch.equal(model['backbone'].weight, weights['backbone.weight'])
    with pytest.raises(ValueError, match='2 missing .head.weight, head.bias.'):
        load_weights(model, head, 'a.pth', strict=True)
    del weights['backbone.bias']
    with pytest.raises(ValueError, match='a.pth.*1 missing .backbone.bias.'):
        load_weights(model, weights, 'a.pth')


def test_part_of_a_teachers_backbone_is_refused_and_none_of_it_is_not():
    teacher = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(2, 2)))
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(2, 2), teacher=teacher))
    weights = model.state_dict()
    load_weights(model, {key: value for key, value in weights.items() if not key.startswith('teacher')}, 'a.pth')
    with pytest.raises(ValueError, match='a.pth.*1 missing .teacher.backbone.bias.'):
        load_weights(model, {key: value for key, value in weights.items() if key != 'teacher.backbone.bias'}, 'a.pth')


def test_the_iteration_outranks_the_clock(tmp_path):
    for iteration, when in ((5, 100.0), (8, 50.0), (7, 10.0)):
        path = save(tmp_path, iteration)
        stored = checkpoint(iteration)
        stored['meta']['saved_at'] = when
        torch.save(stored, path)
    assert find_resumable(str(tmp_path)).endswith('iter_8.pth')


def test_the_last_run_of_a_folder_comes_before_an_earlier_and_longer_one(tmp_path, said):
    for iteration, run in ((900, 'first'), (3, 'second'), (5, 'second')):
        stored = checkpoint(iteration)
        stored['meta']['record'] = dict(run=run)
        torch.save(stored, tmp_path / f'{run}_{iteration}.pth')
    (tmp_path / 'current_run').write_text('second\n')
    assert find_resumable(str(tmp_path)).endswith('second_5.pth')
    for path in tmp_path.glob('second*'):
        path.unlink()
    assert find_resumable(str(tmp_path)).endswith('first_900.pth')
    assert len(said) == 1 and 'belongs to an earlier run' in said[0]


@pytest.fixture
def said(monkeypatch):
    """What a search for checkpoints says."""
    lines = []
    monkeypatch.setattr('mmdecouple.runs.resumable.print_log', lambda line, *_: lines.append(line))
    return lines


def make_socket(path):
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    'make',
    [
        pytest.param(lambda path: path.mkdir(), id='folder'),
        pytest.param(lambda path: os.mkfifo(path), id='fifo'),
        pytest.param(make_socket, id='socket'),
        pytest.param(lambda path: path.symlink_to('/nonexistent/x'), id='dangling link'),
        pytest.param(lambda path: path.symlink_to('/dev/zero'), id='device'),
        pytest.param(lambda path: path.symlink_to(path.name), id='link to itself'),
        *(
            pytest.param(lambda path, meta=meta: torch.save(dict(checkpoint(1), meta=meta), path), id=f'meta {meta}')
            for meta in (
                None,
                [],
                'x',
                {},
                dict(iter=3),
                dict(iter=None, epoch=0),
                dict(iter='9', epoch=0),
                dict(iter=-1, epoch=0),
                dict(iter=10**30, epoch=0),
                dict(iter=2.5, epoch=0),
                dict(iter=True, epoch=0),
                dict(iter=9, epoch=-1),
                dict(iter=9, epoch=0, seed='x'),
            )
        ),
        pytest.param(lambda path: torch.save(dict(checkpoint(9), optimizer=None), path), id='no optimizer'),
        pytest.param(lambda path: torch.save([1, 2], path), id='list'),
    ],
)
def test_what_is_no_checkpoint_is_passed_over_with_one_line(tmp_path, monkeypatch, said, make):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 2)
    make(tmp_path / 'odd.pth')
    assert find_resumable(str(tmp_path)).endswith('iter_2.pth')
    assert len(said) == 1 and 'odd.pth' in said[0] and 'Resume skips' in said[0]


@pytest.mark.parametrize('saved_at', [None, 'yesterday', float('nan'), 10**400])
def test_an_odd_time_of_saving_does_not_matter(tmp_path, saved_at):
    for iteration in (2, 3):
        stored = checkpoint(iteration)
        stored['meta']['saved_at'] = saved_at
        torch.save(stored, tmp_path / f'iter_{iteration}.pth')
    assert find_resumable(str(tmp_path)).endswith('iter_3.pth')
