"""Golden numbers of Leopart, by the official module, transforms and schedules.

    python -m tests.test_models.golden.make_leopart LEOPART

LEOPART is a checkout of `MkuuWaUjinga/leopart` (7835701). Writes leopart.json.
"""

import sys
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align

from . import formula, recipe
from .official_leopart import SIZES, WINDOWS, Code, in_float64

WATCHED = (
    'cls_token',
    'pos_embed',
    'patch_embed.proj.weight',
    'blocks.0.attn.qkv.weight',
    'blocks.1.mlp.fc2.weight',
    'norm.weight',
    'projection_head.0.weight',
    'projection_head.4.bias',
    'prototypes.weight',
)


def bins_kept(masks: Tensor, boxes: dict) -> dict:
    """How many of a pair's bins lie wholly in the foreground."""
    masks = masks.reshape(SIZES['globals'], SIZES['batch'], 1, 7, 7)
    return {
        f'{j}-{v}': int(
            (roi_align(masks[j], list((boxes['gc'][:, j, v] / SIZES['patch'])[:, None]), 7, aligned=True) >= 1).sum()
        )
        for j in range(SIZES['globals'])
        for v in range(SIZES['globals'] + SIZES['locals'])
        if v != j
    }


def batch_boxes(code: Code) -> dict:
    """Boxes of the batch as the official collation stacks them."""
    pairs = [code.boxes(windows) for windows in WINDOWS]
    return {'gc': torch.stack([gc for gc, _ in pairs]), 'all': torch.stack([other for _, other in pairs])}


def sinkhorn(code: Code) -> dict:
    """Assignments of 8 tokens to 5 prototypes, epsilon 0.05."""
    scores = formula.tensor('scores', (8, 5), 0.3).double()
    found = {}
    with in_float64():
        for iterations in (1, 3, 50):
            q = code.leopart.Leopart.sinkhorn(SimpleNamespace(gpus=0), torch.exp(scores / 0.05).t(), iterations)
            found[f'{iterations} iterations'] = {'q': q, 'sums by prototype': q.sum(dim=0)}
    return {'epsilon': 0.05, **found}


def attention_masks(code: Code) -> dict:
    """Foreground of three attention maps of 14 x 14 cells, with and without the removal of small pieces."""
    powers = torch.tensor([2, 6, 12])[:, None, None, None]
    maps = ((formula.tensor('attention', (3, 1, 14, 14)) + 1) / 2).double() ** powers
    with in_float64():
        masks = code.utils.process_attentions(maps.clone(), 14, threshold=0.6, blur_sigma=0.6)
        label, code.utils.label = code.utils.label, lambda mask: np.zeros(1, dtype=int)
        whole = code.utils.process_attentions(maps.clone(), 14, threshold=0.6, blur_sigma=0.6)
        code.utils.label = label
    return {
        'powers': powers.flatten(),
        'masks': formula.to_text(masks[:, 0].int()),
        'masks with small pieces': formula.to_text(whole[:, 0].int()),
    }


def overlaps(code: Code) -> dict:
    """Boxes of hand-made windows, and which of some drawn windows the official transform takes."""
    windows = [[10, 20, 110, 140], [60, 0, 190, 90], [70, 30, 100, 80], [0, 70, 80, 95]]
    in_global, in_other = code.boxes(windows, (224, 96))
    # x1, y1, x2, y2 in an image of 100 x 100: two candidates of the second global crop share too little.
    candidates = [
        [[0, 0, 60, 60]],
        [[50, 40, 100, 100], [50, 41, 100, 90], [50, 39, 100, 90]],
        [[52, 45, 80, 55], [48, 45, 58, 56], [49, 45, 79, 55], [45, 40, 65, 60]],
    ]
    transform = code.transforms.LeopartTransforms([224, 96], [2, 1], [0.25, 0.05], [1.0, 0.25])
    taken = []

    def source(crop: int) -> SimpleNamespace:
        left = iter(enumerate(candidates[crop]))

        def get_params(*args: object) -> tuple[int, int, int, int]:
            index, (x1, y1, x2, y2) = next(left)
            taken[crop:] = [index]
            return y1, x1, y2 - y1, x2 - x1

        return SimpleNamespace(get_params=get_params, scale=None, ratio=None, size=(8, 8), interpolation=2)

    transform.rrc_transforms = [source(crop) for crop in range(3)]
    transform(Image.new('RGB', (100, 100)))
    return {
        'windows': windows,
        'sizes': [224, 224, 96, 96],
        'in the global crop, by global and other': in_global,
        'in the other crop, by other and global': in_other,
        'drawn windows by crop, image 100 x 100': candidates,
        'taken': taken,
    }


def outputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores and embeddings as a network would give them, and the foreground."""
    rows, local = SIZES['batch'] * 2 * 49, SIZES['batch'] * 2 * 9
    teacher = formula.tensor('teacher scores', (rows, SIZES['prototypes'])).double()
    students = [
        formula.tensor(f'{kind} student scores', (number, SIZES['prototypes'])).double()
        for kind, number in (('global', rows), ('local', local))
    ]
    mask = formula.cells('foreground', SIZES['batch'] * 2, 7, 0.85)
    return teacher, *students, mask


def pairs_of(code: Code, run) -> dict:
    """The loss of every pair of a global and another crop, by leaving out all others."""
    number, found = SIZES['globals'] + SIZES['locals'], {}
    for crop in range(2):
        for other in (v for v in range(number) if v != crop):

            def only(crops: np.ndarray, left_out: int, crop: int = crop, other: int = other) -> list[int]:
                return [other] if left_out == crop else []

            code.leopart.np = SimpleNamespace(delete=only, arange=np.arange, sum=np.sum, sqrt=np.sqrt)
            found[f'{crop}-{other}'] = float(run()) * (number - 1) * 2
    code.leopart.np = np
    return found


def loss_of_given_outputs(code: Code) -> dict:
    """No network: the loss of given scores, pair by pair, then with a queue for three steps."""
    teacher, student, local, mask = outputs()
    boxes, hard = batch_boxes(code), mask.double()[:, None]
    module = code.module()
    leaves = [student.clone().requires_grad_(), local.clone().requires_grad_()]
    emb = formula.tensor('embedding step 0', (len(teacher), SIZES['head_out'])).double()

    def run(mask: Tensor | None) -> Tensor:
        return module.spatial_loss(teacher, *leaves, emb, boxes, SIZES['batch'], 7, attn_hard=mask)

    with in_float64():
        loss = run(hard)
        grads = torch.autograd.grad(loss, leaves)
        content = {
            'windows': WINDOWS,
            'foreground': formula.to_text(mask),
            'loss': loss.item(),
            'pairs': pairs_of(code, lambda: run(hard)),
            'without foreground': run(None).item(),
            'bins kept': bins_kept(hard, boxes),
            'gradient norms by student view': [
                *grads[0].reshape(2, -1).norm(dim=1),
                *grads[1].reshape(2, -1).norm(dim=1),
            ],
        }
    return {**content, 'queue': queue(code, teacher, student, local, boxes, hard)}


def queue(code: Code, teacher: Tensor, student: Tensor, local: Tensor, boxes: dict, hard: Tensor) -> dict:
    """Losses and contents of a queue of 30 rows over four steps; 20 rows are stored a step."""
    module = code.module(queue_length=30)
    losses, contents, seen = [], [], {}
    for step in range(4):
        emb = formula.tensor(f'embedding step {step}', (len(teacher), SIZES['head_out'])).double()
        with in_float64():
            losses.append(module.spatial_loss(teacher, student, local, emb, boxes, SIZES['batch'], 7, attn_hard=hard))
        for crop in range(2):
            for row, vector in enumerate(emb[98 * crop : 98 * crop + 98]):
                seen[crop, tuple(vector.tolist())] = f'{step}:{row}'
        contents.append(
            [' '.join(seen.get((crop, tuple(slot.tolist())), '-') for slot in module.queue[crop]) for crop in range(2)]
        )
    return {'length': 30, 'losses': torch.stack(losses), 'contents by step and global crop': contents}


def views(step: int) -> list[Tensor]:
    """Two global and two local crops of a batch."""
    return [
        formula.image(f'{kind} {v} step {step}', SIZES['batch'], SIZES[f'{kind}_image']).double()
        for kind in ('global', 'local')
        for v in range(2)
    ]


def whole_step(code: Code) -> dict:
    """One forward and backward pass of both networks."""
    module, batch = code.module(), (views(0), batch_boxes(code))
    masks = []
    process = code.utils.process_attentions

    def keep(*args: object, **kwargs: object) -> Tensor:
        masks.append(process(*args, **kwargs))
        return masks[-1]

    code.leopart.process_attentions = keep
    with in_float64():
        loss = module.shared_step(batch)
        loss.backward()
        norms = {
            name: p.grad.norm()
            for name, p in module.model.named_parameters()
            if name in WATCHED and name != 'pos_embed'
        }
        pairs = pairs_of(code, lambda: module.shared_step(batch).detach())
    code.leopart.process_attentions = process
    return {
        'foreground': formula.to_text(masks[0][:, 0].int()),
        'bins kept': bins_kept(masks[0], batch[1]),
        'loss': loss.item(),
        'pairs': pairs,
        'gradient norms': norms,
    }


def schedules(code: Code) -> dict:
    """Teacher momentum, weight decay and learning rates at ten iterations; which parameters decay."""
    epochs, iterations = 20, 7
    points = [0, 1, 35, 68, 69, 70, 71, 105, 138, 139]
    module = code.module(
        max_epochs=epochs,
        num_samples=iterations * SIZES['batch'],
        momentum_teacher=0.9995,
        lr_backbone=1e-5,
        lr_heads=1e-4,
    )
    (optimizer,), (schedule,) = module.configure_optimizers()
    rates = []
    for _ in range(epochs * iterations):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule['scheduler'].step()
    names = {id(p): name for name, p in module.model.named_parameters()}
    found = {
        'teacher momentum': module.momentum_schedule,
        'weight decay': module.wd_schedule,
        'learning rate of the backbone': [rate[0] for rate in rates],
        'learning rate of head and prototypes': [rate[2] for rate in rates],
    }
    return {
        'epochs': epochs,
        'iterations_per_epoch': iterations,
        'points': points,
        **{name: [float(values[point]) for point in points] for name, values in found.items()},
        'decayed': [names[id(p)] for group in optimizer.param_groups[::2] for p in group['params']],
    }


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    code = Code(sys.argv[1])
    shapes = {name: list(p.shape) for name, p in code.module().model.named_parameters()}
    recipe.write(
        'leopart',
        {
            'sizes': SIZES,
            'sinkhorn': sinkhorn(code),
            'attention masks': attention_masks(code),
            'overlaps': overlaps(code),
            'loss of given outputs': loss_of_given_outputs(code),
            'whole step': whole_step(code),
            'schedules': schedules(code),
            'weights': shapes,
        },
    )


if __name__ == '__main__':
    main()
