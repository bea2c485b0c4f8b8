"""A golden run of Leopart: five epochs of two iterations of the official module.

    python -m tests.test_models.golden.make_leopart_run LEOPART

Checkout as for `make_leopart`. Writes run_leopart.json. Lightning's loop is not there, so the recipe calls the module
in its order, with one change: the teacher moves after the optimizer, as ours.
"""

import sys
from types import SimpleNamespace

from torch import Tensor

from . import formula, recipe
from .make_leopart import batch_boxes, views
from .official_leopart import SIZES, WINDOWS, Code, in_float64
from .track import Track

SCHEDULE = dict(
    epochs=5, iterations=2, lr=1e-3, head_lr=1e-2, weight_decay=0.04, final_weight_decay=0.5, teacher_momentum=0.9
)
QUEUE = 30


def run(code: Code) -> dict:
    """All steps."""
    s = SCHEDULE
    module = code.module(
        queue_length=QUEUE,
        max_epochs=s['epochs'],
        num_samples=s['iterations'] * SIZES['batch'],
        lr_backbone=s['lr'],
        lr_heads=s['head_lr'],
        weight_decay=s['weight_decay'],
        weight_decay_end=s['final_weight_decay'],
        momentum_teacher=s['teacher_momentum'],
    )
    (module.optimizer,), (schedule,) = module.configure_optimizers()
    nets, terms, masks = {'student': module.model, 'teacher': module.teacher}, [], []
    process = code.utils.process_attentions
    shared_step = module.shared_step

    def keep(*args: object, **kwargs: object) -> Tensor:
        masks.append(process(*args, **kwargs))
        return masks[-1]

    code.leopart.process_attentions = keep

    def state() -> dict[str, Tensor]:
        found = {f'{owner} {name}': p for owner, net in nets.items() for name, p in net.named_parameters()}
        return {**found, **{f'queue {view}': module.queue[view] for view in range(2)}}

    track = Track(state)
    for step in range(s['epochs'] * s['iterations']):
        module.trainer = SimpleNamespace(global_step=step)

        def closure(step: int = step) -> Tensor:
            module.optimizer.zero_grad()
            loss = shared_step((views(step), batch_boxes(code)))
            loss.backward()
            terms.append({'loss': loss.item()})
            return loss

        with in_float64():
            module.optimizer_step(step // s['iterations'], step, module.optimizer, optimizer_closure=closure)
            # What is left of the official step without its loss: the teacher's update.
            module.shared_step = lambda batch: None
            module.training_step((None, {}), 0)
        schedule['scheduler'].step()
        track.note()
    code.leopart.process_attentions = process
    shapes = {name: list(p.shape) for name, p in module.model.named_parameters()}
    return {
        'sizes': SIZES,
        'schedule': s,
        'starts': {},
        'flat positions': True,
        'windows': WINDOWS,
        'queue': QUEUE,
        'weights': shapes,
        'foreground by step': [formula.to_text(mask[:, 0].int()) for mask in masks],
        'terms': terms,
        **track.record(),
    }


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    recipe.resize_by_size()
    recipe.write('run_leopart', run(Code(sys.argv[1])))


if __name__ == '__main__':
    main()
