"""Damage of bytes: flipped, truncated, repacked with valid checksums, and pickles that name other objects."""

import io
import random
import zipfile


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Returns the bytes of a weight file with one kind of damage."""
    raw = bytearray(content)
    kind = rng.choice(['flip', 'flip', 'cut', 'zero', 'insert', 'names', 'names', 'recoded', 'compressed', 'record'])
    at = rng.choice(
        [rng.randrange(len(raw)), rng.randrange(min(2000, len(raw))), max(0, len(raw) - rng.randrange(1, 3000))]
    )
    if kind == 'flip':
        for _ in range(rng.choice([1, 1, 3, 40])):
            raw[rng.randrange(len(raw)) if rng.random() < 0.5 else min(at, len(raw) - 1)] ^= 1 << rng.randrange(8)
    elif kind == 'cut':
        del raw[at:]
    elif kind == 'zero':
        raw[at : at + 200] = bytes(len(raw[at : at + 200]))
    elif kind == 'insert':
        raw[at:at] = rng.randbytes(rng.choice([1, 4, 500]))
    elif zipfile.is_zipfile(io.BytesIO(content)):
        return _repacked(rng, content, kind)
    else:
        return _renamed(rng, content)
    return bytes(raw)


def _repacked(rng: random.Random, content: bytes, kind: str) -> bytes:
    """Returns the archive with changed records and valid checksums."""
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if kind == 'compressed' else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, 'w', method) as new:
        names = old.namelist()
        victim = rng.choice(names)
        for name in names:
            data = old.read(name)
            if kind == 'names' and name.endswith('.pkl'):
                data = _renamed(rng, data)
            elif kind == 'recoded' and name.endswith('data.pkl') and data:
                data = bytearray(data)
                data[rng.randrange(len(data))] = rng.randrange(256)
            elif kind == 'record' and name == victim:
                data = rng.choice([b'', data[: len(data) // 2], data + b'x', rng.randbytes(len(data))])
            new.writestr(name if kind != 'record' or rng.random() < 0.95 else f'../{name}', bytes(data))
    return out.getvalue()


def _renamed(rng: random.Random, data: bytes) -> bytes:
    """Returns a pickle in which one of the named objects is replaced."""
    things = [
        b'ctorch._utils\n_rebuild_tensor_v2\n',
        b'ccollections\nOrderedDict\n',
        b'ctorch\nFloatStorage\n',
        b'cnumpy.core.multiarray\n_reconstruct\n',
        b'c__torch__.torch.nn.modules.linear\nLinear\n',
    ]
    other = rng.choice(
        [
            b'cos\nsystem\n',
            b'cbuiltins\neval\n',
            b'csubprocess\nPopen\n',
            b'ctorch\nload\n',
            b'cbuiltins\ngetattr\n',
            b'ctorch.hub\nload\n',
            b'ctorch.serialization\n_load\n',
            b'ctorch\nDoubleStorage\n',
            b'cpathlib\nPath\n',
        ]
    )
    present = [thing for thing in things if thing in data]
    return data.replace(rng.choice(present), other, rng.choice([1, -1])) if present else data + b'.'
