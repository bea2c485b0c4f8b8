"""Golden numbers of SoCo-FPN: the four terms of its loss, by the official model.

    python -m tests.test_models.golden.make_soco_fpn SOCO

Checkout as for `make_soco`. Writes soco_fpn.json.
"""

import sys
from functools import partial
from types import SimpleNamespace

import mmcv.cnn
import numpy as np
import torch
from mmengine.model import xavier_init
from torch import Tensor, nn

from . import formula, recipe
from .make_soco import Eighth

SIZES = dict(images=[64, 64, 32], channels=8, fc_channels=32, hidden=24, out=16, batch=3)
LIMITS = [10, 16, 22, 28]
IDS = [[[1, 2, 3, 1], [3, 1, 2, 2]], [[4, 5, 6, 7], [6, 7, 4, 5]]]
WATCHED = (
    'encoder.conv1.weight',
    'neck.lateral_convs.0.conv.weight',
    'neck.fpn_convs.3.bn.bias',
    'head.conv4.weight',
    'head.fc1.bias',
    'projector.linear2.weight',
    'predictor.bn1.weight',
)


def boxes(pair: int, side: int) -> Tensor:
    """Boxes x1, y1, x2, y2 of a side of a pair in pixels of the view, ends included, (B, 4, 4), whole numbers."""
    view = SIZES['images'][0 if side == 0 else pair + 1]
    shape = SIZES['batch'], 4, 2
    low = ((formula.tensor(f'box low {pair} {side}', shape) + 1) * view / 5).floor()
    return torch.cat([low, low + ((formula.tensor(f'box size {pair} {side}', shape) + 1) * view / 4).floor() + 3], -1)


def model_of(models, resnet) -> nn.Module:
    """The official model on a ResNet-18 of eight base channels, its pyramid and head as narrow."""
    share = 256 // SIZES['channels']
    fc_share = 1024 // SIZES['fc_channels']
    head = sys.modules['contrast.models.fast_rcnn_conv_fc_head']
    head.nn = SimpleNamespace(
        Conv2d=lambda in_channels, out_channels, **rest: nn.Conv2d(in_channels // share, out_channels // share, **rest),
        BatchNorm2d=lambda channels, **rest: nn.BatchNorm2d(channels // share, **rest),
        ReLU=nn.ReLU,
        Flatten=nn.Flatten,
        Linear=lambda in_features, out_features, bias: nn.Linear(in_features // share, out_features // fc_share, bias),
    )
    mlps = sys.modules['contrast.models.mlps']
    models.Proj_Head = lambda in_dim: mlps.Proj_Head(in_dim // fc_share, SIZES['hidden'], SIZES['out'])
    models.Pred_Head = partial(mlps.Pred_Head, in_dim=SIZES['out'], inner_dim=SIZES['hidden'], out_dim=SIZES['out'])
    models.nn.SyncBatchNorm.convert_sync_batchnorm = lambda module: module
    args = SimpleNamespace(
        feature_dim=SIZES['out'],
        head_type='multi_layer',
        contrast_num_negative=4,
        contrast_momentum=0.99,
        contrast_temperature=0.2,
        output_size=7,
        aligned=True,
        in_channels=[8, 16, 32, 64],
        out_channels=SIZES['channels'],
        num_outs=4,
        start_level=0,
        end_level=4,
        add_extra_convs=False,
        extra_convs_on_inputs=False,
        relu_before_extra_convs=False,
        num_instances=300,
        epochs=1,
        batch_size=3,
        start_epoch=1,
    )
    return models.SoCo_FPN(partial(resnet.resnet18, width=Eighth()), args)


def main() -> None:
    """Run the official model, with batch norm by fixed statistics: its head sees other boxes than ours."""
    recipe.one_process_on_the_cpu()
    recipe.stub('mmdet.core', anchor_inside_flags=None)
    mmcv.cnn.xavier_init = xavier_init
    models = recipe.official(sys.argv[1], 'contrast.models.SoCo_FPN')
    resnet, utils = (recipe.official(sys.argv[1], f'contrast.{name}') for name in ('resnet', 'data.bboxs_utils'))
    model = model_of(models, resnet)
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    recipe.load(model, formula.weights('student', shapes)).eval()
    for name, value in formula.weights('teacher', shapes).items():
        if not name.startswith('predictor'):
            model.get_parameter(name.replace('.', '_k.', 1)).data.copy_(value)
    model._momentum_update_key_encoder = lambda: None
    terms, of_direction = [], model.regression_loss_bboxs_aware

    def keep(*args: Tensor) -> Tensor:
        terms.append(of_direction(*args))
        return terms[-1]

    model.regression_loss_bboxs_aware = keep
    shown, matches, levels = [], [], []
    for pair, ids in enumerate(IDS):
        assigned = [
            [
                utils.assign_bboxs_to_feature_map(
                    np.concatenate([image.numpy(), np.array(ids[side])[:, None]], 1), [*LIMITS, 0], 0, 4, -1 - side
                )
                for image in boxes(pair, side)
            ]
            for side in range(2)
        ]
        matches.append(torch.stack([utils.get_aware_correspondence_matrix(*rows) for rows in zip(*assigned)]).double())
        levels.append(
            [
                [
                    [
                        row.reshape(4, 4)[:, box].argmax() if (row.reshape(4, 4)[:, box] > 0).any() else -1
                        for box in range(4)
                    ]
                    for row in rows
                ]
                for rows in assigned
            ]
        )
        for side in range(2):
            pixels = boxes(pair, side) + torch.tensor([0, 0, 1, 1])
            shown.append((pixels / SIZES['images'][0 if side == 0 else pair + 1]).double())
    views = [formula.image(f'view {v}', SIZES['batch'], side).double() for v, side in enumerate(SIZES['images'])]
    loss = model(*views, shown[0], shown[2], shown[1], shown[3], *matches)
    loss.backward()
    parameters = dict(model.named_parameters())
    recipe.write(
        'soco_fpn',
        {
            'sizes': SIZES,
            'limits': LIMITS,
            'ids': IDS,
            'boxes': [[boxes(pair, side) for side in range(2)] for pair in range(2)],
            'levels': np.array(levels),
            **{f'loss {name}': term.item() for name, term in zip(('12', '21', '13', '31'), terms)},
            'loss': loss.item(),
            'gradient norms': {name: parameters[name].grad.norm() for name in WATCHED},
            'weights': shapes,
        },
    )


if __name__ == '__main__':
    main()
