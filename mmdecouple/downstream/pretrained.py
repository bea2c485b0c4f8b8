"""The one way by which pre-trained weights enter a detector or a segmentor."""
import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from mmdecouple.registry import WEIGHT_INITIALIZERS

from .matching import Match, match, problems
from .reading import Pretrained, read_pretrained


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

    Raises:
        ValueError: When it is used: without a checkpoint, for another architecture (both are named), for a model
            whose tensors do not all come from the checkpoint, or at a place other than `model.init_cfg`.
    """

    def __init__(self, checkpoint: str | None = None, role: str = 'auto', allow_pickle: bool = False) -> None:
        self.checkpoint, self.role, self.allow_pickle = checkpoint, role, allow_pickle

    def check(self, model: nn.Module) -> tuple[Pretrained, list[Match]]:
        """The checkpoint's backbone and the match table of a model, which is not changed.

        Args:
            model: Detector or segmentor, on any device (also `meta`).

        Raises:
            ValueError: If it cannot be filled.
        """
        if not isinstance(getattr(model, 'backbone', None), nn.Module):
            raise ValueError(f'PretrainedBackbone: {type(model).__name__} has no backbone to fill; the initializer of '
                             'the whole model is the place for it (config key model.init_cfg).')
        if not self.checkpoint:
            raise ValueError('PretrainedBackbone: no pre-trained checkpoint is given; set the config key '
                             'model.init_cfg.checkpoint to its path.')
        weights = read_pretrained(self.checkpoint, self.role, self.allow_pickle)
        rows = match(model, weights)
        if wrong := problems(rows):
            raise ValueError(f'PretrainedBackbone: {self.checkpoint!r} does not fit the {weights.architecture} of the '
                             f'model: {wrong} (config key model.init_cfg.checkpoint).')
        return weights, rows

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Fills the model."""
        _, rows = self.check(model)
        state = model.state_dict()
        for row in rows:
            if row.value is not None:
                state[row.target].copy_(row.value)
        for part in (model.backbone, getattr(getattr(model, 'roi_head', None), 'shared_head', None)):
            for module in part.modules() if part is not None else ():
                if isinstance(module, BaseModule):
                    module.is_init = True
        filled = sum(row.value is not None for row in rows)
        print_log(f'PretrainedBackbone: {filled} tensors of the model come from {self.checkpoint}.', 'current')
