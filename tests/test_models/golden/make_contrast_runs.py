"""Golden runs of DenseCL and MoCo v2: five epochs of two iterations of the official models.

    python -m tests.test_models.golden.make_contrast_runs DENSECL MOCO

DENSECL is a checkout of `WXinlong/DenseCL` (b64bbb6), MOCO one of `facebookresearch/moco` (7397dfe). Writes
run_densecl.json and run_mocov2.json. The loop and the schedule of DenseCL belong to mmcv 1: the recipe has its own.
"""

import sys
from types import SimpleNamespace

import mmcv
import mmcv.cnn
import mmengine.model
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from . import formula, recipe
from .track import Noting, Track

SIZES = dict(image=32, channels=16, hidden=64, queue=32, temperature=0.2)
SCHEDULE = dict(epochs=5, iterations=2, lr=0.3, momentum=0.9, weight_decay=1e-4, teacher_momentum=0.999)
BATCH = 8


def views(step: int) -> list[Tensor]:
    """Both views of a batch."""
    return [formula.image(f'view {v} step {step}', BATCH, SIZES['image']).double() for v in range(2)]


def queue(name: str) -> Tensor:
    """Keys that a queue starts with, (Q, C)."""
    return F.normalize(formula.tensor(name, (SIZES['queue'], SIZES['channels'])).double(), dim=1)


def run(model: nn.Module, epoch_of, own: dict[str, str]) -> dict:
    """All steps of a model with student `encoder_q` and teacher `encoder_k`, which start from the same weights.

    The official teacher moves at the start of the next step, which is noted with this one.

    Args:
        model: An official model.
        epoch_of: Trains an epoch, given optimizer, epoch and batches, and returns the terms of its steps.
        own: Buffers of queues, by their name in the record.
    """
    shapes = {name: list(p.shape) for name, p in model.encoder_q.named_parameters()}
    for net in (model.double().encoder_q, model.encoder_k):
        for name, value in formula.weights('student', shapes).items():
            net.get_parameter(name).data.copy_(value)
    for record, buffer in own.items():
        getattr(model, buffer).copy_(queue(record).t())
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        SCHEDULE['lr'],
        momentum=SCHEDULE['momentum'],
        weight_decay=SCHEDULE['weight_decay'],
    )

    def state() -> dict[str, Tensor]:
        nets = {'student': model.encoder_q, 'teacher': model.encoder_k}
        found = {f'{owner} {name}': p for owner, net in nets.items() for name, p in net.named_parameters()}
        return {**found, **{record: getattr(model, buffer).t() for record, buffer in own.items()}}

    track, terms = Track(state), []
    move, model._momentum_update_key_encoder = model._momentum_update_key_encoder, lambda: None

    def after() -> None:
        move()
        track.note()

    model.train()
    for epoch in range(SCHEDULE['epochs']):
        steps = range(SCHEDULE['iterations'] * epoch, SCHEDULE['iterations'] * (epoch + 1))
        terms += epoch_of(optimizer, epoch, Noting([(views(step), None) for step in steps], after))
    return {
        'sizes': SIZES,
        'schedule': SCHEDULE,
        'batch': BATCH,
        'starts': {'teacher': 'student'},
        'flat positions': False,
        'weights': shapes,
        'terms': terms,
        **track.record(),
    }


def densecl(folder: str) -> dict:
    """DenseCL on the first two stages of a ResNet-18."""
    recipe.stub('mmcv.runner', load_checkpoint=None, obj_from_dict=None, get_dist_info=None)
    recipe.stub('openselfsup.version', __version__='', short_version='')
    mmcv.is_str, mmcv.Config = lambda value: isinstance(value, str), None
    for name in ('kaiming_init', 'constant_init', 'normal_init'):
        setattr(mmcv.cnn, name, getattr(mmengine.model, name))
    sys.modules.pop('openselfsup')
    build = recipe.official(folder, 'openselfsup.models').build_model
    with torch.random.fork_rng():
        model = build(
            dict(
                type='DenseCL',
                queue_len=SIZES['queue'],
                feat_dim=SIZES['channels'],
                loss_lambda=0.5,
                momentum=SCHEDULE['teacher_momentum'],
                backbone=dict(
                    type='ResNet',
                    depth=18,
                    num_stages=2,
                    strides=(1, 2),
                    dilations=(1, 1),
                    out_indices=[2],
                    norm_cfg=dict(type='BN'),
                ),
                neck=dict(
                    type='DenseCLNeck',
                    in_channels=128,
                    hid_channels=SIZES['hidden'],
                    out_channels=SIZES['channels'],
                    num_grid=None,
                ),
                head=dict(type='ContrastiveHead', temperature=SIZES['temperature']),
            )
        )
    schedule = {}

    def epoch_of(optimizer: torch.optim.Optimizer, epoch: int, batches: Noting) -> list[dict]:
        if epoch:
            schedule['cosine'].step()
        else:
            schedule['cosine'] = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, SCHEDULE['epochs'])
        terms = []
        for pair, _ in batches:
            found = model(torch.stack(pair, 1))
            loss = sum(found.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            terms.append({'loss': loss.item(), **{name: value.item() for name, value in found.items()}})
        return terms

    return run(model, epoch_of, {'queue': 'queue', 'dense queue': 'queue2'})


class Narrow(ResNet):
    """A ResNet-18 whose stages have an eighth of the channels; the stem keeps its 64."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(64, num_classes)

    def _make_layer(self, block: type, planes: int, *args: object, **kwargs: object) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *args, **kwargs)


def mocov2(folder: str) -> dict:
    """MoCo v2 on a narrow ResNet-18, with the official schedule."""
    main = recipe.official(folder, 'main_moco')
    # What it logs does not run on today's torch.
    main.accuracy = lambda *args, **kwargs: ([0.0], [0.0])
    with torch.random.fork_rng():
        model = main.moco.builder.MoCo(
            Narrow, SIZES['channels'], SIZES['queue'], SCHEDULE['teacher_momentum'], SIZES['temperature'], mlp=True
        )
    args = SimpleNamespace(lr=SCHEDULE['lr'], cos=True, epochs=SCHEDULE['epochs'], gpu=None, print_freq=100)

    def epoch_of(optimizer: torch.optim.Optimizer, epoch: int, batches: Noting) -> list[dict]:
        terms = []

        def criterion(*logits: Tensor) -> Tensor:
            loss = F.cross_entropy(*logits)
            terms.append({'loss': loss.item()})
            return loss

        main.adjust_learning_rate(optimizer, epoch, args)
        main.train(batches, model, criterion, optimizer, epoch, args)
        return terms

    return run(model, epoch_of, {'queue': 'queue'})


def main() -> None:
    """Run both checkouts."""
    recipe.one_process_on_the_cpu()
    recipe.write('run_densecl', densecl(sys.argv[1]))
    recipe.write('run_mocov2', mocov2(sys.argv[2]))


if __name__ == '__main__':
    main()
