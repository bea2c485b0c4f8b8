"""Golden runs of PixPro: five epochs of two iterations by the official training loop.

    python -m tests.test_models.golden.make_pixpro_run PIXPRO

Checkout as for `make_pixpro`. Writes run_pixpro.json and, with the instance branch, run_pixpro_instance.json.
"""

import sys
from types import SimpleNamespace

import torch
from torch import Tensor

from . import formula, recipe
from .make_pixpro import SIZES, WINDOWS, official_code, taught, tiny_model
from .track import Noting, Track

SCHEDULE = dict(
    epochs=5, iterations=2, lr=4.0, momentum=0.9, weight_decay=1e-5, warmup=2, warmup_factor=0.01, teacher_momentum=0.99
)


def batch(step: int, coords: Tensor) -> list[Tensor]:
    """Views, and the windows of images in another order at each step."""
    views = [formula.image(f'view {v} step {step}', SIZES['batch'], SIZES['image']).double() for v in range(2)]
    return [*views, *coords.roll(step, 1)]


def run(main, models, coords: Tensor, instance: float) -> dict:
    """All steps.

    The official teacher moves at the start of a step; here after it, as ours, so that the cosine of its momentum is
    read one step earlier.
    """
    s = SCHEDULE
    model = tiny_model(models, main.resnet, instance, s['iterations'] * SIZES['batch'], s['epochs'])
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    recipe.load(model, formula.weights('student', shapes))
    nets = {
        'student': {name: model.get_parameter(name) for name in shapes},
        'teacher': {name: model.get_parameter(name.replace('.', '_k.', 1)) for name in taught(shapes)},
    }
    for name, teacher in nets['teacher'].items():
        teacher.data.copy_(nets['student'][name].data)
    move, model._momentum_update_key_encoder = model._momentum_update_key_encoder, lambda: None
    optimizer = main.LARS(
        torch.optim.SGD(main.add_weight_decay(model, s['weight_decay']), lr=s['lr'], momentum=s['momentum'])
    )
    args = SimpleNamespace(
        amp_opt_level='O0',
        print_freq=100,
        epochs=s['epochs'],
        lr_scheduler='cosine',
        warmup_epoch=s['warmup'],
        warmup_multiplier=1 / s['warmup_factor'],
    )
    scheduler = main.get_scheduler(optimizer, s['iterations'], args)
    main.logger = SimpleNamespace(info=lambda line: None)
    terms, directed, of_direction = [], [], models.regression_loss

    def keep(*args: Tensor) -> Tensor:
        directed.append(of_direction(*args))
        return directed[-1]

    models.regression_loss = keep
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
        batches = Noting([batch(step, coords) for step in steps], after)
        main.train(epoch + 1, batches, model, optimizer, scheduler, args, None)
    models.regression_loss = of_direction
    return {
        'sizes': SIZES,
        'schedule': s,
        'instance weight': instance,
        'starts': {'teacher': 'student'},
        'flat positions': False,
        'windows': [[[*size, *window] for window in windows] for size, windows in WINDOWS],
        'weights': shapes,
        'terms': terms,
        **track.record(),
    }


def main() -> None:
    """Run the official code."""
    pretrain, models, coords = official_code(sys.argv[1])
    for name, instance in {'run_pixpro': 0.0, 'run_pixpro_instance': 0.4}.items():
        recipe.write(name, run(pretrain, models, coords, instance))


if __name__ == '__main__':
    main()
