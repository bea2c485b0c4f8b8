"""The one way by which pre-trained weights enter a detector or a segmentor."""

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from mmdecouple.registry import WEIGHT_INITIALIZERS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.matching import Match, match, problems
from mmdecouple.weights.pretrained import Pretrained, read_pretrained

from .strides import check_strides


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone:
    """Initializer of a whole model: fills its backbone, and conv5 in the shared head of a C4 detector.

    It belongs to the model, `model.init_cfg`, because a backbone cannot reach the shared head. What it fills is marked
    as initialized: neither an `init_cfg` of the backbone or the shared head, such as the supervised weights of the
    stock configs, nor their own rules run after it. All or nothing: a tensor that is missing or has another shape is
    an error.

    Args:
        checkpoint: Local file; see `read_pretrained` for the formats.
        role: `student`, `teacher`, or `auto` for what the method's authors transfer.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.
        pyramid: Whether the feature pyramid and the box head of SoCo-FPN come along, where the model has mmdet's FPN
            and a head with convolutions.

    Raises:
        ValueError: When it is used: without a checkpoint, for another architecture (both are named), for a model
            whose tensors do not all come from the checkpoint, or at a place other than `model.init_cfg`.
    """

    def __init__(
        self, checkpoint: str | None = None, role: str = 'auto', allow_pickle: bool = False, pyramid: bool = True
    ) -> None:
        self.checkpoint, self.role, self.allow_pickle, self.pyramid = checkpoint, role, allow_pickle, pyramid

    def check(self, model: nn.Module) -> tuple[Pretrained, list[Match]]:
        """The checkpoint's backbone and the match table of a model, which is not changed.

        Args:
            model: Detector or segmentor, on any device (also `meta`).

        Raises:
            ValueError: If it cannot be filled.
        """
        if not isinstance(getattr(model, 'backbone', None), nn.Module):
            raise UserError(
                f'PretrainedBackbone: {type(model).__name__} has no backbone to fill; the initializer of '
                'the whole model is the place for it (config key model.init_cfg).'
            )
        if not self.checkpoint:
            raise UserError(
                'PretrainedBackbone: no pre-trained checkpoint is given; set the config key '
                'model.init_cfg.checkpoint to its path.'
            )
        check_strides(model)
        weights = read_pretrained(self.checkpoint, self.role, self.allow_pickle)
        rows = match(model, weights, self.pyramid)
        if wrong := problems(rows):
            remedy = '; model.init_cfg.pyramid=False takes the backbone alone' if weights.pyramid else ''
            raise UserError(
                f'PretrainedBackbone: {self.checkpoint!r} does not fit the {weights.architecture} of the '
                f'model: {wrong} (config key model.init_cfg.checkpoint{remedy}).'
            )
        return weights, rows

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Fills the model."""
        _, rows = self.check(model)
        filled = {row.target: row.value for row in rows if row.value is not None}
        shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
        parts = [model.backbone] if shared is None else [model.backbone, shared]
        for prefix in ('neck', 'roi_head.bbox_head'):
            if any(target.startswith(f'{prefix}.') for target in filled):
                part = model.get_submodule(prefix)
                # What is not in the checkpoint, such as the classifier, follows its own rules.
                part.init_weights()
                parts.append(part)
        state = model.state_dict()
        for target, value in filled.items():
            state[target].copy_(value)
        for part in parts:
            for module in part.modules():
                if isinstance(module, BaseModule):
                    module.is_init = True
        print_log(f'PretrainedBackbone: {len(filled)} tensors of the model come from {self.checkpoint}.', 'current')
