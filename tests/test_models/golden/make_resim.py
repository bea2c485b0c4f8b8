"""Golden numbers of ReSim from the official data set, pooling, model and training loop.

    python -m tests.test_models.golden.make_resim RESIM

RESIM is a checkout of `Tete-Xiao/ReSim` (b6a36ee). Writes resim.json and run_resim.json. Needs g++: the CUDA kernels
of precise RoI pooling are compiled for the CPU.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from . import formula, make_contrast_runs, official_resim, recipe

# Side of the views of the run in pixels: 3, 6 and 12 positions.
SIZE = 96
# Crops x1, y1, x2, y2 of query and key in an image of 250 x 200, after the flip.
CROPS = (
    ((0, 0, 250, 200), (0, 0, 250, 200)),
    ((20, 10, 190, 150), (60, 30, 240, 190)),
    ((100, 40, 220, 150), (0, 0, 250, 200)),
    ((0, 0, 250, 200), (100, 40, 220, 150)),
    ((0, 0, 110, 90), (130, 100, 250, 200)),
    ((0, 0, 160, 130), (0, 20, 170, 150)),
)
BOXES = ((0, 0, 48, 48), (32, 32, 80, 80), (48.5, 3.25, 94.75, 20), (40, 60, 96, 96), (10, 70.5, 11, 71.5))


def windows(main: Any) -> list[dict]:
    """Windows of both levels in the key views, from the official data set with given crops; -1 if not shown."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'class').mkdir()
        Image.fromarray(np.zeros((200, 250, 3), np.uint8)).save(Path(folder) / 'class' / 'image.png')
        for query, key in CROPS:
            crops = iter([query, key])

            def crop(image: Image.Image, crops: Iterator = crops) -> tuple:
                x1, y1, x2, y2 = next(crops)
                return image, (y1, x1, y2 - y1, x2 - x1)

            data = main.moco.datasets.ImageFolder(
                folder,
                crop_transform=crop,
                flip_transform=lambda image, is_flip=False: (image, is_flip),
                ending_transform=lambda image: image,
            )
            _, _, coarse, fine = data[0]
            found.append(
                {
                    'query crop': query,
                    'key crop': key,
                    **{
                        name: [box if label == 0 else -1 for box, label in zip(boxes.tolist(), labels)]
                        for name, (_, boxes, labels) in {'coarse': coarse, 'fine': fine}.items()
                    },
                }
            )
    return found


def pooled(main: Any) -> dict:
    """The official pooling of maps from a formula, and its gradient for a gradient from a formula."""
    maps = formula.tensor('maps', (2, 3, 6, 6)).double().requires_grad_()
    rois = torch.tensor([[n, *box] for n in range(2) for box in BOXES], dtype=torch.float64)
    out = main.moco.builder.prroi_pool2d(maps, rois, 1, 1, 1 / 16.0)[..., 0, 0]
    out.backward(formula.tensor('gradient', tuple(out.shape)).double())
    return {'boxes': BOXES, 'means': out.detach().view(2, len(BOXES), 3), 'gradient': maps.grad}


def narrow(main: Any) -> type:
    """The official network with a ResNet-18 whose stages have an eighth of the channels; the stem keeps its 64."""
    official = main.moco.models.ResNet

    class Narrow(official):
        def __init__(self, num_classes: int, use_fpn_norm: bool) -> None:
            super().__init__(BasicBlock, [2, 2, 2, 2], num_classes, use_fpn_norm=use_fpn_norm)
            self.fc = nn.Sequential(nn.Linear(64, 64), nn.ReLU(inplace=True), nn.Linear(64, num_classes))
            for level, width in ((5, 64), (4, 32), (3, 16)):
                setattr(self, f'fpn_lateral{level}', nn.Conv2d(width, 256, 1))

        def _make_layer(self, block: type, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
            return super()._make_layer(block, planes // 8, *args, **kwargs)

    return Narrow


def crops(step: int) -> Tensor:
    """Crops x1, y1, x2, y2 of the query and key views of a batch, (2, B, 4), integers within 250 x 200."""
    draws = (formula.tensor(f'crops step {step}', (2, make_contrast_runs.BATCH, 4)).double() + 1) / 2
    side = (draws[..., 2:] * 0.5 + 0.5) * torch.tensor([250.0, 200.0])
    corner = draws[..., :2] * (torch.tensor([250.0, 200.0]) - side)
    return torch.cat([corner, corner + side], dim=2).round()


def anchors(main: Any, step: int, side: int, stride: int, view: int) -> list[Tensor]:
    """Windows of the query views, of the key views, and labels, as in the official data set for views of 224 pixels."""
    mapping, places = main.moco.datasets.ImageFolder.anchor_mapping, range(0, view - side, stride)
    own = [(x, y, x + side, y + side) for y in places for x in places]
    query, key, labels = [], [], []
    for first, second in crops(step).transpose(0, 1).tolist():
        for box in own:
            there = mapping(box, first, second, float(view))
            query.append(box)
            labels.append(-1 if there[0] == -1 else 0)
            key.append((0, 0, 1, 1) if there[0] == -1 else there)
    shape = make_contrast_runs.BATCH, len(own)
    boxes = [torch.tensor(part, dtype=torch.float64).view(*shape, 4) for part in (query, key)]
    return [*boxes, torch.tensor(labels).view(shape)]


class Anchored:
    """The batches of an epoch with the windows of their views.

    Args:
        main: The official code.
        batches: Batches of views.
        first: Step of the first batch.
    """

    def __init__(self, main: Any, batches: Any, first: int) -> None:
        self.batches = batches
        self.anchors = [
            [anchors(main, step, *window, SIZE) for window in ((48, 32), (32, 24))]
            for step in range(first, first + len(batches))
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        # `batches` comes first because it records a step when the next one is requested.
        for (pair, _), levels in zip(self.batches, self.anchors):
            yield (pair, None, *levels)


def run(main: Any) -> dict:
    """Ten steps of ReSim on a pyramid with the official loop and schedule."""
    sizes, schedule = make_contrast_runs.SIZES, make_contrast_runs.SCHEDULE
    sizes['image'] = SIZE
    with torch.random.fork_rng():
        model = main.moco.builder.MoCo(
            narrow(main), sizes['channels'], sizes['queue'], schedule['teacher_momentum'], sizes['temperature']
        )
    args = SimpleNamespace(lr=schedule['lr'], cos=True, epochs=schedule['epochs'], gpu=None, print_freq=100)
    criterion = nn.CrossEntropyLoss(ignore_index=-1)

    def epoch_of(optimizer: torch.optim.Optimizer, epoch: int, batches: Any) -> list[dict]:
        found: list[float] = []

        def noted(*logits: Tensor) -> Tensor:
            loss = criterion(*logits)
            found.append(loss.item())
            return loss

        main.adjust_learning_rate(optimizer, epoch, args)
        anchored = Anchored(main, batches, epoch * schedule['iterations'])
        with official_resim.in_float64():
            main.train(anchored, model, noted, optimizer, epoch, args)
        steps = (found[i : i + 3] for i in range(0, len(found), 3))
        return [dict(zip(('moco', 'c4', 'c3'), terms), loss=sum(terms)) for terms in steps]

    record = make_contrast_runs.run(model, epoch_of, {'queue': 'queue'})
    steps = range(schedule['epochs'] * schedule['iterations'])
    return {**record, 'crops': [crops(step).int() for step in steps]}


def main() -> None:
    """Runs the checkout."""
    recipe.one_process_on_the_cpu()
    code = official_resim.code(sys.argv[1])
    recipe.write('resim', {'windows': {str(n): case for n, case in enumerate(windows(code))}, 'pooling': pooled(code)})
    recipe.write('run_resim', run(code))


if __name__ == '__main__':
    main()
