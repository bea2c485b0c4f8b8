"""Contents with an invalid structure: tensors, names and stored configs that no regular file has."""

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmdecouple.weights.stored_configs import plain_values

# Parts of a config that remain in a mutant.
KEPT = ('model', 'train_dataloader', 'train_cfg', 'custom_imports')
# Callables whose execution the audit hook of the trials, or a new file in the folder, would reveal.
HOSTILE = [
    'subprocess.check_output',
    'os.system',
    'builtins.eval',
    'mmengine.fileio.put_text',
    'torch.load',
    'builtins.open',
    'shutil.rmtree',
    'mmengine.utils.mkdir_or_exist',
    'torch.hub.load',
    'pathlib.Path.touch',
    'mmdecouple.Nothing',
    'PretrainedInit',
    'Pretrained',
    'torch.from_file',
    'numpy.fromfile',
    'mmengine.Config.fromfile',
]


def restructured(rng: random.Random, whole: dict[str, dict[str, Any]]) -> Any:
    """Returns one of the valid contents with one to four changes."""
    name = rng.choice(list(whole))
    content = copy.copy(whole[name])
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for _ in range(rng.choice([1, 1, 2, 4])):
        _change(rng, content)
    if rng.random() < 0.15:
        content = rng.choice(
            [
                dict(state_dict=content),
                dict(model=content),
                dict(student=content),
                dict(teacher=content, student=content),
                dict(state_dict=None),
                dict(state_dict=[]),
                [content],
                dict(model=dict(state_dict=content)),
                None,
                7,
            ]
        )
    return content


def _change(rng: random.Random, content: dict[str, Any]) -> None:
    if 'meta' in content and rng.random() < 0.4:
        content['meta'] = _hostile_meta(rng, content['meta'])
        return
    holders = [value for value in content.values() if isinstance(value, dict) and value] or [content]
    holder = rng.choice(holders)
    if not holder:
        return
    key = rng.choice(list(holder))
    act = rng.choice(['drop', 'rename', 'prefix', 'value', 'value', 'value', 'double'])
    if act == 'drop':
        del holder[key]
    elif act == 'rename':
        holder[rng.choice(['x', 0, None, 'backbone.extra.weight', 'a' * 5000, 'backbone.layers.99.ln1.weight', ''])] = (
            holder.pop(key)
        )
    elif act == 'double':
        holder[f'other.{key}'] = holder[key]
    elif act == 'prefix':
        front = rng.choice(
            ['module.', '_orig_mod.', 'model.', 'student.', 'teacher.', 'net.', 'encoder_q.', 'backbone.', 'ema.']
        )
        renamed = {f'{front}{key}': value for key, value in holder.items()}
        holder.clear()
        holder.update(renamed)
    else:
        holder[key] = _other_value(rng, holder[key])


def _other_value(rng: random.Random, value: Any) -> Any:
    plain = [None, 3, 'text', [], {}, float('nan'), [value], {'x': value}, np.float64(3), torch.float32]
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
        return rng.choice(plain)
    bad = value.clone()
    bad.view(-1)[rng.randrange(bad.numel())] = rng.choice([math.nan, math.inf, -math.inf, 3e38])
    huge = torch.zeros(1).expand(10**6, 10**6)
    return rng.choice(
        [
            bad,
            bad,
            value.t() if value.ndim == 2 else value[None],
            value.flatten(),
            value[:0],
            value.sum(),
            huge,
            value.half(),
            value.double(),
            value.to(torch.complex64),
            value.to(torch.int8),
            value.to(torch.bfloat16),
            value.to_sparse(),
            value.to('meta'),
            torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
            torch.cat([value, value]),
            *plain,
        ]
    )


def _hostile_meta(rng: random.Random, meta: Any) -> Any:
    if not isinstance(meta, dict):
        return meta
    meta = dict(meta)
    if rng.random() < 0.2:
        key = rng.choice(list(meta))
        meta[key] = rng.choice([None, 3, [], {}, 'x', -1, 2**70, float('nan'), '../../etc/x', b'x'])
        return meta
    try:
        tree = plain_values(meta['cfg'], KEPT)
    except Exception:
        # An earlier change has made the config unreadable.
        return meta
    nodes = list(_blocks(tree['model']))
    node, kind = rng.choice(nodes), rng.choice(HOSTILE)
    act = rng.choice(['type', 'type', 'init_cfg', 'scope', 'imports', 'argument', 'value', 'path', 'text'])
    if act == 'type':
        node['type'] = kind
        node.update(
            rng.choice(
                [{}, dict(args=['touch', 'marker']), dict(command='touch marker'), dict(checkpoint='/etc/passwd')]
            )
        )
    elif act == 'init_cfg':
        node['init_cfg'] = dict(type=rng.choice([kind, 'Pretrained']), checkpoint='/etc/passwd')
    elif act == 'scope':
        node['_scope_'] = rng.choice(['os', 'mmdet', 'subprocess', 'torchvision', ''])
    elif act == 'imports':
        tree['custom_imports'] = dict(imports=['antigravity', 'marker'])
    elif act == 'argument':
        node[rng.choice(['weights', 'checkpoint', 'norm_cfg', 'act_cfg', '__class__', 'pretrained'])] = rng.choice(
            ['/etc/passwd', dict(type=kind), 'http://localhost:9/x', [dict(type=kind)]]
        )
    elif act == 'value' and node:
        node[rng.choice(list(node))] = rng.choice([10**9, -1, 'x', None, [1] * 50, 1e300, {}, 10**5, float('nan')])
    elif act == 'path':
        front = rng.choice(['torch.nn', 'mmpretrain.models', 'torchvision.models', 'mmdecouple.models'])
        node['type'] = f'{front}.{node.get("type", "x")}'
    text = Config(tree).pretty_text
    meta['cfg'] = (
        text
        + rng.choice(
            [
                '\nimport os\nos.system("touch marker")\n',
                '\nx = open("marker", "w")\n',
                '\nmodel["a"] = 1\n',
                '\n' + '(' * 500 + ')' * 500,
            ]
        )
        if act == 'text'
        else text
    )
    return meta


def _blocks(node: Any) -> Iterator[dict]:
    """Yields all dicts in nested dicts and lists."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _blocks(child)
