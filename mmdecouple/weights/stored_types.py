"""Types that the config of an untrusted file may build."""

# Types that are built from the config of an untrusted file. All of them only compute; none reads a file.
_METHODS = (
    'DenseCL',
    'IBOT',
    'Leopart',
    'MaskAlign',
    'MisalignedDenseCL',
    'MisalignedIBOT',
    'MoCoV2',
    'NeCo',
    'PLRC',
    'PaKA',
    'PixPro',
    'ReSim',
    'SoCo',
    'SoCoFPN',
    'UniRefiner',
)
_PARTS = (
    'CutBoxes',
    'CutViews',
    'DINOHead',
    'DecouplingBranch',
    'DensePreprocessor',
    'DenseViT',
    'DynamicAlignment',
    'EMATeacher',
    'FrozenViT',
    'GramAnchoring',
    'InitialTeacher',
    'LoRA',
    'PixelHeads',
    'PixelMLP',
    'PixelPropagationModule',
    'PointAffinity',
    'PointHead',
    'ProjectionHead',
    'PrototypeHead',
    'ReSimNeck',
    'RegionPyramid',
    'SplitBN',
)
_MASKS = ('Blockwise', 'Cutout', 'RandomMask', 'Rectangle', 'RegionCollaborativeCutout')
# Values of the key `ffn_type`, which names no class.
FFN = ('origin', 'swiglu_fused')
_LAYERS = ('BN', 'BN1d', 'BN2d', 'SyncBN', 'GN', 'LN', 'ReLU', 'LeakyReLU', 'GELU', 'SiLU', 'Conv2d')
_MMPRETRAIN = (
    'ResNet',
    'ResNetV1c',
    'ResNetV1d',
    'ResNeXt',
    'VisionTransformer',
    'DenseCLNeck',
    'LinearNeck',
    'MoCoV2Neck',
    'NonLinearNeck',
    'LN2d',
    'QuickGELU',
)
# Initializers of random weights, for networks that are shown untrained.
INITIALIZERS = ('Caffe2Xavier', 'Constant', 'Kaiming', 'Normal', 'TruncNormal', 'Uniform', 'Xavier')
_OWN = (*_METHODS, *_PARTS, *_MASKS)
NETWORK_TYPES = frozenset(
    (
        *_OWN,
        *_LAYERS,
        *(f'mmdecouple.{name}' for name in (*_METHODS, *_PARTS)),
        *(f'mmpretrain.{name}' for name in _MMPRETRAIN),
    )
)
_DATA = (
    'CocoObjects',
    'ImageDataset',
    'LabelObjects',
    'ProbeDataset',
    'RegionImages',
    'SceneImages',
    'SceneObjects',
    'ShardedImages',
)
_TRANSFORMS = (
    'BoxViews',
    'GridProposals',
    'LoadProposals',
    'MultiView',
    'OverlapViews',
    'PackViews',
    'PartnerViews',
    'RandomColorJitter',
    'RandomFlipView',
    'RandomGaussianBlur',
    'RandomGrayscale',
    'RandomResizedCropView',
    'RandomSolarize',
    'WholeImageView',
)
_MEASURES = (
    'BackgroundLeak',
    'ContextShift',
    'InterCouplingRatio',
    'IntraCouplingRatio',
    'LSC',
    'OKNN',
    'PositionLeak',
    'SpuriousShare',
)
DATA_TYPES = frozenset(
    (*_DATA, *_TRANSFORMS, *_MASKS, *_MEASURES, *(f'mmdecouple.{name}' for name in (*_DATA, *_TRANSFORMS, *_MEASURES)))
)
