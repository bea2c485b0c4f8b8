"""Golden numbers of PLRC, by those parts of the official code that say what the paper says.

    python -m tests.test_models.golden.make_plrc PLRC

PLRC is a checkout of `facebookresearch/PLRC` (5fbd1cb). Writes plrc.json.

Its model runs here, on the CPU, with these changes: narrow stages (`SIZES`) and a coarse grid of points; evaluation
mode, so that batch norm does not depend on how views are stacked; the positive of the image term is column 0 (the
release's targets are 0 ... N - 1); the bottleneck is L2-normalized for all views (the release normalizes that of the
key by L1). The contrast of points is not recorded: the release's leaves out the negative points of the image.
"""

import sys
from types import SimpleNamespace

import torch
from torch import Tensor

from . import formula, recipe

SIZES = dict(image=64, width=1 / 8, grid=14, batch=3, source=160)
# x, y, w, h and flip of the query, the key and the query's second crop, for each image, in an image of 160 x 160.
WINDOWS = [
    [[0, 0, 120, 100, 0], [30, 20, 90, 110, 1], [10, 8, 110, 96, 1]],
    [[40, 30, 96, 128, 1], [0, 0, 160, 160, 0], [50, 40, 88, 110, 1]],
    [[8, 16, 128, 128, 0], [24, 8, 100, 90, 0], [8, 16, 128, 128, 0]],
]
WATCHED = (
    'conv1.weight',
    'layer1.0.conv2.weight',
    'layer4.2.bn3.bias',
    'fcs.0.weight',
    'fcs.2.bias',
    'fcs_2.mlp.0.weight',
    'fcs_2.mlp.4.weight',
    'fcs_2.mlp.6.weight',
    'fcs_2.last_layer.weight_v',
)
EPOCH = 3


def shapes_of(encoder: torch.nn.Module) -> dict[str, list[int]]:
    """Shapes of the parameters, without the gain of the last layer, which stays at 1."""
    return {name: list(value.shape) for name, value in encoder.named_parameters() if not name.endswith('weight_g')}


def narrow_model(builder, loss, resnet) -> torch.nn.Module:
    """The official model with the changes of the heading; the terms of distillation and images with weight 1."""
    full = resnet.resnet50
    resnet.resnet50 = lambda **options: full(**{**options, 'width_scale': SIZES['width']})
    args = SimpleNamespace(batch_size=SIZES['batch'], world_size=1, rank=0, ts_ratio=1.0, cl_ratio=0.0, im_ratio=1.0)
    model = builder.PLRC(args).double().eval()
    for part in (model, model.plrc_loss, model.plrc_loss_image):
        part.mask_size = SIZES['grid']
    model.plrc_loss.self_distillation = loss.SelfDistillation(args, SIZES['grid'] ** 2, 0.04, 0.07, 30, 100).double()
    contrast = model.plrc_loss_image.compute_cont_loss
    model.plrc_loss_image.compute_cont_loss = lambda pos, neg, targets: contrast(pos, neg, torch.zeros_like(targets))
    for encoder, owner in ((model.encoder_q, 'student'), (model.encoder_k, 'teacher')):
        for name, value in formula.weights(owner, shapes_of(encoder.enc)).items():
            encoder.enc.get_parameter(name).data.copy_(value)
        forward = encoder.enc.fcs_2.forward
        encoder.enc.fcs_2.forward = lambda x, dy=False, forward=forward: forward(x, dy=False)
    # The momentum is 1 here: the teacher's weights are given.
    model.m = 1.0
    queue = formula.tensor('queue', model.plrc_loss_image.queue_x.shape).double()
    model.plrc_loss_image.queue_x.copy_(torch.nn.functional.normalize(queue, dim=1))
    return model


def corners(view: int) -> Tensor:
    """Left, top, right, bottom of a view's windows as shares of the image, the sides exchanged by a flip, (B, 4)."""
    rows = [[x + w * flip, y, x + w * (1 - flip), y + h] for x, y, w, h, flip in (windows[view] for windows in WINDOWS)]
    return torch.tensor(rows, dtype=torch.float64) / SIZES['source']


def main() -> None:
    recipe.one_process_on_the_cpu()
    builder = recipe.official(sys.argv[1], 'PLRC.models.builder')
    loss, resnet = sys.modules['PLRC.models.plrc_loss'], sys.modules['PLRC.models.resnet']
    model = narrow_model(builder, loss, resnet)
    query, key, other = (formula.image(f'view {view}', SIZES['batch'], SIZES['image']).double() for view in range(3))
    points = [torch.zeros(SIZES['batch'], 2, 32, 2).double() for _ in range(2)]
    image, point = model(
        [query, key], None, EPOCH, points, None, [other, other], [corners(0), corners(1)], [corners(2), corners(2)]
    )
    terms = dict(image=image[0][0], affinity=point[0][0])
    content = dict(
        windows=WINDOWS,
        sizes=SIZES,
        epoch=EPOCH,
        weights=shapes_of(model.encoder_q.enc),
        terms={name: value.item() for name, value in terms.items()},
    )
    trained = dict(model.encoder_q.enc.named_parameters())
    for name, value in terms.items():
        grads = torch.autograd.grad(
            value.sum(), [trained[watched] for watched in WATCHED], allow_unused=True, retain_graph=True
        )
        content[f'gradient norms of {name}'] = {
            watched: 0.0 if grad is None else grad.norm().item() for watched, grad in zip(WATCHED, grads)
        }
    center = model.plrc_loss.self_distillation.center[0]
    pairs = sys.modules['PLRC.models.utils'].overlap(
        torch.zeros(SIZES['batch'], SIZES['grid'] ** 2, 1), None, corners(0), corners(2), SIZES['grid']
    )
    content['center'] = dict(
        norm=center.norm().item(),
        projection=(center * formula.tensor('direction center', center.shape)).sum().item(),
        first=center[:5],
    )
    content['pairs'] = dict(counts=pairs.sum((1, 2)), of_first_point=[row[90].nonzero().flatten() for row in pairs])
    recipe.write('plrc', content)


if __name__ == '__main__':
    main()
