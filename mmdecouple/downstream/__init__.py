"""Modules for mmdet and mmseg; configs import them with `custom_imports = dict(imports=['mmdecouple.downstream'])`.

This is the only subpackage that imports mmdet. Configs name its modules with scope, as in `mmdecouple.ViTPyramid`.
"""

from mmdecouple.utils import beside_transformers  # noqa: F401

from .best_anchor_assigner import BestAnchorAssigner
from .float_parts import FloatRoIExtractor, FloatRPNHead
from .layer_decay import LayerDecayConstructor
from .load_check_hook import LoadCheckHook
from .precise_bn_hook import PreciseBNHook
from .pretrained_backbone import PretrainedBackbone
from .res_layer_extra_norm import ResLayerExtraNorm
from .train_on_ignored import TrainOnIgnored
from .vit_pyramid import ViTPyramid
from .vit_taps import PlainViT
from .voc_metric import VOCTenMetric

__all__ = [
    'BestAnchorAssigner',
    'FloatRPNHead',
    'FloatRoIExtractor',
    'LayerDecayConstructor',
    'LoadCheckHook',
    'PlainViT',
    'PreciseBNHook',
    'PretrainedBackbone',
    'ResLayerExtraNorm',
    'TrainOnIgnored',
    'VOCTenMetric',
    'ViTPyramid',
]
