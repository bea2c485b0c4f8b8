"""Golden numbers of SoCo, by the official model, optimizer, schedules and data set.

    python -m tests.test_models.golden.make_soco SOCO

SOCO is a checkout of `hologerry/SoCo` (2be1229). Writes soco.json.
"""

import random
import sys
from functools import partial
from types import SimpleNamespace

import mmcv.cnn
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import xavier_init
from PIL import Image
from torch import Tensor, nn

from . import formula, recipe

SIZES = dict(image=64, depth=18, base_channels=8, projector_hidden=24, predictor_hidden=20, out=16, batch=3, boxes=4)
IDS = {
    'crosswise': ([1, 2, 3, 4], [3, 1, 4, 2]),
    'padded': ([1, 2, 1, 2], [2, 1, 2, 2]),
    'one in common': ([1, 2, 3, 4], [5, 2, 6, 7]),
    'none in common': ([1, 2, 3, 4], [5, 6, 7, 8]),
}
AWARE = dict(aware_range=[48, 96, 192, 224, 0], aware_start=0, aware_end=4)
WATCHED = (
    'encoder.conv1.weight',
    'encoder.bn1.weight',
    'encoder.layer1.0.conv1.weight',
    'encoder.layer3.1.bn2.weight',
    'encoder.layer4.0.conv2.weight',
    'encoder.layer4.1.bn2.bias',
    'projector.linear1.weight',
    'projector.bn1.weight',
    'projector.linear2.weight',
    'predictor.linear1.weight',
    'predictor.bn1.bias',
    'predictor.linear2.weight',
)


class Eighth:
    """Stands for the width of the official network, which otherwise has to be a whole multiple of 64 channels."""

    def __rmul__(self, channels: int) -> int:
        return channels // 8


def ids_as_boxes(ids: list[int]) -> np.ndarray:
    """Boxes `(K, 5)` as the official matrices expect them: all zero but for the id."""
    return np.array([[0, 0, 0, 0, number] for number in ids])


def loss_of_given_vectors(soco, utils) -> dict:
    """The loss in both directions, and gradients with respect to predictions that are not yet normalized."""
    shape = (len(IDS) * 4, 8)
    matrix = torch.stack([utils.get_correspondence_matrix(*map(ids_as_boxes, pair)) for pair in IDS.values()])
    pred = [formula.tensor(f'prediction {view}', shape).double().requires_grad_() for view in (1, 2)]
    proj = [F.normalize(formula.tensor(f'projection {view}', shape).double(), dim=1) for view in (1, 2)]
    unit = [F.normalize(vectors, dim=1) for vectors in pred]

    def directed(images: slice, a: int, b: int, matrix: Tensor) -> Tensor:
        rows = slice(4 * images.start, 4 * images.stop)
        return soco.regression_loss_bboxs(None, unit[a][rows], proj[b][rows], matrix[images].double())

    each = [
        [directed(slice(n, n + 1), 0, 1, matrix), directed(slice(n, n + 1), 1, 0, matrix.transpose(1, 2))]
        for n in range(len(IDS))
    ]
    all_images = slice(0, len(IDS))
    l12, l21 = directed(all_images, 0, 1, matrix), directed(all_images, 1, 0, matrix.transpose(1, 2))
    grads = torch.autograd.grad(l12 + l21, pred)
    return {
        'ids of view 1 and 2': list(IDS.values()),
        'matrices': formula.to_text(matrix.int()),
        'loss by image, 12 and 21': [[term.item() for term in terms] for terms in each],
        'loss 12': l12.item(),
        'loss 21': l21.item(),
        'loss': (l12 + l21).item(),
        'gradient norms by prediction': [grad.norm(dim=1) for grad in grads],
    }


def tiny_model(models, resnet, instances: int = 300, epochs: int = 1) -> nn.Module:
    """SoCo C4 with a ResNet-18 of an eighth of the width and plain batch normalization.

    Args:
        models: The official module of the model.
        resnet: That of the backbone.
        instances: Images of an epoch.
        epochs: Length of the run.
    """
    models.Proj_Head = partial(
        sys.modules['contrast.models.mlps'].Proj_Head,
        in_dim=8 * SIZES['base_channels'],
        inner_dim=SIZES['projector_hidden'],
        out_dim=SIZES['out'],
    )
    models.Pred_Head = partial(
        sys.modules['contrast.models.mlps'].Pred_Head,
        in_dim=SIZES['out'],
        inner_dim=SIZES['predictor_hidden'],
        out_dim=SIZES['out'],
    )
    models.nn.SyncBatchNorm.convert_sync_batchnorm = lambda module: module
    args = SimpleNamespace(
        feature_dim=SIZES['out'],
        head_type='pass',
        contrast_num_negative=4,
        contrast_momentum=0.99,
        contrast_temperature=0.2,
        output_size=7,
        aligned=True,
        num_instances=instances,
        epochs=epochs,
        batch_size=SIZES['batch'],
        start_epoch=1,
    )
    return models.SoCo_C4(partial(resnet.resnet18, width=Eighth()), args)


def whole_forward(models, resnet, ops) -> dict:
    """The loss and gradients of a whole C4 model, the second view with mirrored boxes."""
    model = tiny_model(models, resnet)
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    recipe.load(model, formula.weights('student', shapes))
    teacher = formula.weights('teacher', {name: shape for name, shape in shapes.items() if 'predictor' not in name})
    for name, value in teacher.items():
        part, rest = name.split('.', 1)
        model.get_parameter(f'{part}_k.{rest}').data.copy_(value)
    low = (formula.tensor('boxes low', (2, 3, 4, 2)) + 1) * 0.25
    boxes = torch.cat([low, low + 0.2 + (formula.tensor('boxes size', (2, 3, 4, 2)) + 1) * 0.15], dim=-1)
    flip = ops.RandomHorizontalFlipImageBbox(p=1)
    blank, params = Image.new('RGB', (8, 8)), np.zeros(6, dtype=int)
    boxes[1] = torch.stack([flip(blank, image, params)[1] for image in boxes[1]])
    matrix = torch.stack([torch.eye(4), torch.eye(4)[[2, 0, 3, 1]], torch.eye(2).repeat(2, 2)])
    views = [formula.image(f'view {view}', SIZES['batch'], SIZES['image']) for view in range(2)]
    model.k = 30
    cast = [item.double() for item in (*views, boxes[0], boxes[1], matrix)]
    loss = model(*cast)
    loss.backward()
    parameters = dict(model.named_parameters())
    return {
        'boxes': boxes,
        'matrices': formula.to_text(matrix.int()),
        'teacher momentum': ema_momentum(models, 30, 100),
        'loss': loss.item(),
        'gradient norms': {name: parameters[name].grad.norm() for name in WATCHED},
        'norms of the updated teacher': {
            name: parameters[name.replace('.', '_k.', 1)].norm() for name in WATCHED if 'predictor' not in name
        },
        'weights': shapes,
    }


def ema_momentum(models, step: int, steps: int) -> float:
    """Momentum of the update in a step, read off a teacher of 1 whose student is 0."""
    one, zero = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
    one.weight.data.fill_(1)
    zero.weight.data.fill_(0)
    stand_in = SimpleNamespace(
        contrast_momentum=0.99,
        k=step,
        K=steps,
        encoder=zero,
        encoder_k=one,
        projector=nn.Identity(),
        projector_k=nn.Identity(),
    )
    models.SoCo_C4._momentum_update_key_encoder(stand_in)
    return one.weight.item()


def lars(module) -> dict:
    """Three steps of the official LARS on a matrix, a convolution, a matrix of zeros and two vectors."""
    shapes = {'matrix': (3, 2), 'convolution': (2, 1, 2, 2), 'zeros': (2, 2), 'bias': (3,), 'gain': (2,)}
    model = nn.ParameterDict(
        {name: nn.Parameter(formula.tensor(f'lars {name}', shape).double()) for name, shape in shapes.items()}
    )
    model['zeros'].data.zero_()
    rates, decay = [2.0, 8.0, 0.5], 0.1
    optimizer = module.LARS(torch.optim.SGD(module.add_weight_decay(model, decay), lr=1, momentum=0.9))
    steps = []
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group['lr'] = rate
        for name, parameter in model.items():
            parameter.grad = formula.tensor(f'lars gradient {name} step {step}', parameter.shape).double()
        optimizer.step()
        steps.append({name: parameter.detach().clone().flatten() for name, parameter in model.items()})
    return {
        'shapes': shapes,
        'learning rates': rates,
        'momentum': 0.9,
        'weight decay': decay,
        'trust': 0.001,
        'eps': 1e-8,
        'after each step': steps,
    }


def schedules(models, scheduler) -> dict:
    """Teacher momentum and learning rate at ten iterations each."""
    epochs, iterations, warmup = 20, 7, 10
    points = [0, 1, 35, 68, 69, 70, 71, 105, 138, 139]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=8)
    schedule = scheduler.get_scheduler(
        optimizer,
        iterations,
        SimpleNamespace(lr_scheduler='cosine', epochs=epochs, warmup_epoch=warmup, warmup_multiplier=100),
    )
    rates = []
    for _ in range(epochs * iterations):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    length = dict(epochs=epochs, iterations_per_epoch=iterations, points=points)
    return {
        'teacher momentum': {
            'start': 0.99,
            **length,
            'values': [ema_momentum(models, point, epochs * iterations) for point in points],
        },
        'learning rate': {
            'base': 8.0,
            'end': 1e-6,
            'warmup_epochs': warmup,
            'warmup_factor': 0.01,
            **length,
            'values': [float(rates[point]) for point in points],
        },
    }


WINDOWS = {
    'inside': dict(
        size=(120, 80),
        window=(10, 20, 60, 50),
        flips=(0, 0),
        boxes=[(15, 15, 40, 30), (30, 25, 70, 40), (60, 5, 50, 30)],
    ),
    'both mirrored': dict(
        size=(120, 80),
        window=(10, 20, 60, 50),
        flips=(1, 1),
        boxes=[(15, 15, 40, 30), (30, 25, 70, 40), (60, 5, 50, 30)],
    ),
    'second mirrored, four boxes': dict(
        size=(100, 100),
        window=(0, 40, 100, 60),
        flips=(0, 1),
        boxes=[(0, 0, 100, 50), (35, 35, 32, 32), (10, 60, 40, 40), (64, 32, 36, 60)],
    ),
    'touching by one and by two pixels': dict(
        size=(100, 100),
        window=(0, 50, 100, 50),
        flips=(0, 0),
        boxes=[(10, 10, 41, 40), (8, 20, 44, 40), (60, 40, 40, 40)],
    ),
    'one box': dict(size=(90, 60), window=(10, 10, 40, 70), flips=(0, 0), boxes=[(20, 5, 40, 40)]),
    'no box in the crop': dict(size=(100, 100), window=(50, 50, 50, 50), flips=(0, 1), boxes=[(0, 0, 40, 40)]),
    'no proposal': dict(size=(90, 60), window=(10, 10, 40, 70), flips=(0, 0), boxes=[]),
}


def drawn(data, ops, props, case: dict) -> dict:
    """Boxes, ids and correspondence of the official `__getitem__` for a given crop, without color and cutout."""
    crop = ops.RandomResizedCropParams(224)
    width, height = case['size']
    crop.get_params = lambda image, scale, ratio: (*case['window'], height, width)
    flips = iter(case['flips'])
    views = []

    def keep(image: Image.Image) -> Image.Image:
        views.append(image)
        return image

    dataset = data.ImageFolderImageAsymBboxCutout.__new__(data.ImageFolderImageAsymBboxCutout)
    dataset.__dict__.update(
        samples=[('', 0)],
        loader=lambda path: Image.new('RGB', case['size']),
        select_strategy='random',
        select_k=4,
        props=[props.convert_props(case['boxes'])],
        max_tries=5,
        least_common=2,
        padding_k=4,
        jitter_ratio=0.1,
        view_size=(224, 224),
        transform=(
            ops.WholeImageResizedParams(224),
            crop,
            lambda *args: ops.RandomHorizontalFlipImageBbox(p=next(flips))(*args),
            keep,
            keep,
            lambda image, boxes: image,
        ),
    )
    _, _, boxes1, boxes2, matrix, *_ = dataset[0]
    assert all(view.size == (224, 224) for view in views)
    return {
        'image width, height': case['size'],
        'proposals x, y, w, h': case['boxes'],
        'window top, left, height, width': case['window'],
        'mirrored': case['flips'],
        'ids': [boxes[:, 4].int() for boxes in (boxes1, boxes2)],
        'boxes': [boxes[:, :4].double() for boxes in (boxes1, boxes2)],
        'matrix': formula.to_text(matrix.int()[None])[0],
    }


def jitter(utils) -> dict:
    """Boxes that the official code moves, for given draws."""
    boxes = np.array([[20, 30, 59, 65], [80, 10, 139, 39], [100, 90, 140, 140], [5, 60, 36, 99]])
    draws = formula.tensor('jitter', boxes.shape, 0.1).double().numpy()
    left = iter(draws)
    kept = np.random.uniform
    utils.random, np.random.uniform = SimpleNamespace(random=lambda: 0.0), lambda low, high, size: next(left)
    moved = utils.jitter_props(boxes, 1.0, 0.1)
    utils.random, np.random.uniform = random, kept
    return {'ratio': 0.1, 'boxes': boxes, 'draws': draws, 'moved': moved}


def levels(utils) -> dict:
    """Levels of FPN boxes and their correspondence; -1 is no level."""
    sides = [
        (10, 10),
        (47, 47),
        (48, 48),
        (48.9, 48.9),
        (50, 46),
        (96, 96),
        (97, 97),
        (60, 150),
        (192, 192),
        (193, 193),
        (223, 223),
        (224, 224),
        (230, 230),
    ]
    found = []
    for width, height in sides:
        box = np.array([[0, 0, width - 1, height - 1, 7]]).astype(int)
        assigned = utils.assign_bboxs_to_feature_map(box, **AWARE, not_used_value=-1)
        found.append(assigned.tolist().index(7) if 7 in assigned else -1)
    view1 = np.array([[0, 0, 39, 39, 1], [0, 0, 99, 99, 2], [0, 0, 149, 149, 3], [0, 0, 239, 239, 4]])
    view2 = np.array([[0, 0, 59, 59, 1], [0, 0, 99, 99, 2], [9, 9, 99, 99, 2], [0, 0, 239, 239, 4]])
    assigned = [
        utils.assign_bboxs_to_feature_map(boxes, **AWARE, not_used_value=-1 - view)
        for view, boxes in enumerate((view1, view2))
    ]
    matrix = utils.get_aware_correspondence_matrix(*assigned)
    return {
        'limits': AWARE['aware_range'][:4],
        'width, height of boxes': sides,
        'level': found,
        'boxes with ids': [view1, view2],
        'ids by level and box': assigned,
        'matches of (level, box) rows': matrix.nonzero(),
    }


def main() -> None:
    """Run the official code."""
    recipe.one_process_on_the_cpu()
    recipe.stub('mmdet.core', anchor_inside_flags=None)
    mmcv.cnn.xavier_init = xavier_init
    models = recipe.official(sys.argv[1], 'contrast.models.SoCo_C4')
    part = {
        name: recipe.official(sys.argv[1], f'contrast.{name}')
        for name in (
            'resnet',
            'lars',
            'lr_scheduler',
            'data.bboxs_utils',
            'data.transform_ops',
            'data.dataset',
            'data.props_utils',
        )
    }
    random.seed(0)
    np.random.seed(0)
    utils, ops = part['data.bboxs_utils'], part['data.transform_ops']
    recipe.write(
        'soco',
        {
            'loss of given vectors': loss_of_given_vectors(models.SoCo_C4, utils),
            'lars': lars(part['lars']),
            'schedules': schedules(models, part['lr_scheduler']),
            'boxes of the C4 data set': {
                name: drawn(part['data.dataset'], ops, part['data.props_utils'], case) for name, case in WINDOWS.items()
            },
            'jitter': jitter(utils),
            'levels': levels(utils),
            'sizes': SIZES,
            'whole forward': whole_forward(models, part['resnet'], ops),
        },
    )


if __name__ == '__main__':
    main()
