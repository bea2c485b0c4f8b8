"""Self-supervised methods and their components."""

from mmdecouple.decoupling import DecoupledViews, DecouplingBranch
from mmdecouple.registry import MODELS
from mmdecouple.utils import beside_transformers  # noqa: F401

from .algorithms import (
    IBOT,
    PLRC,
    DenseAlgorithm,
    DenseCL,
    Leopart,
    MaskAlign,
    MisalignedDenseCL,
    MisalignedIBOT,
    MoCoV2,
    NeCo,
    PaKA,
    PixPro,
    ReSim,
    SoCo,
    SoCoFPN,
    Step,
    UniRefiner,
    ViewFlow,
)
from .backbones import DenseViT
from .batch_stages import CutBoxes, CutViews
from .data_preprocessor import DensePreprocessor
from .layers import Center, EpochDependent, LoRA, NegativeQueue, PointAffinity, SplitBN, TeacherTemperature
from .losses import affinity_distillation, info_nce, point_contrast, sinkhorn
from .necks import (
    DINOHead,
    DynamicAlignment,
    PixelHeads,
    PixelMLP,
    PixelPropagationModule,
    PointHead,
    ProjectionHead,
    PrototypeHead,
    RegionPyramid,
    ReSimNeck,
)
from .samples import Samples
from .teachers import EMATeacher, FrozenViT, InitialTeacher
from .terms import GramAnchoring, LossTerm

MODELS.register_module(module=DecouplingBranch)

__all__ = [
    'IBOT',
    'PLRC',
    'Center',
    'CutBoxes',
    'CutViews',
    'DINOHead',
    'DecoupledViews',
    'DecouplingBranch',
    'DenseAlgorithm',
    'DenseCL',
    'DensePreprocessor',
    'DenseViT',
    'DynamicAlignment',
    'EMATeacher',
    'EpochDependent',
    'FrozenViT',
    'GramAnchoring',
    'InitialTeacher',
    'Leopart',
    'LoRA',
    'LossTerm',
    'MaskAlign',
    'MisalignedDenseCL',
    'MisalignedIBOT',
    'MoCoV2',
    'NeCo',
    'NegativeQueue',
    'PaKA',
    'PixPro',
    'PixelHeads',
    'PixelMLP',
    'PixelPropagationModule',
    'PointAffinity',
    'PointHead',
    'ProjectionHead',
    'PrototypeHead',
    'ReSim',
    'ReSimNeck',
    'RegionPyramid',
    'Samples',
    'SoCo',
    'SoCoFPN',
    'SplitBN',
    'Step',
    'TeacherTemperature',
    'UniRefiner',
    'ViewFlow',
    'affinity_distillation',
    'info_nce',
    'point_contrast',
    'sinkhorn',
]
