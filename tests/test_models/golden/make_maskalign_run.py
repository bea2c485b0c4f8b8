"""A golden run of MaskAlign: five epochs of two iterations by the official training loop.

    PYTHONPATH=TIMM python -m tests.test_models.golden.make_maskalign_run MASKALIGN

Checkout and TIMM as for `make_maskalign`. Writes run_maskalign.json. The official script refuses today's timm, so the
recipe makes the optimizer, with timm's parameter groups.
"""

import contextlib
import io
import sys
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from . import formula, recipe
from .make_maskalign import BATCH, CELLS, KEPT, SIZES, build, replace_clip
from .track import Noting, Track

SCHEDULE = dict(epochs=5, iterations=2, lr=1.2e-3, final_lr=1e-5, warmup=2, weight_decay=0.05, betas=[0.9, 0.95])
LEVELS = 5


class Steps(nn.Module):
    """Stands for the CLIP model: hidden states and attentions of a step by formula, whatever the images."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def forward(self, pixel_values: Tensor, **kwargs: object) -> tuple:
        """Outputs of the next step."""
        shape = BATCH, 1 + CELLS, SIZES['teacher_width']
        states = [
            formula.tensor(f'teacher state {i} step {self.step}', shape, 2).double()
            for i in range(1 + SIZES['teacher_depth'])
        ]
        shape = BATCH, SIZES['teacher_heads'], 1 + CELLS, 1 + CELLS
        attention = 1 + formula.tensor(f'attention step {self.step}', shape, 0.9).double()
        self.step += 1
        return None, None, states, [attention]


def order(step: int) -> Tensor:
    """The order in which cells are drawn in a step; the first ones are kept."""
    return formula.tensor(f'order step {step}', (BATCH, CELLS)).argsort(1)


def run(folder: str) -> dict:
    """All steps."""
    from timm.optim import param_groups_weight_decay

    model = build(folder)
    recipe.stub('torch._six', inf=float('inf'))
    engine = recipe.official(folder, 'engine_pretrain')
    engine.misc.SmoothedValue.synchronize_between_processes = lambda meter: None
    s = SCHEDULE
    model.clip_model, terms = Steps(), []
    # The draw comes after the teacher's pass.
    torch.multinomial = lambda *args, **kwargs: order(model.clip_model.step - 1)
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    used = [name for name in shapes if 'distill' not in name and not name.startswith('norm.')]
    used += [
        f'distill_heads.{SIZES["depth"] - 1 - level}.{part}' for level in range(LEVELS) for part in ('weight', 'bias')
    ]

    def state() -> dict[str, Tensor]:
        found = {f'student {name}': model.get_parameter(name) for name in used}
        return {**found, 'student distill_weights': model.distill_weights[-LEVELS:]}

    groups = param_groups_weight_decay(model, s['weight_decay'], no_weight_decay_list=['distill_weights'])
    optimizer = torch.optim.AdamW(groups, s['lr'], s['betas'])
    args = SimpleNamespace(
        accum_iter=1,
        mask_ratio=SIZES['mask_ratio'],
        lr=s['lr'],
        min_lr=s['final_lr'],
        warmup_epochs=s['warmup'],
        epochs=s['epochs'],
    )
    model.register_forward_hook(lambda _, inputs, loss: terms.append({'loss': loss.item()}))
    track = Track(state)
    for epoch in range(s['epochs']):
        batches = [
            (formula.image(f'view 0 step {step}', BATCH, SIZES['image']).double(), None)
            for step in range(epoch * s['iterations'], (epoch + 1) * s['iterations'])
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            engine.train_one_epoch(
                model,
                Noting(batches, track.note),
                optimizer,
                'cpu',
                epoch,
                engine.misc.NativeScalerWithGradNormCount(),
                None,
                args,
            )
    return {
        'sizes': SIZES,
        'schedule': s,
        'starts': {},
        'flat positions': False,
        'weights': shapes,
        'kept cells': [order(step)[:, :KEPT] for step in range(len(terms))],
        'terms': terms,
        **track.record(),
    }


def main() -> None:
    """Stub the pretrained teacher, then run the official loop."""
    recipe.one_process_on_the_cpu()
    replace_clip()
    recipe.write('run_maskalign', run(sys.argv[1]))


if __name__ == '__main__':
    main()
