"""Mutated weight files, and trials of the readers of weights with them."""

import io
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from damaged_bytes import damaged
from other_structure import restructured
from safetensors.torch import save as save_safetensors
from torch import nn
from trial_process import Accepted
from valid_weights import contents

from mmdecouple.commands.convert import main as convert
from mmdecouple.export.writing import files_of
from mmdecouple.networks.network import open_network


class File(NamedTuple):
    """Mutated file: its ending and its bytes."""

    ending: str
    content: bytes


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


def trials(count: int, start: int, folder: Path) -> tuple[Callable[[File], None], Iterator[File]]:
    """Returns the call and its payloads for `run_trials`: the converter and `open_network` read each file."""
    # Each file holds a ViT, a ResNet, or neither: the format that does not fit is refused.
    written = [(format, files_of(format, folder / format)[0]) for format in ('dino', 'torchvision')]

    def read(file: File) -> None:
        path = folder / f'weights{file.ending}'
        path.write_bytes(file.content)
        for format, out in written:
            out.unlink(missing_ok=True)
            try:
                convert([str(path), '--to', format, '--out', str(folder / format)])
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
