"""The official modules of Leopart, with the libraries they expect replaced and weights by formula."""

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from . import formula, recipe

SIZES = dict(
    global_image=56,
    local_image=24,
    globals=2,
    locals=2,
    patch=8,
    width=32,
    depth=2,
    heads=2,
    mlp_ratio=4,
    layer_norm_eps=1e-6,
    head_hidden=48,
    head_out=16,
    prototypes=24,
    batch=2,
)
SETTINGS = dict(
    lr_backbone=1e-3,
    lr_heads=1e-2,
    final_lr=0.0,
    weight_decay=0.04,
    weight_decay_end=0.5,
    momentum_teacher=0.9,
    momentum_teacher_end=1.0,
    epsilon=0.05,
    temperature=0.1,
    sinkhorn_iterations=3,
    num_samples=4,
    batch_size=2,
    max_epochs=2,
)
# Windows x1, y1, x2, y2 of two global and two local crops. Overlaps with a global crop are multiples of a fourth of it,
# so that RoIAlign samples at exact binary fractions and no bin of foreground is lost to rounding.
WINDOWS = [
    [[0, 0, 112, 112], [28, 56, 140, 168], [56, 56, 84, 84], [28, 28, 84, 112]],
    [[64, 32, 176, 144], [92, 32, 204, 144], [92, 60, 148, 116], [120, 32, 176, 60]],
]


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

    def small(self, drop_path_rate: float = 0.0, **kwargs: object) -> nn.Module:
        """A tiny ViT without stochastic depth."""
        return self.vit.VisionTransformer(
            img_size=[SIZES['global_image']],
            embed_dim=SIZES['width'],
            depth=SIZES['depth'],
            qkv_bias=True,
            num_heads=SIZES['heads'],
            norm_layer=partial(nn.LayerNorm, eps=SIZES['layer_norm_eps']),
            **kwargs,
        )

    def module(self, **settings: object) -> nn.Module:
        """The official training module with formula weights; positions are flat, since local crops resize them."""
        with torch.random.fork_rng():
            module = self.leopart.Leopart(
                **{
                    **dict(
                        gpus=1,
                        patch_size=SIZES['patch'],
                        projection_hidden_dim=SIZES['head_hidden'],
                        loss_mask='fg',
                        projection_feat_dim=SIZES['head_out'],
                        n_layers_projection_head=3,
                        nmb_prototypes=SIZES['prototypes'],
                        crops_for_assign=[0, 1],
                        nmb_crops=[SIZES['globals'], SIZES['locals']],
                        num_classes=21,
                        val_iters=1,
                        num_clusters_kmeans=[21],
                        optimizer='adamw',
                    ),
                    **SETTINGS,
                    **settings,
                }
            )
        shapes = {name: list(p.shape) for name, p in module.model.named_parameters()}
        for owner, net in (('student', module.model), ('teacher', module.teacher)):
            recipe.load(net, formula.weights(owner, shapes, flat_positions=True))
        module.on_train_epoch_start()
        if module.queue is not None:
            module.queue = module.queue.double()
        return module

    def boxes(self, windows: list, sizes: tuple = (SIZES['global_image'], SIZES['local_image'])) -> tuple:
        """Overlaps of one image's crops, `(2, V, 4)` in pixels of the global and `(V, 2, 4)` of the other crop."""
        transform = self.transforms.LeopartTransforms(list(sizes), [2, len(windows) - 2], [0.25, 0.05], [1.0, 0.25])
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
