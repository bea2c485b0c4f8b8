"""The readers of weight files: what a pickle can reach, and files of `torch.save` before torch 1.6."""

import argparse
import pickle
import struct
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdecouple.engine import DamagedCheckpoint, UnsafeCheckpoint, read_checkpoint, weights_only_loading
from mmdecouple.weights.readers import plain_pickles, tensor_pickles
from mmdecouple.weights.readers.numpy_pickles import read_numpy_pickle
from mmdecouple.weights.weight_files import read_weights

# All that a file can call or create: plain classes, and functions of the readers in place of those that it names.
REACHABLE = {
    'argparse.Namespace': argparse.Namespace,
    'collections.OrderedDict': OrderedDict,
    'collections.Counter': Counter,
    'builtins.set': set,
    'builtins.frozenset': frozenset,
    'builtins.bytearray': plain_pickles._bytearray,
    'builtins.getattr': plain_pickles.statistic_of,
    '_codecs.encode': plain_pickles._bytes_of_python_2,
    'numpy.dtype': plain_pickles._dtype,
    'numpy.core.multiarray._reconstruct': plain_pickles._array,
    'numpy.core.multiarray.scalar': plain_pickles._scalar,
    'numpy.core.numeric._frombuffer': plain_pickles._from_buffer,
    'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
    'torch._utils._rebuild_tensor': tensor_pickles._rebuilt,
    'torch._utils._rebuild_tensor_v2': tensor_pickles._rebuilt,
    'torch._utils._rebuild_tensor_v3': tensor_pickles._rebuilt,
    'torch._utils._rebuild_parameter': tensor_pickles._same,
    'torch._utils._rebuild_parameter_with_state': tensor_pickles._same,
    'torch._tensor._rebuild_from_type_v2': tensor_pickles._of_a_type,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
}


def test_a_file_reaches_nothing_but_this():
    known = {**plain_pickles._COMMON, **tensor_pickles._TENSORS}
    callables = {f'{module}.{name}': value for (module, name), value in known.items() if callable(value)}
    assert callables == REACHABLE
    inert = {f'{module}.{name}' for (module, name), value in known.items() if not callable(value)}
    assert inert == {'numpy.ndarray', 'torch.Tensor', 'torch.nn.parameter.Parameter'}
    assert all(isinstance(value, torch.dtype) for value in tensor_pickles._DTYPES.values())


# Pickle of a dict that sets an attribute of what is between the two: (None, {name: value}) is such a state.
DICT, STATE = b'\x80\x02}X\x04\x00\x00\x00meta', b'N}X\x04\x00\x00\x00meanK\x01s\x86bs.'


@pytest.mark.parametrize(
    'target',
    [
        b'cmmengine.logging.history_buffer\nHistoryBuffer\n',
        b'cargparse\nNamespace\n',
        b'ccollections\nCounter\n',
        b'c__builtin__\ngetattr\n',
        b'cnumpy\ndtype\n',
        b'cargparse\nNamespace\n)\x81',
    ],
    ids=['class of curves', 'class of options', 'counter', 'function', 'dtype', 'slots of an object'],
)
def test_a_file_changes_no_class_and_no_function(tmp_path, target):
    before = HistoryBuffer.mean
    (tmp_path / 'a.pkl').write_bytes(DICT + target + STATE)
    with pytest.raises(UnsafeCheckpoint, match='a state of'):
        read_numpy_pickle(str(tmp_path / 'a.pkl'))
    assert HistoryBuffer.mean is before and not hasattr(argparse.Namespace, 'mean') and not hasattr(Counter, 'mean')


class Reduced:
    """Pickled as the call of a function, followed by a state."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize('legacy', [False, True])
def test_a_tensor_takes_no_state_which_could_point_outside_its_storage(tmp_path, legacy):
    storage = torch.ones(3).storage()
    tensor = Reduced(
        torch._utils._rebuild_tensor_v2, (storage, 0, (3,), (1,), False, OrderedDict()), (storage, 9, (9,))
    )
    torch.save(dict(a=tensor), tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafeCheckpoint, match='a state of'):
        read_checkpoint(str(tmp_path / 'a.pth'))


def test_a_number_is_no_size_of_a_bytearray(tmp_path):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(a=Reduced(bytearray, (10**11,)))))
    with pytest.raises(UnsafeCheckpoint, match='a bytearray of 100000000000'):
        read_numpy_pickle(str(tmp_path / 'a.pkl'))


def test_arrays_and_curves_keep_their_state(tmp_path):
    content = dict(
        swapped=np.arange(3, dtype='>i4'),
        words=np.array(['a', 'bc']),
        columns=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        raw=bytearray(b'ab'),
    )
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content))
    found = read_numpy_pickle(str(tmp_path / 'a.pkl'))
    assert found['swapped'].tolist() == [0, 1, 2] and found['raw'] == b'ab'
    assert found['words'].tolist() == ['a', 'bc'] and found['columns'].tolist() == content['columns'].tolist()


def legacy_file(path, content):
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return bytearray(path.read_bytes())


DAMAGE = {
    'cut': (lambda data: data[:-4], 'is cut'),
    'count': (lambda data: data[:-24] + struct.pack('<q', 9) + data[-16:], 'is cut'),
    'larger than the file': (lambda data: data.replace(b'K\x04N', b'J\xff\xff\xff\x7fN', 1), 'exceeds the file'),
    'other byte order': (lambda data: data.replace(b'little_endianq\x02\x88', b'little_endianq\x02\x89'), 'unknown'),
    'unknown key': (lambda data: data.replace(b'(X', b'(X', 1)[: data.rindex(b']q')] + b']q\x00.', 'does not match'),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_a_damaged_legacy_file_is_one_line(tmp_path, kind):
    path = tmp_path / 'a.pth'
    damage, line = DAMAGE[kind]
    data = legacy_file(path, dict(a=torch.arange(4.0)))
    changed = bytes(damage(data))
    assert changed != bytes(data)
    path.write_bytes(changed)
    with pytest.raises(DamagedCheckpoint, match=line):
        read_checkpoint(str(path))


def test_what_others_load_is_read_by_the_same_reader(tmp_path):
    """Also from an open file, as storage backends pass it; torch's own reader refuses log curves before 2.4."""
    content = dict(state_dict=dict(a=torch.ones(2)), curve=HistoryBuffer([1.0], [1]))
    for legacy in (False, True):
        torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
        own = torch.load
        with weights_only_loading(), open(tmp_path / 'a.pth', 'rb') as file:
            for found in (torch.load(tmp_path / 'a.pth', map_location='cpu'), torch.load(file)):
                assert found['state_dict']['a'].tolist() == [1, 1] and found['curve'].mean() == 1
        assert torch.load is own


def test_an_archive_of_numpy_arrays_gives_its_numbers_as_tensors(tmp_path):
    path, weight = str(tmp_path / 'tips.npz'), np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.savez(path, **{'blocks.0.norm1.weight': weight, 'swapped': np.arange(3, dtype='>f4')})
    found = read_weights(path)
    assert torch.equal(found['blocks.0.norm1.weight'], torch.from_numpy(weight))
    assert found['swapped'].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('arrays', 'reason'),
    [
        (dict(a=np.array([Reduced(print, ('run',))], dtype=object)), 'allow_pickle'),
        (dict(a=np.array(['words'])), 'a is not an array of numbers'),
        (dict(a=np.array([np.nan])), 'NaN'),
        (dict(a=np.zeros(10**6)), 'unpacks to 8000'),
    ],
    ids=['objects', 'words', 'not finite', 'a bomb'],
)
def test_an_archive_of_anything_else_is_refused_and_runs_nothing(tmp_path, capsys, arrays, reason):
    np.savez_compressed(tmp_path / 'a.npz', **arrays)
    with pytest.raises(DamagedCheckpoint, match=reason):
        read_weights(str(tmp_path / 'a.npz'), allow_pickle=True)
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('damage', [lambda b: b'', lambda b: b[:100], lambda b: b[:150] + b'xxxx' + b[154:]])
def test_a_damaged_archive_of_arrays_is_one_line(tmp_path, damage):
    np.savez(tmp_path / 'a.npz', a=np.arange(100.0))
    (tmp_path / 'a.npz').write_bytes(damage((tmp_path / 'a.npz').read_bytes()))
    with pytest.raises(DamagedCheckpoint, match='truncated or not an archive of numpy arrays'):
        read_weights(str(tmp_path / 'a.npz'))
