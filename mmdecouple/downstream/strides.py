"""Checks the strides of a pyramid on a plain ViT against those of backbone and detector."""

from torch import nn

from mmdecouple.utils.errors import UserError

from .vit_pyramid import ViTPyramid


def check_strides(model: nn.Module) -> None:
    """Checks that anchors and regions use the strides of the maps.

    Args:
        model: Detector or segmentor; a model without a `ViTPyramid` is not checked.

    Raises:
        UserError: Pyramid and backbone have different patches, or anchors or regions have other strides than the maps.
    """
    neck = getattr(model, 'neck', None)
    pyramid = next((part for part in neck.modules() if isinstance(part, ViTPyramid)), None) if neck else None
    if pyramid is None:
        return
    if model.backbone.stride != pyramid.patch_size:
        raise UserError(
            f'PretrainedBackbone: the backbone has a patch of {model.backbone.stride} pixels and its '
            f'pyramid is for a patch of {pyramid.patch_size}; set both to the same value (config keys '
            'model.backbone.patch_size and patch_size of the ViTPyramid in model.neck).'
        )
    for name, strides in _used_strides(model):
        if tuple(strides[:4]) != pyramid.strides:
            raise UserError(
                f'PretrainedBackbone: {name} has strides {tuple(strides)}, but the maps of the pyramid '
                f'have {pyramid.strides} (config key model.{name}).'
            )


def _used_strides(model: nn.Module) -> list[tuple[str, list[int]]]:
    found = []
    if hasattr(model, 'rpn_head'):
        found.append(
            ('rpn_head.anchor_generator.strides', [stride[0] for stride in model.rpn_head.prior_generator.strides])
        )
    for part in ('bbox_roi_extractor', 'mask_roi_extractor'):
        extractors = getattr(getattr(model, 'roi_head', None), part, None)
        for extractor in extractors if isinstance(extractors, nn.ModuleList) else filter(None, [extractors]):
            found.append((f'roi_head.{part}.featmap_strides', list(extractor.featmap_strides)))
    return found
