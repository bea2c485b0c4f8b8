"""Opening of a network from a specification of the command line."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

from mmdecouple.models.backbones import measured_stride
from mmdecouple.networks.building import build_configured, initialize
from mmdecouple.networks.foreign import timm_network
from mmdecouple.networks.projected import PROJECTED, Projection, projected, split_projected
from mmdecouple.networks.published import published_network
from mmdecouple.networks.stored import build_stored
from mmdecouple.registry import MODELS
from mmdecouple.runs.contents import newest_checkpoint, read_run, recorded_config
from mmdecouple.runs.startup import prepare_process
from mmdecouple.utils.configs import SCOPE, load_config
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.weights.checkpoint import read_checkpoint
from mmdecouple.weights.loading import load_weights
from mmdecouple.weights.stored_configs import starting_file
from mmdecouple.weights.weight_files import read_weights

UNTRAINED = 'untrained:'
_TIMM = 'timm:'
_MEASURED = (None, 'teacher', 'student')


@dataclass(frozen=True)
class Network:
    """Network in evaluation mode on its device.

    Attributes:
        name: Name in legends and of files.
        model: Module with `dense_features(normalized images (B, 3, H, W)) -> (B, C, h, w)` float32, `test_step(batch)`,
            which returns samples with `dense`, and `data_preprocessor`.
        cell: Pixels of an image per dense position: the patch of a ViT, 16 for a ResNet-50 by default, or the stride of
            the selected layer.
        config: Config of the network; None for a network of another project.
        checkpoint: File of its weights; None for random weights.
    """

    name: str
    model: nn.Module
    cell: int
    config: Config | None = None
    checkpoint: Path | None = None


def open_network(
    spec: str, *, measured: str | None = None, layer: str | int | None = None, seed: int = 0, allow_pickle: bool = False
) -> Network:
    """Opens the network that a specification of the command line names, on the GPU if there is one.

    ===========================  ==========================================================================
    `CHECKPOINT.pth`             a checkpoint of this package, with the config stored in the file
    `RUN_FOLDER`                 its newest checkpoint
    `untrained:CHECKPOINT.pth`   random weights in the network of its config (also `untrained:RUN_FOLDER`)
    `CONFIG.py`                  untrained (also `mmdecouple::folder/file.py`)
    `CONFIG.py=CHECKPOINT.pth`   the weights in the network of this config
    `timm:NAME`                  a model of timm with random weights
    `timm:NAME=FILE`             with a local weight file in timm's or the authors' format
    `FILE`                       a ViT or ResNet of another project: iBOT, DINO, CLIP, MoCo, torchvision, ...
    `projected:FILE:NETWORK`     one of these with the projection that `remove-position` has written to FILE
    ===========================  ==========================================================================

    Args:
        spec: Specification as above.
        measured: `teacher` or `student`, for specifications that hold both; None for the choice of the config, or for
            the teacher in files of other projects.
        layer: Layer whose plain output is read: a block of a ViT by number from 1 (the last one without the final
            norm), or a stage of a CNN by name (`layer3`); None for the last layer, as in the paper. The layer is
            appended to the name of the network.
        seed: Seed of random weights.
        allow_pickle: Whether to trust a file: unpickle all of its content, and run the imports of its config.

    Raises:
        MissingFile: A file or folder does not exist.
        UserError: `spec`, `measured` or `layer` is unknown, or the weights do not fit the network.
    """
    if measured not in _MEASURED:
        raise UserError(f"measured must be 'teacher' or 'student', got {measured!r} (--role).")
    prepare_process()
    init_default_scope(SCOPE)
    set_random_seed(seed)
    opened = _opener(spec)(spec, measured, allow_pickle)
    if layer is not None:
        opened = at_layer(opened, str(layer))
    opened.model.to('cuda' if torch.cuda.is_available() else 'cpu').eval().requires_grad_(False)
    return opened


def weight_file(spec: str) -> Path | None:
    """Returns the file from which `open_network` would take the weights of a network; None for random weights.

    Args:
        spec: See `open_network`.

    Raises:
        MissingFile: A run folder holds no readable checkpoint.
    """
    kind = _opener(spec)
    if kind is _open_projected:
        return weight_file(split_projected(spec)[1])
    if kind is _open_folder:
        return newest_checkpoint(Path(spec))
    if kind in (_open_timm, _open_pair):
        file = spec.partition('=')[2]
        return Path(file) if file else None
    return Path(spec) if kind is _open_file else None


def untrained_spec(spec: str) -> str:
    """Returns the specification of the network of `spec` with random weights.

    Raises:
        UserError: The network of `spec` has random weights already.
    """
    kind = _opener(spec)
    if kind is _open_projected:
        return untrained_spec(split_projected(spec)[1])
    if kind is _open_timm:
        found = spec.partition('=')[0]
    elif kind is _open_pair:
        found = f'{spec.partition(".py=")[0]}.py'
    else:
        found = spec if kind in (_open_config, _open_untrained) else f'{UNTRAINED}{spec}'
    if found == spec:
        raise UserError(f'{spec} has random weights already; omit --untrained, or name a trained network first.')
    return found


def at_layer(network: Network, layer: str) -> Network:
    """Returns the same network, with shared weights, read at a layer; the layer is appended to its name.

    Raises:
        UserError: The backbone has no such layer.
    """
    try:
        cell = measured_stride(network.model.measured_backbone, layer)
    except ValueError as error:
        raise UserError(f'{network.name}: {error}') from error
    model = copy(network.model)
    model.layer = layer
    place = f'block{layer}' if layer.isdecimal() else layer
    return replace(network, name=f'{network.name}-{place}', model=model, cell=cell)


def _opener(spec: str) -> Callable[[str, str | None, bool], Network]:
    if spec.startswith(PROJECTED):
        return _open_projected
    if spec.startswith(_TIMM):
        return _open_timm
    if spec.startswith(UNTRAINED):
        return _open_untrained
    if Path(spec).is_dir():
        return _open_folder
    if '.py=' in spec and not Path(spec).is_file():
        return _open_pair
    return _open_config if spec.endswith('.py') else _open_file


def _open_projected(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    file, inner = split_projected(spec)
    projection = Projection.read(file)
    network = _opener(inner)(inner, measured or projection.measured, allow_pickle)
    model = projected(network.model, projection, network.name, file)
    return replace(network, name=f'{network.name}-projected', model=model, cell=model.cell)


def _open_timm(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    name, _, file = spec.removeprefix(_TIMM).partition('=')
    if not file:
        return _foreign(f'{name}-untrained', timm_network(name), None)
    content = read_weights(file, allow_pickle)
    model = timm_network(name, content, repr(file), measured)
    return _foreign(f'{name}-{Path(file).stem}', model, Path(file))


def _open_folder(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    checkpoint, config = read_run(Path(spec), allow_pickle)
    content = read_weights(str(checkpoint), allow_pickle)
    return _stored(Path(spec).resolve().name, config, measured, checkpoint, content, allow_pickle)


def _open_untrained(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    path = Path(spec.removeprefix(UNTRAINED))
    checkpoint = newest_checkpoint(path) if path.is_dir() else path
    content = read_checkpoint(str(checkpoint), allow_pickle=allow_pickle)
    config = recorded_config(checkpoint, content, allow_pickle)
    if config is None:
        raise UserError(f'{checkpoint} does not state with which config it was trained; name that config (CONFIG.py).')
    if starting_file(config) is not None:
        raise UserError(
            f'{checkpoint}: its backbone was initialized from {shown(starting_file(config))}, which is not '
            'opened for an untrusted file; name its config (CONFIG.py).'
        )
    name = f'{path.resolve().name if path.is_dir() else _name(path)}-untrained'
    return _stored(name, config, measured, checkpoint, content, allow_pickle, untrained=True)


def _open_pair(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    config, _, checkpoint = spec.partition('.py=')
    loaded = load_config(f'{config}.py')
    return _ours(_name(Path(checkpoint)), loaded, measured, Path(checkpoint), read_weights(checkpoint, allow_pickle))


def _open_config(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    return _ours(f'{Path(spec).stem}-untrained', load_config(spec), measured)


def _open_file(spec: str, measured: str | None, allow_pickle: bool) -> Network:
    path = Path(spec)
    if not path.is_file():
        raise MissingFile(
            f'{spec}: no such file or folder; a network is CHECKPOINT.pth, RUN_FOLDER, CONFIG.py, '
            'CONFIG.py=CHECKPOINT.pth, timm:NAME or timm:NAME=FILE.'
        )
    content = read_weights(spec, allow_pickle)
    config = recorded_config(path, content, allow_pickle)
    if config is not None:
        return _stored(_name(path), config, measured, path, content, allow_pickle)
    try:
        model = published_network(content, measured, repr(spec))
    except ValueError as error:
        raise UserError(
            f'{error} If it belongs to a config, use CONFIG.py={spec}; if to a model of timm, timm:NAME={spec}.'
        ) from error
    return _foreign(_name(path), model, path)


def _stored(
    name: str,
    config: Config,
    measured: str | None,
    checkpoint: Path,
    content: dict[str, Any],
    trusted: bool,
    untrained: bool = False,
) -> Network:
    """Builds the network of a config that is stored in a file."""
    if measured is not None:
        config.model.measured = measured
    model = MODELS.build(config.model) if trusted else build_stored(config.model, content, str(checkpoint))
    return _finalize(name, model, config, None if untrained else checkpoint, content)


def _ours(
    name: str,
    config: Config,
    measured: str | None,
    checkpoint: Path | None = None,
    content: dict[str, Any] | None = None,
) -> Network:
    """Builds the network of a config that the user names."""
    if measured is not None and 'model' in config:
        config.model.measured = measured
    model = build_configured(name, config)
    return _finalize(name, model, config, checkpoint, content)


def _finalize(
    name: str, model: nn.Module, config: Config, checkpoint: Path | None, content: dict[str, Any] | None
) -> Network:
    if checkpoint is None:
        initialize(model)
    else:
        load_weights(model, content, str(checkpoint))
    cell = measured_stride(model.measured_backbone) or model.dense_stride
    if cell is None:
        raise UserError(
            f'{name}: the stride of the backbone is unknown; set the config key model.dense_stride to the '
            'pixels of an image per dense position.'
        )
    return Network(name, model, cell, config, checkpoint)


def _foreign(name: str, model: nn.Module, checkpoint: Path | None) -> Network:
    return Network(name, model, model.cell, None, checkpoint)


def _name(checkpoint: Path) -> str:
    return f'{checkpoint.resolve().parent.name}-{checkpoint.stem}'
