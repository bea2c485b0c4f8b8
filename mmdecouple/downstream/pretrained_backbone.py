"""Initializer that loads pre-trained weights into a detector or a segmentor."""

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
    """Initializer of a whole model, which loads its backbone, and conv5 in the shared head of a C4 detector.

    It is set as `model.init_cfg`, because an initializer of the backbone cannot reach the shared head. Loaded modules
    are marked as initialized, so that neither their `init_cfg`, such as the supervised weights of the default configs,
    nor their own initialization runs afterwards. A tensor that is missing or has another shape is an error.

    Args:
        checkpoint: Local file, see `read_pretrained` for the formats.
        role: `student`, `teacher`, or `auto` for the network that the authors of the method transfer.
        allow_pickle: Whether to trust the file and unpickle all of its content.
        pyramid: Whether to load also the feature pyramid and the box head of SoCo-FPN, if the model has mmdet's FPN and
            a head with convolutions.

    Raises:
        UserError: On use: the checkpoint is missing or has another architecture, a tensor of the model is not in the
            checkpoint, or the initializer is not set as `model.init_cfg`.
    """

    def __init__(
        self, checkpoint: str | None = None, role: str = 'auto', allow_pickle: bool = False, pyramid: bool = True
    ) -> None:
        self.checkpoint, self.role, self.allow_pickle, self.pyramid = checkpoint, role, allow_pickle, pyramid

    def check(self, model: nn.Module) -> tuple[Pretrained, list[Match]]:
        """Matches the checkpoint with a model, without changing the model.

        Args:
            model: Detector or segmentor, on any device (also `meta`).

        Returns:
            The backbone of the checkpoint, and the rows of the match table.

        Raises:
            UserError: The weights do not fit the model.
        """
        if not isinstance(getattr(model, 'backbone', None), nn.Module):
            raise UserError(
                f'PretrainedBackbone: {type(model).__name__} has no backbone; set this initializer for '
                'the whole model (config key model.init_cfg).'
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
            remedy = '; model.init_cfg.pyramid=False loads only the backbone' if weights.pyramid else ''
            raise UserError(
                f'PretrainedBackbone: {self.checkpoint!r} does not fit the {weights.architecture} of the '
                f'model: {wrong} (config key model.init_cfg.checkpoint{remedy}).'
            )
        return weights, rows

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Loads the weights into the model."""
        _, rows = self.check(model)
        filled = {row.target: row.value for row in rows if row.value is not None}
        shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
        parts = [model.backbone] if shared is None else [model.backbone, shared]
        for prefix in ('neck', 'roi_head.bbox_head'):
            if any(target.startswith(f'{prefix}.') for target in filled):
                part = model.get_submodule(prefix)
                # Tensors that the checkpoint lacks, such as the classifier, are initialized as usual.
                part.init_weights()
                parts.append(part)
        state = model.state_dict()
        for target, value in filled.items():
            state[target].copy_(value)
        for part in parts:
            for module in part.modules():
                if isinstance(module, BaseModule):
                    module.is_init = True
        print_log(
            f'PretrainedBackbone: {len(filled)} tensors of the model are loaded from {self.checkpoint}.', 'current'
        )
