"""MaskAlign's Dynamic Alignment: mixtures of the student's blocks, each projected to one level of the teacher."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

_FUSIONS = ('linear', 'sum')


@MODELS.register_module()
class DynamicAlignment(BaseModule):
    """Level l of the student: head_l(sum_k W_lk h_k), for the last `levels` of the teacher's blocks.

    W is learned without normalization or weight decay. Only the rows and heads that the loss uses exist.

    Args:
        in_channels: Width C of the student.
        out_channels: Width C_t of the teacher.
        student_depth: Number of blocks of the student.
        teacher_depth: Number of blocks of the teacher.
        levels: Number of teacher blocks to align, counted from the last ("top5"), in [1, teacher_depth].
        fusion: Initialization of W: `linear` is the identity plus 0.01, for equal depths; `sum` is the mean of all
            blocks.

    Raises:
        SettingError: A value is out of range, or the depths differ with `linear`.

    Source: MaskAlign, arXiv 2211.08887; `OpenDriveLab/maskalign models_pretrain.py` (`distill_weights`).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        student_depth: int = 12,
        teacher_depth: int = 12,
        levels: int = 5,
        fusion: str = 'linear',
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        for key, value in (
            ('in_channels', in_channels),
            ('out_channels', out_channels),
            ('student_depth', student_depth),
            ('teacher_depth', teacher_depth),
        ):
            check.number(key, value, 1, whole=True)
        check.choice('fusion', fusion, _FUSIONS)
        check.number('levels', levels, 1, teacher_depth, whole=True)
        if fusion == 'linear' and student_depth != teacher_depth:
            check.refuse(
                'fusion',
                f"'linear' needs equal depths, but the student has {student_depth} blocks and the "
                f"teacher {teacher_depth}; use 'sum'",
            )
        self.student_depth, self.teacher_depth, self.levels, self.fusion = (
            student_depth,
            teacher_depth,
            levels,
            fusion,
        )
        self.weights = nn.Parameter(torch.empty(levels, student_depth))
        self.heads = nn.ModuleList(nn.Linear(in_channels, out_channels) for _ in range(levels))

    def init_weights(self) -> None:
        """Initializes W by `fusion`, and the heads with Xavier weights and zero biases."""
        if self.fusion == 'linear':
            self.weights.data.copy_(torch.eye(self.student_depth)[-self.levels :] + 0.01)
        else:
            nn.init.constant_(self.weights, 1 / self.student_depth)
        for head in self.heads:
            nn.init.xavier_uniform_(head.weight)
            nn.init.zeros_(head.bias)

    def mix(self, blocks: list[Tensor]) -> Tensor:
        """Returns the mixed levels (N, T, levels * C) of the outputs of all student blocks, each (N, T, C)."""
        mixed = torch.einsum('lk,kntc->ntlc', self.weights.to(blocks[0].dtype), torch.stack(blocks))
        return mixed.flatten(2)

    def forward(self, mixed: Tensor) -> Tensor:
        """Projects mixed levels to the space of the teacher: (M, levels * C) -> (M, levels, C_t)."""
        parts = mixed.unflatten(1, (self.levels, -1)).unbind(1)
        return torch.stack([head(part) for head, part in zip(self.heads, parts)], dim=1)
