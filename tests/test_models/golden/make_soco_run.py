"""A golden run of SoCo-C4: five epochs of two iterations by the official training loop.

    python -m tests.test_models.golden.make_soco_run SOCO

Checkout as for `make_soco`. Writes run_soco.json.
"""

import sys
from types import SimpleNamespace

import mmcv.cnn
import torch
from mmengine.model import xavier_init
from torch import Tensor

from . import formula, recipe
from .make_soco import SIZES, tiny_model
from .track import Noting, Track

SCHEDULE = dict(
    epochs=5, iterations=2, lr=8.0, momentum=0.9, weight_decay=1e-5, warmup=2, warmup_factor=0.01, teacher_momentum=0.99
)
# Which proposal a box of view 0 and of view 1 shows, by image: crosswise, padded, one in common, none in common.
IDS = [
    [[[1, 2, 3, 4], [3, 1, 4, 2]], [[1, 2, 1, 2], [2, 1, 2, 2]], [[1, 2, 3, 4], [5, 2, 6, 7]]],
    [[[1, 2, 3, 4], [1, 2, 3, 4]], [[1, 2, 3, 4], [5, 6, 7, 8]], [[4, 3, 3, 4], [3, 4, 3, 1]]],
]


def boxes(step: int) -> Tensor:
    """Boxes of both views in [0, 1], (2, B, 4, 4)."""
    shape = 2, SIZES['batch'], 4, 2
    low = (formula.tensor(f'boxes low step {step}', shape) + 1) * 0.25
    return torch.cat([low, low + 0.2 + (formula.tensor(f'boxes size step {step}', shape) + 1) * 0.15], dim=-1)


def batch(step: int) -> list[Tensor]:
    """Views, boxes and correspondence."""
    views = [formula.image(f'view {v} step {step}', SIZES['batch'], SIZES['image']) for v in range(2)]
    ids = torch.tensor(IDS[step % 2])
    same = ids[:, 0, :, None] == ids[:, 1, None]
    return [item.double() for item in (*views, *boxes(step), same)]


def run(main, models) -> dict:
    """All steps.

    The official teacher moves at the start of a step; here after it, as ours, so that the cosine of its momentum is
    read one step earlier.
    """
    s = SCHEDULE
    model = tiny_model(models, main.resnet, s['iterations'] * SIZES['batch'], s['epochs'])
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    recipe.load(model, formula.weights('student', shapes))
    nets = {
        'student': {name: model.get_parameter(name) for name in shapes},
        'teacher': {
            name: model.get_parameter(name.replace('.', '_k.', 1))
            for name in shapes
            if not name.startswith('predictor')
        },
    }
    for name, teacher in nets['teacher'].items():
        teacher.data.copy_(nets['student'][name].data)
    move, model._momentum_update_key_encoder = model._momentum_update_key_encoder, lambda: None
    optimizer = main.LARS(
        torch.optim.SGD(main.add_weight_decay(model, s['weight_decay']), lr=s['lr'], momentum=s['momentum'])
    )
    args = SimpleNamespace(
        model='SoCo_C4',
        amp_opt_level='O0',
        use_sliding_window_sampler=False,
        print_freq=100,
        epochs=s['epochs'],
        lr_scheduler='cosine',
        warmup_epoch=s['warmup'],
        warmup_multiplier=1 / s['warmup_factor'],
    )
    scheduler = main.get_scheduler(optimizer, s['iterations'], args)
    main.logger = SimpleNamespace(info=lambda line: None)
    terms, directed, of_direction = [], [], model.regression_loss_bboxs

    def keep(*args: Tensor) -> Tensor:
        directed.append(of_direction(*args))
        return directed[-1]

    model.regression_loss_bboxs = keep
    model.register_forward_hook(
        lambda _, inputs, loss: terms.append(
            {'loss': loss.item(), '12': directed[-2].item(), '21': directed[-1].item()}
        )
    )

    def state() -> dict[str, Tensor]:
        # The momentum update puts new tensors into the teacher's parameters.
        return {f'{owner} {name}': p for owner, net in nets.items() for name, p in net.items()}

    track = Track(state)

    def after() -> None:
        move()
        track.note()

    for epoch in range(s['epochs']):
        steps = range(epoch * s['iterations'], (epoch + 1) * s['iterations'])
        main.train(epoch + 1, Noting([batch(step) for step in steps], after), model, optimizer, scheduler, args, None)
    return {
        'sizes': SIZES,
        'schedule': s,
        'starts': {'teacher': 'student'},
        'flat positions': False,
        'ids': IDS,
        'boxes': [boxes(step) for step in range(s['epochs'] * s['iterations'])],
        'weights': shapes,
        'terms': terms,
        **track.record(),
    }


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    recipe.stub('mmdet.core', anchor_inside_flags=None)
    mmcv.cnn.xavier_init = xavier_init
    pretrain = recipe.official(sys.argv[1], 'main_pretrain')
    recipe.write('run_soco', run(pretrain, sys.modules['contrast.models.SoCo_C4']))


if __name__ == '__main__':
    main()
