"""Networks of other projects that are built from their weights alone."""

from typing import Any

from mmdecouple.models import DenseViT
from mmdecouple.models.teachers.frozen import CLIP_MEAN, CLIP_STD
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.weights.conversion import VIT, architecture_of
from mmdecouple.weights.formats import resnet, vit
from mmdecouple.weights.formats.vit_arch import vit_grid, vit_rope_base, vit_settings
from mmdecouple.weights.formats.vit_facts import GELU, QUICK_GELU

from .foreign import ForeignNetwork

# Patches along a side for rotary positions, which have no size of their own: those of DINOv3.
_GRID = 16


def published_network(content: dict[str, Any], role: str | None, where: str) -> ForeignNetwork:
    """Builds a `DenseViT` or a ResNet for weights of another project.

    Args:
        content: Content of a weight file.
        role: `teacher` or `student`, for files that hold both; None for the teacher.
        where: Name of the file in messages.

    Raises:
        UserError: The file holds no supported network, or none with this role.
    """
    if architecture_of(content, where) == VIT:
        return _vit_network(vit.to_ours(content, role, where=where), where)
    weights = resnet.to_ours(content, where=where)
    teacher = any(key.startswith('teacher.') for key in weights.state)
    names = resnet.backbone_names(weights, role or ('teacher' if teacher else 'student'))
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=weights.depth))
    backbone.load_state_dict({name: weights.state[ours] for name, ours in names.items()})
    return ForeignNetwork(backbone)


def _vit_network(weights: vit.ViTWeights, where: str) -> ForeignNetwork:
    facts = weights.facts
    settings = vit_settings(weights.backbone, facts)
    arch, patch = settings['arch'], settings['patch_size']
    if 'num_heads' not in arch:
        raise UserError(
            f'{where}: a ViT of width {arch["embed_dims"]} has no published size, so its number of heads is '
            'unknown; name a config with the number of heads (CONFIG.py=FILE).'
        )
    if settings['in_channels'] != 3:
        raise UserError(
            f'{where}: a ViT of {settings["in_channels"]} input channels cannot read RGB images; use weights of three '
            'channels.'
        )
    clip = 'pre_norm.weight' in weights.backbone
    if facts.activation not in (GELU, QUICK_GELU, *(() if clip else (None,))):
        raise UserError(
            f'{where}: the file does not state the activation of its network, which is GELU or QuickGELU for CLIP; '
            'name the network of timm (timm:NAME=FILE), or a config (CONFIG.py=FILE).'
            if facts.activation is None
            else f'{where}: a ViT with the activation {shown(facts.activation)} is not supported; use another network.'
        )
    if facts.activation == QUICK_GELU:
        settings['layer_cfgs'] = dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
    if settings['position'] == 'rope':
        settings['rope'] = dict(base=vit_rope_base(weights.backbone, facts))
    grid = vit_grid(weights.backbone, facts) or (_GRID, _GRID)
    backbone = DenseViT(
        img_size=tuple(side * patch for side in grid),
        mask_token='mask_token' in weights.backbone,
        antialias='register_tokens' in weights.backbone,
        norm_cfg=dict(type='LN', eps=facts.eps),
        **settings,
    )
    backbone.load_state_dict(weights.backbone)
    return ForeignNetwork(backbone, *((CLIP_MEAN, CLIP_STD) if clip else ()))
