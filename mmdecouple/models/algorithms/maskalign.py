"""MaskAlign: align what the student makes of the visible patches with a frozen teacher of the whole view."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.decoupling import PositionSet
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow

_MASKINGS = ('attention', 'random')


@MODELS.register_module()
class MaskAlign(DenseAlgorithm):
    """Masked feature alignment: L_base = mean over levels, seen tokens and channels of 2 smooth-L1(student, teacher).

    The student sees the class token and the visible patches alone; its blocks are mixed and projected to levels of
    the teacher (`DynamicAlignment`). In the de-coupling branch it sees all patches of X^D, and no class token enters
    the loss.

    Args:
        mask_ratio: Share of the patches that the student does not see, in [0, 1).
        masking: `attention`: visible patches are drawn without replacement, in proportion to the teacher's
            attention; `random`: uniformly.
        drop: Share of the background patches of X^D that the student does not see either, in [0, 1]: it saves time
            and takes context away. All views of a batch keep as many patches as the one with most foreground.
        **kwargs: As for `DenseAlgorithm`: a `DenseViT` with `position='sincos'`, a `DynamicAlignment`, a `FrozenViT`.

    Raises:
        ValueError: For a value out of range, or a teacher whose grid or depth differs from what the student needs.

    Source: arXiv 2211.08887; `OpenDriveLab/maskalign models_pretrain.py` (its loss is element-wise; the paper's
        eq. 13 writes a norm); the de-coupled form is eq. 15 of the paper.
    """

    flow = ViewFlow(student=(0,), teacher=(0,), shuffle=False)

    def __init__(
        self,
        mask_ratio: float = 0.7,
        masking: str = 'attention',
        drop: float = 0.0,
        measured: str = 'student',
        **kwargs,
    ) -> None:
        if measured == 'teacher':
            raise UserError(
                'MaskAlign: its teacher is a foreign network that no checkpoint holds; measure the '
                'student, and the teacher by its own file (config key model.measured; tools: '
                '--measured).'
            )
        check = Settings(self, 'model')
        check.number('mask_ratio', mask_ratio, 0, below=1)
        check.number('drop', drop, 0, 1)
        check.choice('masking', masking, _MASKINGS)
        super().__init__(measured=measured, **kwargs)
        self._needs('backbone', 'a DenseViT', 'class_attention')
        self.mask_ratio = mask_ratio
        self.masking = masking
        self.drop = drop
        # The loss reads the blocks before the final norm: it stays as it starts, and DDP does not wait for it.
        self.backbone.ln1.requires_grad_(False)
        self._check_teacher()

    def build_teacher(self, cfg: dict) -> nn.Module:
        """A frozen teacher."""
        self._needs('neck', 'a DynamicAlignment', 'levels')
        return MODELS.build({'type': 'FrozenViT', 'levels': self.neck.levels, **cfg})

    def prepare_training(self) -> None:
        """As in the base class; the teacher reads its file."""
        super().prepare_training()
        self.teacher.load()

    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """`class` (B, levels * C_t), `dense` (B, P, levels * C_t) and `attention` (B, P)."""
        levels, attention = self.teacher(step.views[0])
        levels = levels.flatten(2)
        return {'class': levels[:, 0], 'dense': levels[:, 1:], 'attention': attention}

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """`mixed` levels of the `visible` patches of the view; one more pass over all tokens of the decoupled views."""
        tokens, _ = self.backbone.tokens(step.views[0])
        visible = self.draw_visible(step.teacher['attention'])
        student = {'mixed': self._mixed(tokens, visible), 'visible': visible}
        if step.decoupled is None:
            return student, None
        tokens, _ = self.backbone.tokens(step.decoupled.images)
        if not self.drop:
            return student, self.neck.mix(self.backbone.blocks(tokens))[:, 1:]
        seen = self._seen(step.decoupled.foreground)
        mixed = self._mixed(tokens, seen)[:, 1:]
        dense = mixed.new_zeros(*step.decoupled.foreground.mask.shape, mixed.shape[2])
        return student, dense.scatter(1, seen[..., None].expand_as(mixed), mixed)

    def draw_visible(self, attention: Tensor) -> Tensor:
        """Patches that the student sees, without replacement: weights (B, P) -> indices (B, floor(P (1 - ratio)))."""
        weight = attention if self.masking == 'attention' else torch.ones_like(attention)
        # The largest of weight / exponential noise are such a draw; `torch.multinomial` checks its input on the host.
        noise = torch.empty_like(weight).exponential_()
        return (weight / noise).topk(int(weight.shape[1] * (1 - self.mask_ratio)), dim=1).indices

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """`loss_align`: over the visible patches and the class token."""
        student, dense = step.student, step.teacher['dense']
        target = dense.gather(1, student['visible'][..., None].expand(-1, -1, dense.shape[2]))
        target = torch.cat([step.teacher['class'][:, None], target], dim=1)
        return dict(loss_align=self.dense_loss(student['mixed'].flatten(0, 1), target.flatten(0, 1)).mean())

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """2 smooth-L1 of the levels, mean over levels and channels: (M, levels * C), (M, levels * C_t) -> (M,)."""
        return 2 * F.smooth_l1_loss(self.neck(student).flatten(1).float(), target, reduction='none').mean(1)

    def _mixed(self, tokens: Tensor, seen: Tensor) -> Tensor:
        patches = tokens[:, 1:].gather(1, seen[..., None].expand(-1, -1, tokens.shape[2]))
        return self.neck.mix(self.backbone.blocks(torch.cat([tokens[:, :1], patches], dim=1)))

    def _seen(self, foreground: PositionSet) -> Tensor:
        """Patches of X^D that are kept, (D, S): all of the foreground, and a random part of the background up to S."""
        mask, largest = foreground.mask, foreground.max_per_view
        count = largest + round((1 - self.drop) * (mask.shape[1] - largest))
        return (mask * 2 + torch.rand_like(mask)).topk(count, dim=1).indices

    def _check_teacher(self) -> None:
        theirs, ours = self.teacher.backbone, self.backbone
        if theirs.patch_resolution != ours.patch_resolution:
            raise UserError(
                f'MaskAlign: the student has a grid of {ours.patch_resolution[0]} x '
                f'{ours.patch_resolution[1]} patches and the teacher one of '
                f'{theirs.patch_resolution[0]} x {theirs.patch_resolution[1]}; change '
                'model.teacher.input_size with model.teacher.backbone.img_size, or the patch size.'
            )
        for key, network, stated in (
            ('student_depth', ours, self.neck.student_depth),
            ('teacher_depth', theirs, self.neck.teacher_depth),
        ):
            if network.num_layers != stated:
                raise UserError(
                    f'MaskAlign: the network has {network.num_layers} blocks, the neck says {stated} '
                    f'(student {ours.num_layers}, teacher {theirs.num_layers} blocks; config key '
                    f'model.neck.{key}).'
                )
