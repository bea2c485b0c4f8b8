"""Valid weight files of small networks in all formats, from which mutants are made."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config
from mmdecouple.weights.formats.vit import from_ours

VIT = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=384)


def contents() -> dict[str, dict[str, Any]]:
    """Returns valid files of small networks in all formats, as a dict of names to contents."""
    torch.manual_seed(0)
    # mmengine logs every weight that it initializes.
    MMLogger.get_current_instance().setLevel('ERROR')
    config = load_config(
        'mmdecouple::demo/ibot-d_vit-demo_scenes.py',
        {
            'model.backbone.arch': VIT,
            'model.neck.in_channels': 192,
            'model.neck.hidden_channels': 32,
            'model.neck.out_channels': 32,
            'model.neck.bottleneck_channels': 16,
        },
    )
    densecl = load_config(
        'mmdecouple::demo/densecl_resnet-demo_scenes.py',
        {
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'model.neck.in_channels': 32,
            'model.neck.hid_channels': 16,
            'model.queue_length': 8,
        },
    )
    own = [_checkpoint(one) for one in (config, densecl)]
    vit = {
        key.removeprefix('backbone.'): value
        for key, value in own[0]['state_dict'].items()
        if key.startswith('backbone.')
    }
    dino = {f'backbone.{key}': value for key, value in from_ours(vit, 'dino').items()}
    alone = from_ours(vit, 'timm')
    return dict(
        own_vit=own[0],
        own_resnet=own[1],
        dino=dict(student={f'module.{k}': v for k, v in dino.items()}, teacher=dino, epoch=3),
        timm=alone,
        wrapped=dict(state_dict=alone, args=None, epoch=1),
        huggingface=from_ours(vit, 'huggingface'),
        lightly=dict(
            state_dict={f'{role}_backbone.{k}': v for role in ('student', 'teacher') for k, v in alone.items()}
        ),
    )


def _checkpoint(config: Config) -> dict[str, Any]:
    model = MODELS.build(config.model)
    model.init_weights()
    return dict(
        meta=dict(cfg=config.pretty_text, epoch=1, iter=10, seed=0, experiment_name='run'),
        state_dict=dict(model.state_dict()),
        message_hub=dict(log_scalars={}),
        optimizer=dict(state={}),
    )
