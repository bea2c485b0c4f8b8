"""Networks other than those of the protocols, and adaptation of a task's config to them."""

from dataclasses import dataclass, field
from typing import Any

from mmengine.config import ConfigDict


@dataclass(frozen=True)
class Arch:
    """Network on which tasks can be built.

    Attributes:
        network: `ResNet` or `ViT`.
        architecture: Description, as returned by `mmdecouple.weights.pretrained.architecture`.
        widths: Channels of the stages of a ResNet, or of each block of a ViT.
        backbone: Overrides of the config of the backbone.
        strides: Strides of five levels of a pyramid.
    """

    network: str
    architecture: str
    widths: tuple[int, ...]
    backbone: dict[str, Any] = field(default_factory=dict)
    strides: tuple[float, ...] = (4, 8, 16, 32, 64)

    @property
    def has_conv5(self) -> bool:
        """Whether it is a ResNet with all four stages, as required by a C4 detector."""
        return self.network == 'ResNet' and len(self.widths) == 4


def _vit(arch: str | dict, blocks: int, width: int, patch: int, kind: str = '', **options: Any) -> Arch:
    strides = (3.5, 7, 14, 28, 56) if patch == 14 else (4, 8, 16, 32, 64)
    return Arch(
        'ViT',
        f'ViT of {blocks} blocks, width {width}, patch {patch}{kind}',
        (width,) * blocks,
        dict(arch=arch, patch_size=patch, **options),
        strides,
    )


def _dinov2(*sizes: Any, registers: bool) -> Arch:
    options = dict(register_tokens=4, antialias=True) if registers else {}
    return _vit(*sizes, 14, ', 4 registers' * registers + ', LayerScale', layer_scale_init_value=1e-5, **options)


def _dinov3(*sizes: Any) -> Arch:
    options = dict(position='rope', register_tokens=4, key_bias=False, norm_cfg=dict(type='LN', eps=1e-5))
    return _vit(*sizes, 16, ', 4 registers, LayerScale, RoPE', layer_scale_init_value=1e-5, **options)


_DEMO = dict(_delete_=True, embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768)
ARCHS = {
    'resnet50': Arch('ResNet', 'ResNet-50', (256, 512, 1024, 2048)),
    'resnet18': Arch('ResNet', 'ResNet-18', (64, 128, 256, 512), dict(depth=18)),
    # The network of the demo has three stages, and stride 8 in the last one.
    'resnet-demo': Arch(
        'ResNet',
        'ResNet of 2-2-2 basic blocks',
        (64, 128, 256),
        dict(depth=18, num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
        (4, 8, 8, 16, 32),
    ),
    'vit-s16': _vit('deit-small', 12, 384, 16),
    'vit-s8': _vit('deit-small', 12, 384, 8),
    'vit-ti16': _vit('deit-tiny', 12, 192, 16),
    'vit-ti8': _vit('deit-tiny', 12, 192, 8),
    'vit-b16': _vit('base', 12, 768, 16),
    'vit-b8': _vit('base', 12, 768, 8),
    'vit-demo': _vit(_DEMO, 4, 192, 8),
    'vit-s14-dinov2': _dinov2('deit-small', 12, 384, registers=False),
    'vit-s14-dinov2-reg': _dinov2('deit-small', 12, 384, registers=True),
    'vit-s16-dinov3': _dinov3('deit-small', 12, 384),
    'vit-b14-dinov2': _dinov2('base', 12, 768, registers=False),
    'vit-b14-dinov2-reg': _dinov2('base', 12, 768, registers=True),
    'vit-b16-dinov3': _dinov3('base', 12, 768),
    'vit-demo-dinov2-reg': _dinov2(_DEMO, 4, 192, registers=True),
    'vit-demo-dinov3': _dinov3(_DEMO, 4, 192),
}


def set_arch(model: ConfigDict, arch: Arch) -> None:
    """Adapts the config of a detector or a segmentor to another network; heads on a ViT get its width.

    The recipe of the protocol, such as learning rate and layer decay, is not changed.

    Args:
        model: Config of the model, changed in place.
        arch: Network of the same kind as that of the config.
    """
    if arch.network == 'ViT':
        _set_vit(model, arch)
    elif 'shared_head' in model.get('roi_head', {}):
        _set_c4(model, arch)
    else:
        _set_resnet(model, arch)


def _set_vit(model: ConfigDict, arch: Arch) -> None:
    width, last, backbone = arch.widths[0], len(arch.widths) - 1, model.backbone
    backbone.update(arch.backbone)
    taps = backbone.out_indices
    # Four taps are the blocks 3, 5, 7 and 11 of twelve; smaller ViTs use their last four blocks.
    backbone.out_indices = (
        tuple(range(last - 3, last + 1))
        if len(taps) == 4 and last < max(taps)
        else tuple(min(tap, last) for tap in taps)
    )
    neck = model.get('neck') or []
    for part in neck if isinstance(neck, list) else [neck]:
        part.in_channels = [width] * 4 if isinstance(part.in_channels, list) else width
        if 'patch_size' in part:
            part.patch_size = arch.backbone['patch_size']
    if 'rpn_head' in model and arch.strides != Arch.strides:
        _set_strides(model, arch)
    for head in (model.get('decode_head'), model.get('auxiliary_head')):
        if head:
            wide, several = head.get('channels') == _total(head.in_channels), isinstance(head.in_channels, list)
            head.in_channels = [width] * len(head.in_channels) if several else width
            if head is model.decode_head and 'channels' in head:
                head.channels = _total(head.in_channels) if wide else width


def _set_strides(model: ConfigDict, arch: Arch) -> None:
    model.rpn_head.anchor_generator.strides = list(arch.strides)
    for part in ('bbox_roi_extractor', 'mask_roi_extractor'):
        model.roi_head[part].featmap_strides = list(arch.strides[:4])


def _total(channels: list[int] | int) -> int:
    return sum(channels) if isinstance(channels, list) else channels


def _set_c4(model: ConfigDict, arch: Arch) -> None:
    conv4, conv5 = arch.widths[2:]
    model.backbone.update(arch.backbone)
    model.rpn_head.update(in_channels=conv4, feat_channels=conv4)
    roi = model.roi_head
    roi.bbox_roi_extractor.out_channels = conv4
    roi.shared_head.update(arch.backbone)
    for head in ('bbox_head', 'mask_head'):
        if roi.get(head):
            roi[head].in_channels = conv5


def _set_resnet(model: ConfigDict, arch: Arch) -> None:
    model.backbone.update(arch.backbone)
    if 'neck' in model:
        model.neck.in_channels = list(arch.widths)
        _set_strides(model, arch)
    if 'decode_head' in model:
        for head, stage in ((model.decode_head, len(arch.widths) - 1), (model.auxiliary_head, len(arch.widths) - 2)):
            head.update(in_channels=arch.widths[stage], in_index=stage)
