"""Mutated weight files, and trials of the readers of weights with them."""

import io
import pickle
import random
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import torch
from damaged_bytes import damaged
from mmengine.config import Config
from mmengine.logging import MMLogger
from other_structure import restructured
from safetensors.torch import save as save_safetensors
from torch import nn
from trials import Accepted

from mmdecouple.networks.network import open_network
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config
from mmdecouple.weights.formats.vit import from_ours

TOOLS = Path(__file__).resolve().parents[1]
VIT = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=384)


class File(NamedTuple):
    """Mutated file: its ending and its bytes."""

    ending: str
    content: bytes


def contents() -> dict[str, dict[str, Any]]:
    """Returns valid files of small networks in all formats, as a dict of names to contents."""
    torch.manual_seed(0)
    # mmengine logs every weight that it initializes.
    MMLogger.get_current_instance().setLevel('ERROR')
    config = load_config(
        'mmdecouple::demo/ibot-d_vit-demo_scenes.py',
        {
            'model.backbone.arch': VIT,
            'model.neck.in_channels': 192,
            'model.neck.hidden_channels': 32,
            'model.neck.out_channels': 32,
            'model.neck.bottleneck_channels': 16,
        },
    )
    densecl = load_config(
        'mmdecouple::demo/densecl_resnet-demo_scenes.py',
        {
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'model.neck.in_channels': 32,
            'model.neck.hid_channels': 16,
            'model.queue_length': 8,
        },
    )
    own = [_checkpoint(one) for one in (config, densecl)]
    vit = {
        key.removeprefix('backbone.'): value
        for key, value in own[0]['state_dict'].items()
        if key.startswith('backbone.')
    }
    dino = {f'backbone.{key}': value for key, value in from_ours(vit, 'dino').items()}
    alone = from_ours(vit, 'timm')
    return dict(
        own_vit=own[0],
        own_resnet=own[1],
        dino=dict(student={f'module.{k}': v for k, v in dino.items()}, teacher=dino, epoch=3),
        timm=alone,
        wrapped=dict(state_dict=alone, args=None, epoch=1),
        huggingface=from_ours(vit, 'huggingface'),
        lightly=dict(
            state_dict={f'{role}_backbone.{k}': v for role in ('student', 'teacher') for k, v in alone.items()}
        ),
    )


def _checkpoint(config: Config) -> dict[str, Any]:
    model = MODELS.build(config.model)
    model.init_weights()
    return dict(
        meta=dict(cfg=config.pretty_text, epoch=1, iter=10, seed=0, experiment_name='run'),
        state_dict=dict(model.state_dict()),
        message_hub=dict(log_scalars={}),
        optimizer=dict(state={}),
    )


def mutants(count: int, start: int) -> Iterator[File]:
    """Yields `count` files, the same for equal `start`: half with another structure, half with damaged bytes."""
    whole = contents()
    files = [_saved(content, ending) for content in whole.values() for ending in ('.pth', 'legacy')]
    files += [_saved(whole['timm'], '.safetensors'), _saved(whole['timm'], '.pkl'), _script()]
    rng = random.Random(start)
    for number in range(count):
        if number % 2:
            file = rng.choice(files)
            yield File(file.ending, damaged(rng, file.content))
        else:
            yield _writable(rng, whole)


def _writable(rng: random.Random, whole: dict[str, dict[str, Any]]) -> File:
    """Returns a file with another structure; contents that cannot be written are drawn again."""
    while True:
        try:
            return _saved(restructured(rng, whole), rng.choice(['.pth', '.pth', 'legacy']))
        except Exception:
            continue


def _saved(content: dict[str, Any], ending: str) -> File:
    if ending == '.safetensors':
        return File(ending, save_safetensors({key: value.contiguous() for key, value in content.items()}))
    if ending == '.pkl':
        return File(
            ending, pickle.dumps(dict(model={key: value.numpy() for key, value in content.items()}), protocol=3)
        )
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=ending == '.pth')
    return File('.pth', buffer.getvalue())


def _script() -> File:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))), buffer)
    return File('.pt', buffer.getvalue())


def _tool(name: str) -> Callable[[list[str]], Any]:
    spec = spec_from_file_location(f'{Path(name).stem}_converter', TOOLS / name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def trials(count: int, start: int, folder: Path) -> tuple[Callable[[File], None], Iterator[File]]:
    """Returns the call and its payloads for `run_trials`: both converters and `open_network` read each file."""
    converters = [(_tool('model_converters/vit.py'), 'timm'), (_tool('model_converters/resnet.py'), 'torchvision')]

    def read(file: File) -> None:
        path, out = folder / f'weights{file.ending}', folder / 'converted.pth'
        path.write_bytes(file.content)
        for main, format in converters:
            out.unlink(missing_ok=True)
            try:
                main([str(path), str(out), '--to', format])
            except SystemExit as end:
                if out.exists():
                    raise Accepted('a file that was refused was written') from end
            else:
                _check_finite(out)
        network = open_network(str(path))
        features = network.model.dense_features(torch.zeros(1, 3, 64, 64))
        if not features.isfinite().all():
            raise Accepted('features are not finite')

    return read, mutants(count, start)


def _check_finite(path: Path) -> None:
    for name, value in torch.load(path, weights_only=True).items():
        if value.is_floating_point() and not value.isfinite().all():
            raise Accepted(f'{name} was written and is not finite')
