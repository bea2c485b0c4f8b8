"""Hostile configs in the metadata of a checkpoint: callables that must not run, and arguments that no model accepts."""

import random
from collections.abc import Iterator
from typing import Any

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


def hostile_meta(rng: random.Random, meta: Any) -> Any:
    """Returns the metadata of a checkpoint with one changed entry, mostly in its config."""
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
