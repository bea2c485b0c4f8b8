"""Golden runs of iBOT and of the released iBOT-D: five epochs of two iterations by the official training loops.

    python -m tests.test_models.golden.make_ibot_runs IBOT DENSESSL

Checkouts as for `make_ibot`. Writes run_ibot.json, run_ibot_locals.json and run_ibot_release.json.
"""

import sys

import torch
from torch import Tensor

from . import formula, recipe
from .make_ibot import SIZES, Recorder, Setup, Wrapped, appended_views, mim_masks, views
from .track import Noting, Track

EPOCHS, ITERATIONS = 5, 2
SCHEDULE = dict(
    epochs=EPOCHS,
    iterations=ITERATIONS,
    lr=2e-3,
    final_lr=1e-6,
    warmup=2,
    weight_decay=0.04,
    final_weight_decay=0.4,
    momentum=0.996,
    clip=0.5,
    frozen_epochs=1,
    temperature_warmup=3,
    temperatures=[0.04, 0.07],
)
FACTS = {'sizes': SIZES, 'schedule': SCHEDULE, 'starts': {}, 'flat positions': False}


def run(setup: Setup, batches: list, look=None, **settings: object) -> dict:
    """The terms of every step, and where student, teacher and centers are after it."""
    s, main = SCHEDULE, setup.main
    student = Wrapped(setup.student)
    schedules = [
        main.utils.cosine_scheduler(s['lr'], s['final_lr'], EPOCHS, ITERATIONS, warmup_epochs=s['warmup']),
        main.utils.cosine_scheduler(s['weight_decay'], s['final_weight_decay'], EPOCHS, ITERATIONS),
        main.utils.cosine_scheduler(s['momentum'], 1, EPOCHS, ITERATIONS),
    ]
    optimizer = torch.optim.AdamW(main.utils.get_params_groups(student))
    recorder = Recorder(setup.loss, look)

    def state() -> dict[str, Tensor]:
        found = {
            f'{owner} {name}': p
            for owner, net in (('student', setup.student), ('teacher', setup.teacher))
            for name, p in net.named_parameters()
        }
        return {**found, 'class center': setup.loss.center.flatten(), 'patch center': setup.loss.center2.flatten()}

    track = Track(state)
    for epoch in range(EPOCHS):
        part = Noting(batches[epoch * ITERATIONS : (epoch + 1) * ITERATIONS], track.note)
        setup.loop(
            student,
            recorder,
            part,
            optimizer,
            *schedules,
            epoch,
            clip_grad=s['clip'],
            freeze_last_layer=s['frozen_epochs'],
            **settings,
        )
    return {'terms': recorder.seen, **track.record()}


def setup_of(folder: str, locals_: int = 0) -> Setup:
    """The official parts with the schedule of these runs."""
    s = SCHEDULE
    temperatures = dict(
        teacher_start=s['temperatures'][0],
        teacher_end=s['temperatures'][1],
        warmup_epochs=s['temperature_warmup'],
        epochs=EPOCHS,
        student=0.1,
    )
    return Setup(folder, locals_, temperatures=temperatures)


def ibot(folder: str, locals_: int) -> dict:
    """iBOT, with or without local views."""
    batch, steps = 4, EPOCHS * ITERATIONS
    masks = [mim_masks(step, batch) for step in range(steps)]
    setup = setup_of(folder, locals_)
    batches = [
        (
            views(step, batch) + views(step, batch, locals_, SIZES['image'] // 2, 'local'),
            torch.zeros(batch),
            [mask.clone() for mask in masks[step]],
        )
        for step in range(steps)
    ]
    return {
        **FACTS,
        'batch': batch,
        'locals': locals_,
        'weights': setup.shapes,
        'masks': [[formula.to_text(mask) for mask in pair] for pair in masks],
        **run(setup, batches),
    }


def release(folder: str) -> dict:
    """The released iBOT-D; the centers take in the rows of the clean views alone."""
    number, ratio, steps = 8, 0.3, EPOCHS * ITERATIONS
    masks = [mim_masks(step, number) for step in range(steps)]
    setup, drawn = setup_of(folder), []
    update = setup.loss.update_center

    def of_clean_rows(classes: Tensor, patches: Tensor) -> None:
        update(*(torch.cat([part[:number] for part in tokens.chunk(2)]) for tokens in (classes, patches)))

    def look(terms: dict, seen: list[Tensor]) -> dict:
        rows, partners, cut = appended_views(seen, number)
        drawn.append({'rows': rows, 'partner rows': partners, 'cut masks': formula.to_text(cut)})
        return {'dc': ((terms['loss'] - terms['cls'] - terms['patch']) / ratio).item()}

    setup.loss.update_center = of_clean_rows
    batches = [
        (views(step, number), torch.zeros(number), [mask.clone() for mask in masks[step]]) for step in range(steps)
    ]
    found = run(setup, batches, look, dc=True, dc_ratio=ratio, dc_sample_ratio=0.5, local_crops_number=0)
    return {
        **FACTS,
        'batch': number,
        'locals': 0,
        'weight of dc': ratio,
        'weights': setup.shapes,
        'masks': [[formula.to_text(mask) for mask in pair] for pair in masks],
        'drawn': drawn,
        **found,
    }


def main() -> None:
    """Run both checkouts."""
    recipe.one_process_on_the_cpu()
    recipe.stub_for_ibot()
    recipe.resize_by_size()
    recipe.write('run_ibot', ibot(sys.argv[1], 0))
    recipe.write('run_ibot_locals', ibot(sys.argv[1], 2))
    recipe.write('run_ibot_release', release(sys.argv[2]))


if __name__ == '__main__':
    main()
