"""A weight file is read whole, without running anything in it, or refused in one line."""

import argparse
import collections
import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

from mmdecouple.utils.compatibility import UNSIGNED_TYPES
from mmdecouple.utils.errors import UserError, one_line
from mmdecouple.weights.checkpoint import read_checkpoint
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeCheckpoint
from mmdecouple.weights.formats.resnet_names import nothing_found
from mmdecouple.weights.readers.numpy_pickles import read_numpy_pickle
from mmdecouple.weights.weight_files import read_weights


def same(first, second) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second) and first.dtype == second.dtype and first.stride() == second.stride()
    if isinstance(first, dict):
        return (
            type(first) is type(second)
            and first.keys() == second.keys()
            and all(same(first[key], second[key]) for key in first)
        )
    if isinstance(first, (list, tuple)):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    return bool(np.all(first == second)) and type(first) is type(second)


@pytest.mark.parametrize('legacy', [False, True])
def test_the_restricted_reader_reads_what_torch_reads(tmp_path, legacy):
    base = torch.randn(4, 6)
    content = dict(
        {
            str(dtype): torch.ones(3, 2).to(dtype)
            for dtype in (
                torch.float64,
                torch.float16,
                torch.bfloat16,
                torch.int64,
                torch.int32,
                torch.int16,
                torch.int8,
                torch.uint8,
                torch.bool,
                # Types for which the old form, and torch before 2.3, has no storage.
                *((*UNSIGNED_TYPES, torch.float8_e4m3fn) if UNSIGNED_TYPES and not legacy else ()),
            )
        },
        scalar=torch.tensor(3.0),
        empty=torch.zeros(0, 5),
        view=base[1:, ::2],
        transposed=base.t(),
        tied=base,
        parameter=nn.Parameter(torch.ones(2)).detach(),
        nested=[dict(a=(torch.ones(1), None, True, 1.5, 'x', b'y'))],
        args=argparse.Namespace(arch='vit', lr=1e-3),
        ordered=collections.OrderedDict(a=1),
        size=torch.Size([1, 2]),
        counter=collections.Counter([3]),
        numbers={1, 2},
        array=np.arange(6.0).reshape(2, 3),
        number=np.float64(2),
        words=np.array(['a', 'bc']),
        dtype=torch.float32,
    )
    torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
    expected = torch.load(tmp_path / 'a.pth', weights_only=False)
    for mmap in (False, True):
        found = read_checkpoint(str(tmp_path / 'a.pth'), mmap=mmap)
        assert same(found, expected)
        assert found['view'].untyped_storage().data_ptr() == found['tied'].untyped_storage().data_ptr()


class Deep(nn.Module):
    """Buffers of several kinds, a part that is used twice, lists, and tensors that are no state."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(3, 3)
        self.parts = nn.ModuleList([shared, nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), shared])
        self.register_buffer('kept', torch.arange(4))
        self.register_buffer('passing', torch.ones(2), persistent=False)
        self.weight = nn.Parameter(torch.randn(2, 3).half())
        self.sizes, self.plain, self.names = [1, 2], torch.ones(7), {'a': 1}

    def forward(self, x):
        return self.parts[1](x) + self.kept.sum() + self.passing.sum() + self.plain.sum()


@pytest.mark.parametrize('kind', ['scripted', 'traced', 'scripted half'])
def test_torchscript_is_read_as_its_state_dict_without_its_interpreter(kind, tmp_path, monkeypatch):
    module = Deep().eval()
    module = module.half() if 'half' in kind else module
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        made = torch.jit.trace(module, torch.zeros(1, 3, 5, 5)) if kind == 'traced' else torch.jit.script(module)
        made.save(str(tmp_path / 'a.pt'))
        expected = torch.jit.load(str(tmp_path / 'a.pt')).state_dict()
    monkeypatch.setattr(torch.jit, 'load', None)
    for found in (read_weights(str(tmp_path / 'a.pt')), read_checkpoint(str(tmp_path / 'a.pt'), allow_pickle=True)):
        assert found.keys() == expected.keys() and len(found) >= 8
        assert all(torch.equal(found[key], expected[key]) and found[key].dtype == expected[key].dtype for key in found)


def stored(content, path, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def repacked(path, change=lambda name, data: data, **options):
    """An archive with other entries, checksums right."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, 'w', **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(name, data))
    return path


def flipped(path):
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(1.25).tobytes()) + 3] ^= 0x40
    path.write_bytes(data)
    return path


def in_data_pkl(old: bytes, new: bytes):
    def write(path):
        stored(dict(a=torch.full((300,), 1.25)), path)
        return repacked(path, lambda name, data: data.replace(old, new) if name.endswith('data.pkl') else data)

    return write


NAN = float('nan')
BAD = {
    'flipped bit': (
        lambda path: flipped(stored(dict(a=torch.full((99,), 1.25)), path)),
        'checksum of .*data/0 does not',
    ),
    'cut': (
        lambda path: (stored(dict(a=torch.ones(999)), path), path.write_bytes(path.read_bytes()[:2000]))[0],
        'truncated or not a checkpoint',
    ),
    'compressed': (
        lambda path: repacked(stored(dict(a=torch.zeros(10**6)), path), compression=zipfile.ZIP_DEFLATED),
        'compressed archive',
    ),
    'beyond the storage': (in_data_pkl(b'M,\x01', b'M,\x07'), 'exceeds its 300 values'),
    'negative step': (in_data_pkl(b'K\x01\x85', b'J\xff\xff\xff\xff\x85'), 'exceeds|truncated'),
    'unknown entry': (in_data_pkl(b'X\x01\x00\x00\x000', b'X\x01\x00\x00\x007'), 'lacks data/7'),
    'nan': (lambda path: stored(dict(state_dict=dict(a=torch.tensor([1, NAN]))), path), "'state_dict.a' holds NaN"),
    'inf in half': (
        lambda path: stored(dict(model=dict(b=torch.tensor([1e9]).half())), path),
        "'model.b' holds NaN or inf",
    ),
    'nan in old form': (
        lambda path: stored(dict(a=torch.tensor(NAN)), path, _use_new_zipfile_serialization=False),
        "'a' holds NaN",
    ),
    'nan of an optimizer': (
        lambda path: stored(dict(optimizer=dict(state={0: dict(m=torch.tensor(NAN))})), path),
        "'optimizer.state.0.m' holds NaN",
    ),
    'no state': (lambda path: stored(dict(state_dict=None), path), 'its state_dict is None, not a dict'),
    'odd meta': (lambda path: stored(dict(meta=[1]), path), r'its meta is \[1\]'),
    'a list': (lambda path: stored([torch.ones(1)], path), 'holds a list, not a dict of weights'),
    'no name': (lambda path: stored({3: torch.ones(1)}, path), 'a tensor under 3, which is not a name'),
    'complex': (lambda path: stored(dict(a=torch.ones(1, dtype=torch.complex64)), path), 'holds more than weights'),
    'sparse': (lambda path: stored(dict(a=torch.eye(2).to_sparse()), path), 'holds more than weights'),
    'sparse in old form': (
        lambda path: stored(dict(a=torch.eye(2).to_sparse()), path, _use_new_zipfile_serialization=False),
        'holds more than weights',
    ),
    'expanded': (lambda path: stored(dict(a=torch.ones(1).expand(10**9)), path), 'without as many values'),
    'one storage, many names': (
        lambda path: stored({str(i): t for t in [torch.ones(99)] for i in range(99)}, path),
        'bytes of tensors from',
    ),
    'folder': (lambda path: (os.mkdir(path), path)[1], 'is a folder'),
    'fifo': (lambda path: (os.mkfifo(path), path)[1], 'fifo'),
    'device': (lambda path: (os.symlink('/dev/zero', path), path)[1], 'is a device'),
    'dangling link': (lambda path: (os.symlink('nothing', path), path)[1], 'cannot be opened'),
    'text': (lambda path: (path.write_text('<html></html>'), path)[1], 'is not a checkpoint'),
}


@pytest.mark.parametrize('kind', BAD)
def test_a_file_of_no_sound_network_is_refused_in_one_line(kind, tmp_path):
    make, line = BAD[kind]
    path = str(make(tmp_path / 'a.pth'))
    # Trusting the origin of a file says nothing of its state.
    for read in (read_weights, read_checkpoint, lambda path: read_weights(path, allow_pickle=True)):
        if kind in ('complex', 'sparse', 'sparse in old form') and read not in (read_weights, read_checkpoint):
            line = f"'a' is {kind.split()[0]}"
        if kind in ('beyond the storage', 'negative step', 'unknown entry') and read not in (
            read_weights,
            read_checkpoint,
        ):
            continue  # trusted files are torch's to read
        with pytest.raises(UserError, match=line) as error:
            read(path)
        assert len(one_line(str(error.value))) <= 300 and '\n' not in str(error.value)


def test_other_forms_are_judged_alike(tmp_path):
    save_file(dict(a=torch.tensor([NAN])), tmp_path / 'a.safetensors')
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(model=dict(a=np.array([np.inf])))))
    for name in ('a.safetensors', 'a.pkl'):
        for trusted in (False, True):
            with pytest.raises(DamagedCheckpoint, match='holds NaN or infinity'):
                read_weights(str(tmp_path / name), trusted)


class Huge:
    """Asks for 8 TB of memory by the names that real arrays use."""

    def __reduce__(self):
        rebuild, _, _ = np.zeros(1).__reduce__()
        return rebuild, (np.ndarray, (10**12,), b'b')


def test_an_array_of_any_size_that_a_file_asks_for_costs_nothing(tmp_path):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(a=Huge())))
    with pytest.raises(UnsafeCheckpoint, match='not a plain numpy array'):
        read_weights(str(tmp_path / 'a.pkl'))


def test_place_numbers_of_a_pickle_cost_no_memory(tmp_path):
    stream = io.BytesIO()
    torch.save({}, stream)
    path = tmp_path / 'a.pth'
    path.write_bytes(stream.getvalue())
    # {}, kept under the highest number that a pickle can give a value.
    repacked(path, lambda name, data: b'\x80\x02}r\xff\xff\xff\xff.' if name.endswith('data.pkl') else data)
    assert read_checkpoint(str(path)) == {}


def test_log_curves_of_a_run_are_read_and_still_compute(tmp_path):
    torch.save(dict(meta={}, hub=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1]))), tmp_path / 'a.pth')
    assert read_checkpoint(str(tmp_path / 'a.pth'))['hub']['loss'].mean() == 1.5


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_what_mmengine_opens_by_itself_is_not_unpickled(tmp_path):
    trap = tmp_path / 'trap'
    torch.save(dict(state_dict={}, hook=Trap(str(trap))), tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpoint):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    assert not trap.exists()


def test_arrays_of_a_pickle_become_tensors_as_deep_as_detectron2_writes_them(tmp_path):
    array = np.arange(3.0)
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(dict(top=array, model=dict(weight=array, beside=dict(deeper=array)))))
    content = read_numpy_pickle(str(path))
    assert torch.equal(content['top'], torch.arange(3.0).double()) and isinstance(
        content['model']['weight'], torch.Tensor
    )
    assert isinstance(content['model']['beside']['deeper'], np.ndarray)


@pytest.mark.parametrize('names, told', [(['a', 'b', 'c', 'd'], 'a, b, c'), ([], 'nothing')])
def test_a_file_without_a_resnet_is_described_by_its_first_names(names, told):
    assert nothing_found(names) == f'its tensors begin with {told}'
