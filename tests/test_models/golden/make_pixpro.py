"""Golden numbers of PixPro, by the official model and transforms.

    python -m tests.test_models.golden.make_pixpro PIXPRO

PIXPRO is a checkout of `zdaxie/PixPro` (e390d6b). Writes pixpro.json.
"""

import itertools
import random
import sys
from functools import partial
from types import SimpleNamespace
from unittest import mock

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from . import formula, recipe
from .make_soco import Eighth

SIZES = dict(image=128, grid=4, depth=18, base_channels=8, projector_hidden=24, predictor_hidden=20, out=16, batch=3)
# Size of an image, and window x, y, w, h and flip of each view: overlap in part, one mirrored; one inside the other,
# both mirrored; two ends of an image that is not square, which share nothing.
WINDOWS = [
    ((60, 60), [(0, 4, 40, 32, False), (16, 10, 36, 44, True)]),
    ((80, 50), [(5, 0, 60, 50, True), (20, 12, 24, 20, True)]),
    ((90, 40), [(0, 0, 30, 28, False), (55, 10, 35, 30, False)]),
]
WATCHED = (
    'encoder.conv1.weight',
    'encoder.bn1.weight',
    'encoder.layer1.0.conv1.weight',
    'encoder.layer3.1.bn2.weight',
    'encoder.layer4.0.conv2.weight',
    'encoder.layer4.1.bn2.bias',
    'projector.linear1.weight',
    'projector.bn1.weight',
    'projector.linear2.bias',
    'value_transform.weight',
    'value_transform.bias',
    'projector_instance.linear1.weight',
    'projector_instance.bn1.bias',
    'predictor.linear1.weight',
    'predictor.bn1.bias',
    'predictor.linear2.weight',
)
POWERS, LAYERS = (2.0, 1.0, 0.5), (0, 1, 2)


def coordinates(transforms) -> list[list[list[float]]]:
    """What the official crop and flip say of the windows, by view and image."""
    found = []
    for view in range(2):
        rows = []
        for (width, height), windows in WINDOWS:
            x, y, w, h, flip = windows[view]
            crop = transforms.RandomResizedCropCoord(8)
            crop.get_params = lambda *args, given=(y, x, h, w, height, width): given
            image, coord = crop(Image.new('RGB', (width, height)))
            rows.append(transforms.RandomHorizontalFlipCoord(p=float(flip))(image, coord)[1].tolist())
        found.append(rows)
    return found


def given_maps(models, coords: Tensor) -> dict:
    """The loss in both directions for several thresholds, and the pairs that count at 0.7."""
    side = SIZES['grid']
    shape = SIZES['batch'], SIZES['out'], side, side
    predictions, projections = (
        [F.normalize(formula.tensor(f'{kind} {v}', shape).double(), dim=1) for v in range(2)]
        for kind in ('prediction', 'projection')
    )
    losses = {
        str(threshold): [
            models.regression_loss(predictions[v], projections[1 - v], coords[v], coords[1 - v], threshold)
            for v in range(2)
        ]
        for threshold in (0.3, 0.7, 1.5)
    }
    # Each position of view 0 has a channel of its own; a map of view 1 with one channel at one position is one pair.
    own = torch.eye(side**2, dtype=torch.float64).view(1, side**2, side, side)
    pairs = torch.zeros(SIZES['batch'], side**2, side**2, dtype=torch.int)
    for image, i, j in itertools.product(*map(range, pairs.shape)):
        one = torch.zeros_like(own)
        one[0, i, j // side, j % side] = 1
        windows = coords[:, image : image + 1]
        pairs[image, i, j] = models.regression_loss(own, one, *windows, 0.7) != 0
    return {'losses': losses, 'close pairs': formula.to_text(pairs)}


def propagated(models) -> dict:
    """Propagated features by exponent and number of layers."""
    shape = 2, SIZES['out'], SIZES['grid'], SIZES['grid']
    feat, found = formula.tensor('features', shape).double(), {}
    transforms = {
        0: nn.Identity(),
        1: models.conv1x1(SIZES['out'], SIZES['out']),
        2: models.MLP2d(SIZES['out'], SIZES['out'], SIZES['out']),
    }
    for layers, transform in transforms.items():
        recipe.load(
            transform, {name: formula.weight('student', name, p.shape) for name, p in transform.named_parameters()}
        )
        for power in POWERS:
            owner = SimpleNamespace(value_transform=transform, pixpro_clamp_value=0.0, pixpro_p=power)
            made = models.PixPro.featprop(owner, feat)
            direction = formula.tensor('direction', tuple(made.shape)).double()
            found[f'{layers} layers, power {power}'] = [made.norm(), (made * direction).sum()]
    return found


def tiny_model(models, resnet, instance: float, instances: int = 300, epochs: int = 1) -> nn.Module:
    """PixPro with a ResNet-18 of an eighth of the width and plain batch normalization.

    Args:
        models: The official module of the model.
        resnet: That of the backbone.
        instance: Weight of the instance branch, 0 for none.
        instances: Images of an epoch.
        epochs: Length of the run.
    """
    out, mlp, conv = SIZES['out'], models.MLP2d, models.conv1x1
    models.Proj_Head = partial(mlp, 8 * SIZES['base_channels'], SIZES['projector_hidden'], out)
    models.Pred_Head = partial(mlp, out, SIZES['predictor_hidden'], out)
    models.nn.SyncBatchNorm.convert_sync_batchnorm = lambda module: module
    args = SimpleNamespace(
        feature_dim=out,
        head_type='early_return',
        pixpro_p=2.0,
        pixpro_momentum=0.99,
        pixpro_pos_ratio=0.7,
        pixpro_clamp_value=0.0,
        pixpro_transform_layer=1,
        pixpro_ins_loss_weight=instance,
        num_instances=instances,
        epochs=epochs,
        batch_size=SIZES['batch'],
        start_epoch=1,
    )
    model = models.PixPro(partial(resnet.resnet18, width=Eighth()), args)
    model.value_transform = conv(out, out)
    model.avgpool = nn.AvgPool2d(SIZES['grid'], stride=1)
    return model


def whole_forward(models, resnet, coords: Tensor) -> dict:
    """Loss and gradients of a whole model with the instance branch."""
    model = tiny_model(models, resnet, instance=0.4)
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    recipe.load(model, formula.weights('student', shapes))
    for name, value in formula.weights('teacher', taught(shapes)).items():
        part, rest = name.split('.', 1)
        model.get_parameter(f'{part}_k.{rest}').data.copy_(value)
    views = [formula.image(f'view {view}', SIZES['batch'], SIZES['image']).double() for view in range(2)]
    model.k = 30
    loss = model(*views, *coords)
    loss.backward()
    parameters = dict(model.named_parameters())
    return {
        'teacher momentum': 1 - 0.01 * (torch.cos(torch.tensor(torch.pi * 30 / 100, dtype=torch.float64)) + 1) / 2,
        'loss': loss.item(),
        'gradient norms': {name: parameters[name].grad.norm() for name in WATCHED},
        'norms of the updated teacher': {
            name: parameters[name.replace('.', '_k.', 1)].norm() for name in taught(dict.fromkeys(WATCHED))
        },
        'weights': shapes,
    }


def official_code(folder: str) -> tuple:
    """Official modules of the training and the model, and the windows as these give them, (2, B, 4)."""
    recipe.one_process_on_the_cpu()
    pretrain = recipe.official(folder, 'main_pretrain')
    models, transforms = (sys.modules[f'contrast.{name}'] for name in ('models.PixPro', 'data.transform_coord'))
    official_loss = models.regression_loss

    def in_double(*args: Tensor) -> Tensor:
        # The official loss counts pairs in float32.
        with mock.patch.object(Tensor, 'float', Tensor.double):
            return official_loss(*args)

    models.regression_loss = in_double
    return pretrain, models, torch.tensor(coordinates(transforms), dtype=torch.float64)


def taught(names: dict) -> dict:
    """Those that the teacher has too."""
    return {name: value for name, value in names.items() if name.startswith(('encoder', 'projector'))}


def main() -> None:
    """Run the official code."""
    random.seed(0)
    pretrain, models, coords = official_code(sys.argv[1])
    recipe.write(
        'pixpro',
        {
            'sizes': SIZES,
            'windows': [[[*size, *window] for window in windows] for size, windows in WINDOWS],
            'coordinates': coords,
            'given maps': given_maps(models, coords),
            'propagation': propagated(models),
            'whole forward': whole_forward(models, pretrain.resnet, coords),
        },
    )


if __name__ == '__main__':
    main()
