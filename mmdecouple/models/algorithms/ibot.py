"""iBOT: self-distillation of the class token between views, and of masked patches."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.decoupling import PositionSet
from mmdecouple.masks import build_mask
from mmdecouple.models.layers import Center, TeacherTemperature
from mmdecouple.models.mask_distance import distance_weights
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow

_CHUNK_TOKENS = 2**13


@dataclass(frozen=True)
class MIMMasks:
    """Masks of the two global views, stacked view after view.

    Attributes:
        mask: Bool (2 * B, h, w), True where the mask token replaces a patch.
        masked: Masked patches, on which the patch loss is computed.
        visible: All other patches, including those of views without a mask.
    """

    mask: Tensor
    masked: PositionSet
    visible: PositionSet

    @classmethod
    def of(cls, mask: Tensor) -> 'MIMMasks':
        """Builds the sets from masks on the CPU, bool (2 * B, h, w)."""
        masked = mask.flatten(1).float()
        return cls(mask, PositionSet.of(masked), PositionSet.of(1 - masked))

    def by_distance(self) -> 'MIMMasks':
        """Returns the same sets, with the visible patches weighted by their distance to the mask."""
        weight = self.visible.weight * distance_weights(self.mask)
        return replace(self, visible=self.visible._replace(weight=weight))

    def to(self, device: torch.device) -> 'MIMMasks':
        """Copies the masks to a device without synchronizing with it."""
        return MIMMasks(self.mask.to(device, non_blocking=True), self.masked.to(device), self.visible.to(device))


@MODELS.register_module()
class IBOT(DenseAlgorithm):
    """Masked image modeling with an online tokenizer: L_base = L_class + L_patch.

    L_class is the mean of CE(t_q, s_v) over all ordered pairs of a teacher's global view q and a different student's
    view v. L_patch = 1/2 sum_v mean_b [1 / max(1, |m|) sum_{i in m} CE(t_vi, s_vi)], where m are the masked patches of
    a view. The teacher's distributions are centered and sharpened. The head runs only on tokens that a loss needs. As
    it is linear in the bottleneck, the mean patch logits for the center are computed from the mean bottleneck.

    Args:
        mim_mask: Config of the mask sampler, on the token grid.
        mim_share: Probability that a view is masked, drawn for each image and view, in [0, 1].
        local_views: Number L of views of another size, after the two global views; for the class token only.
        student_temperature: Temperature of the student's softmax, above 0.
        teacher_temperature: First and last temperature of the teacher's softmax, above 0.
        warmup_epochs: Epochs in which the teacher's temperature changes linearly from the first to the last value.
        center_momentum: Momentum of both centers, in [0, 1].
        visible_weight: Weight of the same patch loss on the visible patches, averaged separately, as in iBOT++ (TIPSv2;
            the separate average is from `lightly`); 0 is iBOT.
        visible_by_distance: Whether that average is weighted by 1 / sqrt(distance to the mask), as in V-JEPA 2.1; see
            `distance_weights`. Needs a `visible_weight` above 0.
        **kwargs: Arguments of `DenseAlgorithm`: a `DenseViT` with `mask_token=True` and a `DINOHead`.

    Raises:
        SettingError: A value is out of range, or the backbone or neck is of another class or has no mask token.

    Source: arXiv 2111.07832; `bytedance/ibot main_ibot.py` (iBOTLoss), `loader.py` (masks).
    """

    flow = ViewFlow(
        student=(0, 1), teacher=(0, 1), shuffle=False, mixes_embeddings=True, linear_in_target=True, returns_map=True
    )

    def __init__(
        self,
        mim_mask: dict,
        mim_share: float = 0.5,
        local_views: int = 0,
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        warmup_epochs: int = 30,
        center_momentum: float = 0.9,
        visible_weight: float = 0.0,
        visible_by_distance: bool = False,
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.number('mim_share', mim_share, 0, 1)
        check.number('local_views', local_views, 0, whole=True)
        check.number('student_temperature', student_temperature, above=0)
        teacher_temperature = check.numbers('teacher_temperature', teacher_temperature, 2, above=0)
        check.number('warmup_epochs', warmup_epochs, 0, whole=True)
        check.number('center_momentum', center_momentum, 0, 1)
        check.number('visible_weight', visible_weight, 0)
        if check.flag('visible_by_distance', visible_by_distance) and not visible_weight:
            check.refuse('visible_by_distance', 'weights the loss of visible patches, whose visible_weight is 0')
        super().__init__(**kwargs)
        self._require('neck', 'a DINOHead', 'last_layer')
        self._require('backbone', 'a DenseViT', 'dense_map')
        if self.backbone.mask_token is None:
            check.refuse('backbone.mask_token', 'must be True')
        self.mim_mask = build_mask(mim_mask, 'model.mim_mask')
        if getattr(self.mim_mask, 'cut_ratio', (1.0, 1.0))[1] == 0:
            check.refuse('mim_mask.cut_ratio', 'must be above 0: the method predicts masked patches')
        self.mim_share = mim_share
        self.local_views = local_views
        self.student_temperature = student_temperature
        self.visible_weight = visible_weight
        self.visible_by_distance = visible_by_distance
        self.teacher_temperature = TeacherTemperature(*teacher_temperature, warmup_epochs)
        self.class_center = Center(self.neck.out_channels, center_momentum)
        self.patch_center = Center(self.neck.out_channels, center_momentum)

    def prepare(self, step: Step, generator: torch.Generator) -> MIMMasks:
        """Draws the masks of the two global views."""
        views = step.views
        rows = 2 * len(views[0])
        mask = self.mim_mask.sample(rows, self.dense_size(views[0].shape[-2:]), generator=generator)
        mask &= (torch.rand(rows, generator=generator) < self.mim_share)[:, None, None]
        masks = MIMMasks.of(mask)
        return (masks.by_distance() if self.visible_by_distance else masks).to(views[0].device)

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Runs the teacher on the global views.

        Returns:
            `tokens` (2 * B, P, C) and `bottleneck` (2 * B, P, C_b) of all patches, and `class_logits` (2 * B, K).
            `dense` is the bottleneck, or the tokens if the branch averages them before the head.
        """
        network = self.teacher
        (tokens,) = network.backbone(step.stacked(self.flow.teacher))
        classes, patches = tokens[:, 0], tokens[:, network.backbone.num_extra_tokens :]
        bottleneck = torch.cat([network.neck.bottleneck(part) for part in patches.flatten(0, 1).split(_CHUNK_TOKENS)])
        bottleneck = bottleneck.unflatten(0, patches.shape[:2])
        return {
            'tokens': patches,
            'bottleneck': bottleneck,
            'dense': patches if self._averages else bottleneck,
            'class_logits': network.neck(classes).float(),
        }

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Runs the student once on the masked global views and decoupled views, and once on the local views.

        Returns:
            Tokens after the final norm: `class` ((2 + L) * B, C) and `dense` (2 * B, P, C), also called `map`, and the
            dense tokens of the decoupled views, (D, P, C), or None. Tokens that no loss reads are zero.
        """
        images, mask, mixed = step.joint(self.flow.student), step.extras.mask, step.decoupled
        if mixed is not None and mixed.images is not None:
            mask, mixed = F.pad(mask, (0, 0, 0, 0, 0, len(mixed.images))), None
        (tokens,) = self.backbone(images, mask, mixed, None if self.terms.read_map else self._needed(step))
        extra = self.backbone.num_extra_tokens
        student, dense = step.split({'class': tokens[:, 0], 'dense': tokens[:, extra:]})
        student['map'] = student['dense']
        if self.local_views:
            local = torch.cat(step.views[2:])
            height, width = self.dense_size(local.shape[-2:])
            needed = torch.arange(len(local), device=local.device) * (height * width + extra)
            (tokens,) = self.backbone(local, needed=needed)
            student['class'] = torch.cat([student['class'], tokens[:, 0]])
        return student, dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_class`, `loss_patch` and, with a `visible_weight`, `loss_visible`."""
        student, masks, patches = step.student, step.extras, step.student['dense'].flatten(0, 1)
        masked, visible = masks.masked.positions, masks.visible.positions
        classes, logits = self.neck(torch.cat([student['class'], patches[masked]])).split(
            [len(student['class']), len(masked)]
        )
        losses = dict(
            loss_class=self._class_loss(classes.float(), step.teacher['class_logits']),
            loss_patch=self._patch_loss(logits, masks.masked, self.target_positions(step), step),
        )
        if self.visible_weight:
            losses['loss_visible'] = self.visible_weight * self._patch_loss(
                self.neck(patches[visible]), masks.visible, visible, step
            )
        return losses

    def target_positions(self, step: Step) -> Tensor:
        """Returns the flat index of the teacher's patch that is the target of each masked patch, (M,): its own."""
        return step.extras.masked.positions

    @torch.no_grad()
    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the teacher's distributions over prototypes (M, K) from its `dense` features, (M, C_b) or (M, C)."""
        neck = self.teacher.neck
        return self._sharpen(neck(features) if self._averages else neck.last_layer(features), self.patch_center)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the cross-entropy of patch tokens with target distributions: (M, C), (M, K) -> (M,)."""
        return self._cross_entropy(self.neck(student), target)

    def update_memory(self, step: Step) -> None:
        """Updates the centers with the mean logits of all clean tokens of this batch."""
        self.class_center.update(step.teacher['class_logits'].mean(0))
        self.patch_center.update(self.teacher.neck.last_layer(step.teacher['bottleneck'].flatten(0, 1).mean(0)))

    @property
    def _averages(self) -> bool:
        """Whether the branch averages tokens, so that it cannot compare bottlenecks of single tokens."""
        return self.decoupling is not None and self.decoupling.averages_features

    def _tokens_at(self, positions: Tensor, patches: int) -> Tensor:
        """Converts flat indices of patches to flat indices of tokens, which include class and register tokens."""
        views = torch.div(positions, patches, rounding_mode='floor') + 1
        return positions + views * self.backbone.num_extra_tokens

    def _needed(self, step: Step) -> Tensor:
        """Returns the flat indices of the tokens of the student's joint pass that a loss reads."""
        masks = step.extras
        clean, patches = masks.masked.mask.shape
        count = patches + self.backbone.num_extra_tokens
        classes = torch.arange(clean, device=masks.mask.device) * count
        parts = [classes, self._tokens_at(masks.masked.positions, patches)]
        if self.visible_weight:
            parts.append(self._tokens_at(masks.visible.positions, patches))
        if step.decoupled is not None:
            parts.append(clean * count + self._tokens_at(step.decoupled.foreground.positions, patches))
        return torch.cat(parts)

    def _class_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        target = self._sharpen(teacher, self.class_center).unflatten(0, (2, -1))
        log = F.log_softmax(student / self.student_temperature, dim=1).unflatten(0, (2 + self.local_views, -1))
        # The sum over views comes first, so that each of the teacher's two views needs one product only.
        others = torch.stack([log[1], log[0]]) + log[2:].sum(0)
        return -(target * others).sum(2).mean(1).sum() / (2 + 2 * self.local_views)

    def _patch_loss(self, logits: Tensor, where: PositionSet, targets: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            target = self.teacher.neck.last_layer(step.teacher['bottleneck'].flatten(0, 1)[targets])
            target = self._sharpen(target, self.patch_center)
        return (self._cross_entropy(logits, target) * where.select(where.weight)).sum()

    def _sharpen(self, logits: Tensor, center: Center) -> Tensor:
        return ((logits.float() - center.value) / self.teacher_temperature.value).softmax(-1)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.float() / self.student_temperature, target, reduction='none')
