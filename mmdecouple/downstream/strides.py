"""The pyramid on a plain ViT, against the backbone below it and the detector above it."""

from torch import nn

from mmdecouple.utils.errors import UserError

from .vit_pyramid import ViTPyramid


def check_strides(model: nn.Module) -> None:
    """Makes sure that anchors and regions are laid on the strides that the maps have.

    Args:
        model: Detector or segmentor; one without a `ViTPyramid` passes.

    Raises:
        ValueError: The backbone has another patch than the pyramid, or anchors or regions other strides.
    """
    neck = getattr(model, 'neck', None)
    pyramid = next((part for part in neck.modules() if isinstance(part, ViTPyramid)), None) if neck else None
    if pyramid is None:
        return
    if model.backbone.stride != pyramid.patch_size:
        raise UserError(
            f'PretrainedBackbone: the backbone has a patch of {model.backbone.stride} pixels and its '
            f'pyramid is for one of {pyramid.patch_size}; give both the same (config keys '
            'model.backbone.patch_size and patch_size of the ViTPyramid in model.neck).'
        )
    for name, strides in _laid_out(model):
        if tuple(strides[:4]) != pyramid.strides:
            raise UserError(
                f'PretrainedBackbone: {name} has strides {tuple(strides)}, but the maps of the pyramid '
                f'have {pyramid.strides} (config key model.{name}).'
            )


def _laid_out(model: nn.Module) -> list[tuple[str, list[int]]]:
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
