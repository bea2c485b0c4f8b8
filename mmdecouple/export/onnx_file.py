"""Export of a network to ONNX, for batches and images of any size, with a comparison of its outputs with torch's."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.errors import UserError, WrongInstallation, shown
from mmdecouple.utils.files import write_bytes

from .features import Features

# The first version with dynamic shapes in the exporter that this module uses.
_TORCH = '2.6'
_TOLERANCE = 1e-4
_MOST_BYTES = 2**31 - 1
_LAYOUT = 'RGB, float32, NCHW, values in [0, 1]; the graph normalizes with mean and std'


def write_onnx(features: Features, path: Path, facts: dict[str, str]) -> float:
    """Writes a network as an ONNX file after a comparison of its outputs with torch's at sizes that were not traced.

    The file has the input `images`, the outputs `features.outputs`, dynamic batch, height and width, and as metadata
    mean, std, the number whose multiples height and width must be, and facts about the network.

    Args:
        features: Network in evaluation mode on the CPU.
        path: Target, replaced if it exists.
        facts: Facts for the metadata, by name.

    Returns:
        The largest absolute difference from torch's outputs.

    Raises:
        WrongInstallation: torch is too old, or a package for ONNX is missing.
        UserError: The exporter does not support the network, the file would exceed 2 GiB, or an output differs by more
            than 1e-4 times the largest value (at least 1).
    """
    onnx, onnxruntime = _packages()
    with evaluating(features), torch.no_grad():
        model = _exported(features)
        described = dict(
            facts,
            input=_LAYOUT,
            mean=_numbers(features.mean),
            std=_numbers(features.std),
            size_multiple=str(features.multiple),
        )
        onnx.helper.set_model_props(model, described)
        if model.ByteSize() > _MOST_BYTES:
            raise UserError(f'{path}: the network exceeds 2 GiB, the limit of one ONNX file; export a smaller one.')
        content = model.SerializeToString()
        difference = _difference(features, onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider']))
    write_bytes(path, content)
    return difference


def _packages() -> tuple[Any, Any]:
    if Version(torch.__version__) < Version(_TORCH):
        raise WrongInstallation(
            f'ONNX export needs torch {_TORCH} or newer, and {torch.__version__} is installed; convert the network '
            'where a newer torch is installed.'
        )
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise WrongInstallation(
            f'ONNX export needs the package {error.name}: pip install onnx onnxruntime onnxscript'
        ) from error
    return onnx, onnxruntime


class _Flat(nn.Module):
    """Features as a tuple, from images whose sides ONNX's runtimes check."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        patch = self.features.multiple
        if patch > 1:
            # A convolution would drop the rest of an image; a runtime refuses to reshape one of another size.
            count, channels, height, width = images.shape
            images = images.view(count, channels, height // patch, patch, width // patch, patch)
            images = images.view(count, channels, height // patch * patch, width // patch * patch)
        return tuple(self.features(images).values())


def _exported(features: Features) -> Any:
    unit = features.multiple if features.multiple > 1 else 1
    dims = {0: torch.export.Dim('batch')}
    for axis, name in ((2, 'height'), (3, 'width')):
        side = torch.export.Dim(name if unit == 1 else f'{name}_in_patches')
        dims[axis] = side if unit == 1 else unit * side
    example = torch.zeros(2, 3, *_sides(features, 3, 5))
    try:
        with _quiet():
            program = torch.onnx.export(
                _Flat(features),
                (example,),
                input_names=['images'],
                output_names=list(features.outputs),
                dynamic_shapes=dict(images=dims),
                dynamo=True,
                external_data=False,
            )
    except Exception as error:
        # The exporter raises errors of many kinds, whose text describes its own graph.
        reason = next(iter(str(error).strip().splitlines()), '')
        raise UserError(
            f'torch cannot export this network to ONNX ({type(error).__name__}: {shown(reason, 120)}); convert it to '
            'another format.'
        ) from error
    return program.model_proto


def _difference(features: Features, session: Any) -> float:
    """Returns the largest difference between a session's outputs and torch's; raises an error if it is too large."""
    random, largest = torch.Generator().manual_seed(0), 0.0
    for count, sides in (
        (1, _sides(features, 4, 4)),
        (3, _sides(features, 7, 2)),
        (1, _sides(features, 2, 3, odd=True)),
    ):
        images = torch.rand(count, 3, *sides, generator=random)
        found = session.run(None, {'images': images.numpy()})
        for name, expected, values in zip(features.outputs, features(images).values(), found):
            difference = float((torch.from_numpy(values) - expected).abs().max())
            if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
                raise UserError(
                    f'The output {name} of the exported network differs from torch by {difference:.2g} for images of '
                    f'{sides[0]} x {sides[1]} pixels; convert the network to another format.'
                )
            largest = max(largest, difference)
    return largest


def _sides(features: Features, height: int, width: int, odd: bool = False) -> tuple[int, int]:
    """Returns a height and width for a number of units of 32 pixels, or of patches; odd ones if any size is allowed."""
    unit = features.multiple if features.multiple > 1 else 32
    rest = int(odd and features.multiple == 1)
    return height * unit + rest, width * unit + rest


def _numbers(values: Tensor) -> str:
    return ', '.join(f'{value:.6g}' for value in values.flatten().tolist())


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without the progress, warnings and logs of the exporter, which concern its own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
