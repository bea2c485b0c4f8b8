"""Golden numbers of iBOT and of the released decoupling loss, by the official training loops themselves.

    python -m tests.test_models.golden.make_ibot IBOT DENSESSL

IBOT is a checkout of `bytedance/ibot` (da316d8), DENSESSL one of `ztt1024/denseSSL` (0435d34). Writes ibot.json and
ibot_release.json.
"""

import contextlib
import io
import sys
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from . import formula, recipe

SIZES = dict(
    image=32,
    patch=8,
    width=32,
    depth=2,
    heads=2,
    mlp_ratio=4,
    layer_norm_eps=1e-6,
    head_hidden=48,
    head_bottleneck=16,
    prototypes=24,
)
TEMPERATURES = dict(student=0.1, teacher_start=0.04, teacher_end=0.07, warmup_epochs=30, epochs=100)
WATCHED = (
    'backbone.cls_token',
    'backbone.pos_embed',
    'backbone.masked_embed',
    'backbone.patch_embed.proj.weight',
    'backbone.blocks.0.attn.qkv.weight',
    'backbone.blocks.1.mlp.fc2.weight',
    'backbone.norm.weight',
    'head.mlp.0.weight',
    'head.mlp.4.bias',
    'head.last_layer.weight_g',
    'head.last_layer.weight_v',
)


class Wrapped(nn.Module):
    """Stands for DistributedDataParallel: the loops reach through `.module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.module(*args, **kwargs)


class Frozen:
    """An optimizer that changes nothing and keeps the gradient norms."""

    def __init__(self, student: nn.Module) -> None:
        self.student, self.norms, self.param_groups = student, {}, [{}]

    def zero_grad(self) -> None:
        self.student.zero_grad()

    def step(self) -> None:
        named = self.student.module.named_parameters()
        self.norms = {name: p.grad.norm().item() for name, p in named if name in WATCHED and p.grad is not None}


class Recorder:
    """Stands for the loss in the training loop: calls it, and keeps its terms, its masks and what `look` makes."""

    def __init__(self, loss: nn.Module, look=None) -> None:
        self.loss, self.look, self.seen = loss, look, []

    def __call__(self, student: tuple, teacher: tuple, local: Tensor | None, masks: list, *rest: object) -> dict:
        masks_before = [mask.clone() for mask in masks]
        terms = self.loss(student, teacher, local, masks, *rest)
        found = {name: value.item() for name, value in terms.items()}
        self.seen.append(found)
        if self.look:
            found.update(self.look(terms, masks_before))
        return terms


class Setup:
    """The two networks and the loss of one official checkout."""

    def __init__(
        self, folder: str, locals_: int = 0, flat_positions: bool = False, temperatures: dict = TEMPERATURES
    ) -> None:
        self.main = recipe.official(folder, 'main_ibot')
        self.main.utils.SmoothedValue.synchronize_between_processes = lambda meter: None
        vit = partial(
            self.main.models.VisionTransformer,
            img_size=[SIZES['image']],
            patch_size=SIZES['patch'],
            embed_dim=SIZES['width'],
            depth=SIZES['depth'],
            num_heads=SIZES['heads'],
            qkv_bias=True,
            mlp_ratio=SIZES['mlp_ratio'],
            return_all_tokens=True,
        )
        head = partial(
            self.main.iBOTHead,
            SIZES['width'],
            SIZES['prototypes'],
            patch_out_dim=SIZES['prototypes'],
            hidden_dim=SIZES['head_hidden'],
            bottleneck_dim=SIZES['head_bottleneck'],
            norm_last_layer=False,
            shared_head=True,
        )
        with torch.random.fork_rng():
            self.student = self.main.utils.MultiCropWrapper(vit(masked_im_modeling=True), head())
            self.teacher = self.main.utils.MultiCropWrapper(vit(), head())
        self.shapes = {name: list(p.shape) for name, p in self.student.named_parameters()}
        recipe.load(self.student, formula.weights('student', self.shapes, flat_positions))
        recipe.load(self.teacher, formula.weights('teacher', self.shapes, flat_positions)).requires_grad_(False)
        t = temperatures
        self.loss = self.main.iBOTLoss(
            SIZES['prototypes'],
            SIZES['prototypes'],
            2,
            locals_,
            t['teacher_start'],
            t['teacher_end'],
            t['teacher_start'],
            t['teacher_end'],
            t['warmup_epochs'],
            t['epochs'],
            student_temp=t['student'],
        ).double()

    def run(self, batches: list, epoch: int, look=None, **settings: object) -> tuple[list[dict], dict]:
        """One epoch of the official loop over `batches`: the terms of each step, gradient norms of the last one."""
        student = Wrapped(self.student)
        optimizer, recorder = Frozen(student), Recorder(self.loss, look)
        steps = len(batches) * (epoch + 1)
        self.loop(
            student,
            recorder,
            batches,
            optimizer,
            [0.0] * steps,
            [0.0] * steps,
            [1.0] * steps,
            epoch,
            clip_grad=0,
            freeze_last_layer=0,
            **settings,
        )
        return recorder.seen, optimizer.norms

    def loop(
        self,
        student: nn.Module,
        recorder: Recorder,
        batches: list,
        optimizer: object,
        rates: list,
        decays: list,
        momenta: list,
        epoch: int,
        **settings: object,
    ) -> None:
        """One epoch of the official loop."""
        args = SimpleNamespace(epochs=100, global_crops_number=2, use_masked_im_modeling=True, **settings)
        with contextlib.redirect_stdout(io.StringIO()):
            self.main.train_one_epoch(
                student,
                self.teacher,
                self.teacher,
                recorder,
                batches,
                optimizer,
                rates,
                decays,
                momenta,
                epoch,
                None,
                args,
            )

    def centers(self) -> dict:
        return {'class center': self.loss.center.flatten(), 'patch center': self.loss.center2.flatten()}


def views(step: int, batch: int, number: int = 2, size: int = SIZES['image'], kind: str = 'view') -> list[Tensor]:
    return [formula.image(f'{kind} {v} step {step}', batch, size).double() for v in range(number)]


def mim_masks(step: int, batch: int) -> list[Tensor]:
    """Masks of both views; the second image of view 0 and the first of view 1 have none."""
    masks = [formula.cells(f'mim {v} step {step}', batch, SIZES['image'] // SIZES['patch'], 0.4) for v in range(2)]
    masks[0][1::4] = masks[1][::4] = False
    return masks


def ibot(folder: str) -> None:
    """`ibot.json`."""
    batch, labels = 4, torch.zeros(4)
    masks, no_masks = mim_masks(0, batch), [torch.zeros(batch, 4, 4, dtype=torch.bool)] * 2
    content = {'sizes': SIZES, 'temperatures': TEMPERATURES, 'weights': Setup(folder).shapes}
    cases = content['cases'] = {}
    for name, epoch, used, local in (
        ('masks, epoch 0', 0, masks, 0),
        ('masks, epoch 12', 12, masks, 0),
        ('masks, epoch 40', 40, masks, 0),
        ('no masks, epoch 0', 0, no_masks, 0),
        ('masks and two locals, epoch 12', 12, masks, 2),
    ):
        setup = Setup(folder, local, flat_positions=local > 0)
        images = views(0, batch) + views(0, batch, local, SIZES['image'] // 2, 'local')
        (terms,), norms = setup.run([(images, labels, [mask.clone() for mask in used])], epoch)
        if local:
            # Spread over the positions by the same resizing.
            del norms['backbone.pos_embed']
        cases[name] = {
            'epoch': epoch,
            'locals': local,
            'flat positions': local > 0,
            'masks': [formula.to_text(mask) for mask in used],
            **terms,
            'gradient norms': norms,
        }
    setup = Setup(folder)
    steps = [mim_masks(step, batch) for step in range(3)]
    seen, _ = setup.run(
        [(views(step, batch), labels, [mask.clone() for mask in masks]) for step, masks in enumerate(steps)], 12
    )
    content['three steps, epoch 12'] = {
        'masks': [[formula.to_text(mask) for mask in masks] for masks in steps],
        'terms': seen,
        **setup.centers(),
    }
    recipe.write('ibot', content)


def appended_views(masks: list[Tensor], number: int) -> tuple[list[int], list[int], Tensor]:
    """The decoupled views that the released loop appended to `number` images a view, read off its masks.

    Returns:
        Rows and partner rows among the stacked key views without appended ones, and cut masks.
    """
    appended, stacked = masks[0].shape[0] - number, torch.cat(masks)
    rows, partners, cut = [], [], []
    for view, mask in enumerate(masks):
        for k in range(appended):
            here = view * len(mask) + number + k
            there = len(stacked) - 1 - here
            assert there % len(mask) < number, 'a background must be an original, not an appended copy'
            rows.append(view * number + number - appended + k)
            partners.append(there // len(mask) * number + there % len(mask))
            cut.append(stacked[here] == 2)
    return rows, partners, torch.stack(cut)


def release(folder: str) -> None:
    """`ibot_release.json`: the decoupling loss, which the loop only returns inside the sum."""
    number, ratio, epoch = 8, 0.3, 12
    setup = Setup(folder)
    setup.loss.center.copy_(formula.tensor('class center', (1, SIZES['prototypes']), 0.1))
    setup.loss.center2.copy_(formula.tensor('patch center', (1, 1, SIZES['prototypes']), 0.1))
    images = [view.requires_grad_() for view in views(0, number)]
    mim = mim_masks(0, number)
    parameters = dict(setup.student.named_parameters())
    found = {}

    def look(terms: dict, masks: list[Tensor]) -> dict:
        value = (terms['loss'] - terms['cls'] - terms['patch']) / ratio
        grads = torch.autograd.grad(value, [*images, *parameters.values()], retain_graph=True, allow_unused=True)
        norms = torch.cat([grad.flatten(1).norm(dim=1) for grad in grads[:2]])
        rows, partners, cut = appended_views(masks, number)
        found.update(
            {
                'rows': rows,
                'partner rows': partners,
                'cut masks': formula.to_text(cut),
                'dc': value.item(),
                'gradient norms of dc by row of the stacked key views': norms,
                'gradient norms of dc': {
                    name: grad.norm().item()
                    for name, grad in zip(parameters, grads[2:])
                    if name in WATCHED and grad is not None
                },
            }
        )
        return {}

    batch = (images, torch.zeros(number), [mask.clone() for mask in mim])
    (terms,), norms = setup.run(
        [batch], epoch, look, dc=True, dc_ratio=ratio, dc_sample_ratio=0.5, local_crops_number=0
    )
    recipe.write(
        'ibot_release',
        {
            'sizes': SIZES,
            'temperatures': TEMPERATURES,
            'weights': setup.shapes,
            'epoch': epoch,
            'batch': number,
            'weight of dc': ratio,
            'mim masks': [formula.to_text(mask) for mask in mim],
            **terms,
            **found,
            'gradient norms of loss': norms,
        },
    )


def main() -> None:
    """Run both checkouts."""
    recipe.one_process_on_the_cpu()
    recipe.stub_for_ibot()
    ibot(sys.argv[1])
    release(sys.argv[2])


if __name__ == '__main__':
    main()
