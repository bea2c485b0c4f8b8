"""Makes neco.json: `python -m tests.test_models.golden.make_neco NECO DIFFSORT`, two checkouts.

The views, windows and the small ViT are those of Leopart's file, on whose code NeCo's is built. References are patches
of the batch, without a queue, in the order of `shuffled` instead of a random one.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from . import formula, recipe
from .official_leopart import SIZES, WINDOWS, Code, in_float64

NUMBER = SIZES['globals'] + SIZES['locals']
WATCHED = ('cls_token', 'patch_embed.proj.weight', 'blocks.1.mlp.fc2.weight', 'norm.weight', 'projection_head.4.bias')


def shuffled(count: int, **kwargs: object) -> Tensor:
    """Stands in for a random permutation."""
    return torch.arange(count) * 37 % count


def official_run(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Returns the function in float64 and with `shuffled` references."""

    def run() -> Tensor:
        with in_float64():
            torch.randperm = shuffled
            return function()

    return run


class NeCoCode(Code):
    """The official modules of NeCo; windows and boxes as in Leopart's, which NeCo's transforms copy."""

    def __init__(self, neco: str, diffsort: str) -> None:
        # Imported by the official layers; it looks up libraries that are stubbed below.
        importlib.import_module('torch._dynamo')
        for name in ('faiss', 'timm'):
            recipe.stub(name)
        recipe.stub('pytorch_lightning', LightningModule=nn.Module)
        recipe.stub('pytorch_lightning.core.optimizer', LightningOptimizer=torch.optim.AdamW)
        recipe.stub('torchmetrics', Metric=nn.Module)
        recipe.stub('skimage.measure', label=None)
        recipe.stub('joblib', Parallel=None, delayed=None)
        recipe.stub('sklearn.preprocessing', StandardScaler=None)
        recipe.stub('data.VOCdevkit.vocdata', VOCDataModule=None)
        self.diffsort = recipe.official(diffsort, 'diffsort')
        self.neco = recipe.official(neco, 'src.neco')
        self.vit = recipe.official(neco, 'src.models.vit')
        transforms = recipe.official(neco, 'src.neco_transforms')
        self.transforms = SimpleNamespace(LeopartTransforms=transforms.NeCoTransforms)
        self.neco.PredsmIoUKmeans = lambda *args: None
        self.neco.vit_small = self.small

    def module(self) -> nn.Module:
        """The official training module with formula weights and flat positions."""
        self.neco.NeCo.save_hyperparameters, self.neco.NeCo.device = lambda self: None, 'cpu'
        rates = dict.fromkeys(('lr_heads', 'lr_backbone', 'final_lr', 'weight_decay', 'weight_decay_end'), 0.1)
        module = self.neco.NeCo(
            gpus=1,
            num_samples=2,
            batch_size=2,
            max_epochs=1,
            **rates,
            projection_hidden_dim=SIZES['head_hidden'],
            projection_feat_dim=SIZES['head_out'],
            n_layers_projection_head=3,
            crops_for_assign=[0, 1],
            nmb_crops=[SIZES['globals'], SIZES['locals']],
            num_classes=21,
            val_iters=1,
            num_clusters_kmeans=[21],
            patch_size=SIZES['patch'],
            student_steepness=100,
            teacher_steepness=100,
            is_queue_usable=False,
            sim_dist='cosine',
        )
        shapes = {name: list(p.shape) for name, p in module.model.named_parameters()}
        for owner, net in (('student', module.model), ('teacher', module.teacher)):
            recipe.load(net, formula.weights(owner, shapes, flat_positions=True))
        module.on_train_epoch_start()
        return module


def sorts(code: NeCoCode) -> dict:
    """Relaxed permutation matrices of formula values, by the number of values."""
    found = {}
    for size in (3, 8, 49):
        net = code.diffsort.DiffSortNet('bitonic', size, steepness=100)
        values = formula.tensor(f'values {size}', (2, size), 0.5).double()
        ordered, matrix = net(values)
        found[str(size)] = {
            'sorted': ordered,
            'matrix by direction': (matrix * formula.tensor(f'direction {size}', (2, size, size)).double()).sum((1, 2)),
        }
    return found


def given_outputs(code: NeCoCode, boxes: dict) -> dict:
    """The loss of given embeddings: the whole, each pair of a global crop and another one, gradients."""
    rows, width = SIZES['batch'] * 2, SIZES['head_out']
    shapes = dict(teacher=(rows * 49, width), globals=(rows * 49, width), locals=(rows * 9, width))
    given = {name: formula.tensor(f'neco {name}', shape).double() for name, shape in shapes.items()}
    given = {name: nn.functional.normalize(value, dim=1) for name, value in given.items()}
    leaves = [given[name].requires_grad_() for name in ('globals', 'locals')]
    module = code.module()
    run = official_run(partial(module.knn_loss, given['teacher'], *leaves, boxes, SIZES['batch'], 7, np.float64(3)))
    loss, pairs = run(), {}
    norms = [part.reshape(2, -1).norm(dim=1) for part in torch.autograd.grad(loss, leaves)]
    for key in range(2):
        for other in (view for view in range(NUMBER) if view != key):

            def only(views: np.ndarray, left_out: int, key: int = key, other: int = other) -> list[int]:
                return [other] if left_out == key else []

            code.neco.np = SimpleNamespace(delete=only, arange=np.arange, sum=np.sum, sqrt=np.sqrt)
            pairs[f'{key}-{other}'] = run().item() * (NUMBER - 1) * 2
    code.neco.np = np
    return {'loss': loss.item(), 'pairs': pairs, 'gradient norms by student view': [*norms[0], *norms[1]]}


def whole_step(code: NeCoCode, boxes: dict) -> dict:
    """One forward and backward pass of both networks."""
    views = [
        formula.image(f'{kind} {v} step 0', SIZES['batch'], SIZES[f'{kind}_image']).double()
        for kind in ('global', 'local')
        for v in range(2)
    ]
    module = code.module()
    loss = official_run(partial(module.shared_step, (views, boxes)))()
    loss.backward()
    norms = {name: p.grad.norm() for name, p in module.model.named_parameters() if name in WATCHED}
    return {'loss': loss.item(), 'gradient norms': norms}


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    code = NeCoCode(*sys.argv[1:])
    stacked = zip(*(code.boxes(windows) for windows in WINDOWS))
    boxes = dict(zip(('gc', 'all'), map(torch.stack, stacked)))
    content = {
        'sizes': SIZES,
        'sorts': sorts(code),
        'loss of given outputs': {'windows': WINDOWS, **given_outputs(code, boxes)},
        'whole step': whole_step(code, boxes),
        'weights': {name: list(p.shape) for name, p in code.module().model.named_parameters()},
    }
    recipe.write('neco', content)


if __name__ == '__main__':
    main()
