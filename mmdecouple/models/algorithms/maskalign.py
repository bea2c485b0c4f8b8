"""MaskAlign: alignment of the student's features of visible patches with a frozen teacher's features of the view."""

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

    The student processes only the class token and the visible patches; its blocks are mixed and projected to levels of
    the teacher (`DynamicAlignment`). In the de-coupling branch, it processes all patches of X^D, and the loss does not
    include the class token.

    Args:
        mask_ratio: Fraction of the patches that are hidden from the student, in [0, 1).
        masking: `attention` draws visible patches without replacement, in proportion to the teacher's attention;
            `random` draws them uniformly.
        drop: Fraction of the background patches of X^D that are hidden from the student, in [0, 1], which saves time
            and removes context. All views of a batch keep the same number of patches, at least the largest foreground.
        measured: Must be `student`, as the teacher is not part of checkpoints.
        **kwargs: Arguments of `DenseAlgorithm`: a `DenseViT` with `position='sincos'`, a `DynamicAlignment` and a
            `FrozenViT`.

    Raises:
        UserError: A value is out of range, or the grid or depth of the teacher does not match the student or the neck.

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
                'MaskAlign: the teacher is a foreign network that is not part of checkpoints; measure the student, or '
                'the teacher by its own file (config key model.measured; --role).'
            )
        check = Settings(self, 'model')
        check.number('mask_ratio', mask_ratio, 0, below=1)
        check.number('drop', drop, 0, 1)
        check.choice('masking', masking, _MASKINGS)
        super().__init__(measured=measured, **kwargs)
        self._require('backbone', 'a DenseViT', 'class_attention')
        self.mask_ratio = mask_ratio
        self.masking = masking
        self.drop = drop
        # The loss reads the blocks before the final norm, which therefore gets no gradient, for which DDP would wait.
        self.backbone.ln1.requires_grad_(False)
        self._check_teacher()

    def build_teacher(self, cfg: dict) -> nn.Module:
        """Builds the frozen teacher."""
        self._require('neck', 'a DynamicAlignment', 'levels')
        return MODELS.build({'type': 'FrozenViT', 'levels': self.neck.levels, **cfg})

    def prepare_training(self) -> None:
        """Prepares training as in the base class, and loads the weight file of the teacher."""
        super().prepare_training()
        self.teacher.load()

    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns `class` (B, levels * C_t), `dense` (B, P, levels * C_t) and `attention` (B, P)."""
        levels, attention = self.teacher(step.views[0])
        levels = levels.flatten(2)
        return {
            'class': levels[:, 0],
            'dense': levels[:, self.teacher.backbone.num_extra_tokens :],
            'attention': attention,
        }

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Runs the student on the visible patches of the view, and once more on the decoupled views.

        Returns:
            `mixed`, the mixed levels of the class token and the visible patches, (B, 1 + S, levels * C), and the
            indices `visible`, (B, S); the mixed levels of the patches of the decoupled views, (D, P, levels * C), or
            None.
        """
        backbone = self.backbone
        tokens, grid = backbone.tokens(step.views[0])
        visible = self.draw_visible(step.teacher['attention'])
        student = {'mixed': self._mixed(tokens, grid, visible), 'visible': visible}
        if step.decoupled is None:
            return student, None
        tokens, grid = backbone.tokens(step.decoupled.images)
        if not self.drop:
            blocks = backbone.blocks(tokens, rotation=backbone.rotation(grid))
            return student, self.neck.mix(blocks)[:, backbone.num_extra_tokens :]
        seen = self._seen(step.decoupled.foreground)
        mixed = self._mixed(tokens, grid, seen)[:, 1:]
        dense = mixed.new_zeros(*step.decoupled.foreground.mask.shape, mixed.shape[2])
        return student, dense.scatter(1, seen[..., None].expand_as(mixed), mixed)

    def draw_visible(self, attention: Tensor) -> Tensor:
        """Draws the visible patches without replacement: weights (B, P) -> indices (B, floor(P (1 - mask_ratio)))."""
        weight = attention if self.masking == 'attention' else torch.ones_like(attention)
        # The largest of weight / exponential noise are such a draw; `torch.multinomial` checks its input on the host.
        noise = torch.empty_like(weight).exponential_()
        return (weight / noise).topk(int(weight.shape[1] * (1 - self.mask_ratio)), dim=1).indices

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_align` over the visible patches and the class token."""
        student, dense = step.student, step.teacher['dense']
        target = dense.gather(1, student['visible'][..., None].expand(-1, -1, dense.shape[2]))
        target = torch.cat([step.teacher['class'][:, None], target], dim=1)
        return dict(loss_align=self.dense_loss(student['mixed'].flatten(0, 1), target.flatten(0, 1)).mean())

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns 2 smooth-L1, averaged over levels and channels: (M, levels * C), (M, levels * C_t) -> (M,)."""
        return 2 * F.smooth_l1_loss(self.neck(student).flatten(1).float(), target, reduction='none').mean(1)

    def _mixed(self, tokens: Tensor, grid: tuple[int, int], seen: Tensor) -> Tensor:
        """Returns the mixed levels of the class token and the seen patches (N, S): (N, 1 + S, levels * C)."""
        extra, rotation = self.backbone.num_extra_tokens, self.backbone.rotation(grid)
        before = torch.arange(extra, device=seen.device).expand(len(seen), -1)
        kept = torch.cat([before, seen + extra], dim=1)
        tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
        mixed = self.neck.mix(self.backbone.blocks(tokens, rotation=None if rotation is None else rotation.at(kept)))
        return mixed if extra == 1 else torch.cat([mixed[:, :1], mixed[:, extra:]], dim=1)

    def _seen(self, foreground: PositionSet) -> Tensor:
        """Returns the S patches of X^D that are kept, (D, S): all foreground, and random background patches up to S."""
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
                    f'MaskAlign: the network has {network.num_layers} blocks, but the neck expects {stated} '
                    f'(student {ours.num_layers}, teacher {theirs.num_layers} blocks; config key '
                    f'model.neck.{key}).'
                )
