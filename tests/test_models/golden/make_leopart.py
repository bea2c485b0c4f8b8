"""Golden numbers of Leopart, by the official module, transforms and schedules.

    python -m tests.test_models.golden.make_leopart LEOPART

LEOPART is a checkout of `MkuuWaUjinga/leopart` (7835701). Writes leopart.json.
"""
import contextlib
import sys
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import roi_align

from . import formula, recipe

SIZES = dict(global_image=56, local_image=24, globals=2, locals=2, patch=8, width=32, depth=2, heads=2, mlp_ratio=4,
             layer_norm_eps=1e-6, head_hidden=48, head_out=16, prototypes=24, batch=2)
SETTINGS = dict(lr_backbone=1e-3, lr_heads=1e-2, final_lr=0., weight_decay=0.04, weight_decay_end=0.5,
                momentum_teacher=0.9, momentum_teacher_end=1., epsilon=0.05, temperature=0.1, sinkhorn_iterations=3,
                num_samples=4, batch_size=2, max_epochs=2)
# Windows x1, y1, x2, y2 of two global and two local crops. Overlaps with a global crop are multiples of a fourth of it,
# so that RoIAlign samples at exact binary fractions and no bin of foreground is lost to rounding.
WINDOWS = [[[0, 0, 112, 112], [28, 56, 140, 168], [56, 56, 84, 84], [28, 28, 84, 112]],
           [[64, 32, 176, 144], [92, 32, 204, 144], [92, 60, 148, 116], [120, 32, 176, 60]]]
WATCHED = ('cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.weight', 'blocks.1.mlp.fc2.weight',
           'norm.weight', 'projection_head.0.weight', 'projection_head.4.bias', 'prototypes.weight')


class Lightning(nn.Module):
    """What the official module needs of its LightningModule."""

    optimizer = None

    def save_hyperparameters(self) -> None:
        pass

    def log(self, *args: object, **kwargs: object) -> None:
        pass

    def optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


class Code:
    """The official modules."""

    def __init__(self, folder: str) -> None:
        recipe.stub('pytorch_lightning', LightningModule=Lightning)
        recipe.stub('pytorch_lightning.core.optimizer', LightningOptimizer=torch.optim.AdamW)
        recipe.stub('faiss')
        recipe.stub('torchmetrics', Metric=nn.Module)
        recipe.stub('joblib', Parallel=None, delayed=None)
        recipe.stub('sklearn.preprocessing', StandardScaler=None)
        recipe.stub('data.VOCdevkit.vocdata', VOCDataModule=None)
        self.leopart = recipe.official(folder, 'src.leopart')
        self.transforms = recipe.official(folder, 'src.leopart_transforms')
        self.vit = recipe.official(folder, 'src.vit')
        self.utils = recipe.official(folder, 'experiments.utils')
        # Torch once took an array of shape (1, H, W) as the index of an (H, W) tensor; now it has to be (H, W).
        self.label, self.utils.label = self.utils.label, lambda mask: self.label(mask)[0]
        self.leopart.PredsmIoUKmeans = lambda *args: None
        self.leopart.vit_small = self.small

    def small(self, drop_path_rate: float = 0., **kwargs: object) -> nn.Module:
        """A tiny ViT without stochastic depth."""
        return self.vit.VisionTransformer(
            img_size=[SIZES['global_image']], embed_dim=SIZES['width'], depth=SIZES['depth'], qkv_bias=True,
            num_heads=SIZES['heads'], norm_layer=partial(nn.LayerNorm, eps=SIZES['layer_norm_eps']), **kwargs)

    def module(self, **settings: object) -> nn.Module:
        """The official training module with formula weights; positions are flat, since local crops resize them."""
        with torch.random.fork_rng():
            module = self.leopart.Leopart(**{**dict(
                gpus=1, patch_size=SIZES['patch'], projection_hidden_dim=SIZES['head_hidden'], loss_mask='fg',
                projection_feat_dim=SIZES['head_out'], n_layers_projection_head=3, nmb_prototypes=SIZES['prototypes'],
                crops_for_assign=[0, 1], nmb_crops=[SIZES['globals'], SIZES['locals']], num_classes=21, val_iters=1,
                num_clusters_kmeans=[21], optimizer='adamw'), **SETTINGS, **settings})
        shapes = {name: list(p.shape) for name, p in module.model.named_parameters()}
        for owner, net in (('student', module.model), ('teacher', module.teacher)):
            recipe.load(net, formula.weights(owner, shapes, flat_positions=True))
        module.on_train_epoch_start()
        if module.queue is not None:
            module.queue = module.queue.double()
        return module

    def boxes(self, windows: list, sizes: tuple = (SIZES['global_image'], SIZES['local_image'])) -> tuple:
        """Overlaps of one image's crops, `(2, V, 4)` in pixels of the global and `(V, 2, 4)` of the other crop."""
        transform = self.transforms.LeopartTransforms(list(sizes), [2, len(windows) - 2], [0.25, 0.05], [1., 0.25])
        return transform.calculate_bboxes(torch.tensor(windows, dtype=torch.float64))


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """`.float()` keeps double precision, and the queue stores the first of its candidates."""
    kept = Tensor.float, torch.randperm
    Tensor.float, torch.randperm = Tensor.double, torch.arange
    try:
        yield
    finally:
        Tensor.float, torch.randperm = kept


def bins_kept(masks: Tensor, boxes: dict) -> dict:
    """How many of a pair's bins lie wholly in the foreground."""
    masks = masks.reshape(SIZES['globals'], SIZES['batch'], 1, 7, 7)
    return {f'{j}-{v}': int((roi_align(masks[j], list((boxes['gc'][:, j, v] / SIZES['patch'])[:, None]), 7,
                                       aligned=True) >= 1).sum())
            for j in range(SIZES['globals']) for v in range(SIZES['globals'] + SIZES['locals']) if v != j}


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
    return {'powers': powers.flatten(), 'masks': formula.to_text(masks[:, 0].int()),
            'masks with small pieces': formula.to_text(whole[:, 0].int())}


def overlaps(code: Code) -> dict:
    """Boxes of hand-made windows, and which of some drawn windows the official transform takes."""
    windows = [[10, 20, 110, 140], [60, 0, 190, 90], [70, 30, 100, 80], [0, 70, 80, 95]]
    in_global, in_other = code.boxes(windows, (224, 96))
    # x1, y1, x2, y2 in an image of 100 x 100: two candidates of the second global crop share too little.
    candidates = [[[0, 0, 60, 60]], [[50, 40, 100, 100], [50, 41, 100, 90], [50, 39, 100, 90]],
                  [[52, 45, 80, 55], [48, 45, 58, 56], [49, 45, 79, 55], [45, 40, 65, 60]]]
    transform = code.transforms.LeopartTransforms([224, 96], [2, 1], [0.25, 0.05], [1., 0.25])
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
    return {'windows': windows, 'sizes': [224, 224, 96, 96], 'in the global crop, by global and other': in_global,
            'in the other crop, by other and global': in_other,
            'drawn windows by crop, image 100 x 100': candidates, 'taken': taken}


def outputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores and embeddings as a network would give them, and the foreground."""
    rows, local = SIZES['batch'] * 2 * 49, SIZES['batch'] * 2 * 9
    teacher = formula.tensor('teacher scores', (rows, SIZES['prototypes'])).double()
    students = [formula.tensor(f'{kind} student scores', (number, SIZES['prototypes'])).double()
                for kind, number in (('global', rows), ('local', local))]
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
        content = {'windows': WINDOWS, 'foreground': formula.to_text(mask), 'loss': loss.item(),
                   'pairs': pairs_of(code, lambda: run(hard)), 'without foreground': run(None).item(),
                   'bins kept': bins_kept(hard, boxes),
                   'gradient norms by student view': [
                       *grads[0].reshape(2, -1).norm(dim=1), *grads[1].reshape(2, -1).norm(dim=1)]}
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
            for row, vector in enumerate(emb[98 * crop:98 * crop + 98]):
                seen[crop, tuple(vector.tolist())] = f'{step}:{row}'
        contents.append([' '.join(seen.get((crop, tuple(slot.tolist())), '-') for slot in module.queue[crop])
                         for crop in range(2)])
    return {'length': 30, 'losses': torch.stack(losses), 'contents by step and global crop': contents}


def views(step: int) -> list[Tensor]:
    """Two global and two local crops of a batch."""
    return [formula.image(f'{kind} {v} step {step}', SIZES['batch'], SIZES[f'{kind}_image']).double()
            for kind in ('global', 'local') for v in range(2)]


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
        norms = {name: p.grad.norm() for name, p in module.model.named_parameters()
                 if name in WATCHED and name != 'pos_embed'}
        pairs = pairs_of(code, lambda: module.shared_step(batch).detach())
    code.leopart.process_attentions = process
    return {'foreground': formula.to_text(masks[0][:, 0].int()), 'bins kept': bins_kept(masks[0], batch[1]),
            'loss': loss.item(), 'pairs': pairs, 'gradient norms': norms}


def trained_steps(code: Code) -> dict:
    """Four steps in the order of Lightning: forward, backward and teacher within the optimizer's step."""
    module = code.module(queue_length=30)
    (module.optimizer, ), (schedule, ) = module.configure_optimizers()
    nets = {'student': module.model, 'teacher': module.teacher}
    start = {f'{owner} {name}': p.detach().clone() for owner, net in nets.items() for name, p in net.named_parameters()}
    losses = []
    for step in range(4):
        module.trainer = SimpleNamespace(global_step=step)
        batch = views(step), batch_boxes(code)

        def closure(batch: tuple = batch) -> Tensor:
            module.optimizer.zero_grad()
            loss = module.training_step(batch, 0)
            loss.backward()
            losses.append(loss.detach())
            return loss

        with in_float64():
            module.optimizer_step(step // 2, step, module.optimizer, optimizer_closure=closure)
        schedule['scheduler'].step()
    moved = {f'{owner} {name}': (p.detach() - start[f'{owner} {name}']).norm()
             for owner, net in nets.items() for name, p in net.named_parameters() if name in WATCHED}
    moved = {name: value for name, value in moved.items() if 'pos_embed' not in name}
    return {**SETTINGS, 'queue_length': 30, 'losses': torch.stack(losses), 'distance from the start': moved}


def schedules(code: Code) -> dict:
    """Teacher momentum, weight decay and learning rates at ten iterations; which parameters decay."""
    epochs, iterations = 20, 7
    points = [0, 1, 35, 68, 69, 70, 71, 105, 138, 139]
    module = code.module(max_epochs=epochs, num_samples=iterations * SIZES['batch'], momentum_teacher=0.9995,
                         lr_backbone=1e-5, lr_heads=1e-4)
    (optimizer, ), (schedule, ) = module.configure_optimizers()
    rates = []
    for _ in range(epochs * iterations):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule['scheduler'].step()
    names = {id(p): name for name, p in module.model.named_parameters()}
    found = {'teacher momentum': module.momentum_schedule, 'weight decay': module.wd_schedule,
             'learning rate of the backbone': [rate[0] for rate in rates],
             'learning rate of head and prototypes': [rate[2] for rate in rates]}
    return {'epochs': epochs, 'iterations_per_epoch': iterations, 'points': points,
            **{name: [float(values[point]) for point in points] for name, values in found.items()},
            'decayed': [names[id(p)] for group in optimizer.param_groups[::2] for p in group['params']]}


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    code = Code(sys.argv[1])
    shapes = {name: list(p.shape) for name, p in code.module().model.named_parameters()}
    recipe.write('leopart', {
        'sizes': SIZES, 'sinkhorn': sinkhorn(code), 'attention masks': attention_masks(code),
        'overlaps': overlaps(code), 'loss of given outputs': loss_of_given_outputs(code),
        'whole step': whole_step(code), 'four trained steps': trained_steps(code), 'schedules': schedules(code),
        'weights': shapes})


if __name__ == '__main__':
    main()
