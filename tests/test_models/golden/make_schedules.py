"""The schedules of the official code at ten points each.

    python -m tests.test_models.golden.make_schedules IBOT MASKALIGN

The checkouts are those of `make_ibot` and `make_maskalign`. Writes schedules.json.
"""

import sys
from types import SimpleNamespace

import torch

from . import recipe


def at(values, points: list[int], **settings: float) -> dict:
    return {**settings, 'points': points, 'values': [float(values[point]) for point in points]}


def main() -> None:
    """Tabulate the teacher temperature by epoch and all else by iteration."""
    recipe.one_process_on_the_cpu()
    recipe.stub_for_ibot()
    main_ibot = recipe.official(sys.argv[1], 'main_ibot')
    cosine = main_ibot.utils.cosine_scheduler
    loss = main_ibot.iBOTLoss(2, 2, 2, 0, 0.04, 0.07, 0.04, 0.07, 30, 100)
    epochs, iterations, warmup = 20, 7, 10
    points = [0, 1, 35, 68, 69, 70, 71, 105, 138, 139]
    length = dict(epochs=epochs, iterations_per_epoch=iterations)
    content = {
        'teacher temperature by epoch': at(
            loss.teacher_temp_schedule,
            [0, 1, 10, 15, 28, 29, 30, 31, 60, 99],
            start=0.04,
            end=0.07,
            warmup_epochs=30,
            epochs=100,
        ),
        'teacher momentum': at(cosine(0.996, 1, epochs, iterations), points, start=0.996, end=1, **length),
        'weight decay': at(cosine(0.04, 0.4, epochs, iterations), points, start=0.04, end=0.4, **length),
        'learning rate': at(
            cosine(2e-3, 1e-6, epochs, iterations, warmup_epochs=warmup),
            points,
            base=2e-3,
            end=1e-6,
            warmup_epochs=warmup,
            **length,
        ),
    }

    adjust = recipe.official(sys.argv[2], 'util.lr_sched').adjust_learning_rate
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
    args = SimpleNamespace(lr=1.2e-3, min_lr=1e-5, warmup_epochs=4, epochs=epochs)
    rates = []
    for step in range(epochs * iterations):
        adjust(optimizer, step / iterations, args)
        rates.append(optimizer.param_groups[0]['lr'])
    content['learning rate of MaskAlign'] = at(
        rates, [0, 1, 14, 27, 28, 29, 56, 100, 138, 139], base=1.2e-3, end=1e-5, warmup_epochs=4, **length
    )
    recipe.write('schedules', content)


if __name__ == '__main__':
    main()
