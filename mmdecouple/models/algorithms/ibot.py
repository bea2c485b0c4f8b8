"""iBOT: predict the teacher's prototypes of the image from its views, and of masked patches from what is left."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.masks import build_mask
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from ..decoupling import DecoupledViews, Foreground
from ..layers import Center
from ..ranked_match import RankedMatch
from .base import DenseAlgorithm

_CHUNK_TOKENS = 2**13


class MIMMasks(NamedTuple):
    """Masks of the two global views, stacked view after view.

    Attributes:
        mask: True = replaced by the mask token, bool, (2 * B, h, w).
        masked: Where the patch loss lives: the masked patches.
        visible: All other patches, also those of views without any mask.
        aligned: Patches whose tokens are the targets, (2 * B, h * w), if they are random.
    """
    mask: Tensor
    masked: Foreground
    visible: Foreground
    aligned: Tensor | None = None


@MODELS.register_module()
class IBOT(DenseAlgorithm):
    """Masked image modeling with an online tokenizer: L_base = L_class + L_patch.

    L_class = mean over ordered pairs of a teacher's global view q and another student's view v of CE(t_q, s_v);
    L_patch = 1/2 sum_v mean_b [1 / max(1, |m|) sum_{i in m} CE(t_vi, s_vi)], m the masked patches of a view.
    The teacher's distributions are centered and sharpened. The head runs on the tokens that a loss needs; the center
    of the patches, a mean over all tokens, is the last layer of their mean bottleneck.

    Args:
        mim_mask: Config of the sampler of masks, on the token grid.
        mim_share: Probability that a view is masked at all, drawn for each image and view.
        local_views: L, views of another size after the two global ones, for the class token only.
        student_temperature: Of the student's softmax, above 0.
        teacher_temperature: First and last temperature of the teacher's softmax, above 0.
        warmup_epochs: Epochs from the first to the last, linearly.
        center_momentum: Of both centers, in [0, 1].
        visible_weight: Weight of the same patch loss on the visible patches, averaged by itself, as in iBOT++
            (TIPSv2, and `lightly` for the separate average); 0 is iBOT.
        target_rank: n: the target of a masked patch is the teacher's token that is n-th nearest to the patch's own in
            its view, by cosine; 1 is its own, that is the method. `random` takes any token of the view. For the
            paper's study of misalignment (Fig. 9, "T@n"); the visible patches keep their own targets.
        freeze_last_layer: Epochs, from the first of the run, in which the head's last layer stands still.
        **kwargs: As for `DenseAlgorithm`: a `DenseViT` with `mask_token=True` and a `DINOHead`.

    Raises:
        ValueError: For a value out of range, a backbone without mask token, or a batch with another number of views.

    Source: arXiv 2111.07832; `bytedance/ibot main_ibot.py` (iBOTLoss), `loader.py` (masks).
    """

    student_views = (0, 1)
    key_views = (0, 1)
    shuffle = False
    mixes_embeddings = True
    linear_in_target = True

    def __init__(self, mim_mask: dict, mim_share: float = 0.5, local_views: int = 0,
                 student_temperature: float = 0.1, teacher_temperature: tuple[float, float] = (0.04, 0.07),
                 warmup_epochs: int = 30, center_momentum: float = 0.9, visible_weight: float = 0.,
                 target_rank: int | str = 1, freeze_last_layer: int = 1, **kwargs) -> None:
        check = Settings(self, 'model')
        check.number('mim_share', mim_share, 0, 1)
        check.number('local_views', local_views, 0, whole=True)
        check.number('student_temperature', student_temperature, above=0)
        teacher_temperature = check.numbers('teacher_temperature', teacher_temperature, 2, above=0)
        check.number('warmup_epochs', warmup_epochs, 0, whole=True)
        check.number('center_momentum', center_momentum, 0, 1)
        check.number('visible_weight', visible_weight, 0)
        check.number('freeze_last_layer', freeze_last_layer, 0, whole=True)
        super().__init__(**kwargs)
        self._needs('neck', 'a DINOHead', 'last_layer')
        self._needs('backbone', 'a DenseViT', 'dense_map')
        if self.backbone.mask_token is None:
            check.refuse('backbone.mask_token', 'must be True')
        self.mim_mask = build_mask(mim_mask, 'model.mim_mask')
        if getattr(self.mim_mask, 'cut_ratio', (1., 1.))[1] == 0:
            check.refuse('mim_mask.cut_ratio', 'must be above 0: patches that are masked are what the method predicts')
        self.mim_share = mim_share
        self.local_views = local_views
        self.student_temperature = student_temperature
        self.schedule = (*teacher_temperature, warmup_epochs)
        self.visible_weight = visible_weight
        self.freeze_last_layer = freeze_last_layer
        self.match = RankedMatch(target_rank, 'IBOT', 'target_rank')
        self.class_center = Center(self.neck.out_channels, center_momentum)
        self.patch_center = Center(self.neck.out_channels, center_momentum)
        # A tensor, so that a new epoch neither compiles the step again nor waits for the device.
        self.register_buffer('teacher_temperature', torch.empty(()), persistent=False)
        self.start_epoch(0)

    @property
    def num_views(self) -> int:
        """Two global views and the local ones."""
        return 2 + self.local_views

    def start_epoch(self, epoch: int) -> None:
        """Set the teacher's temperature of an epoch."""
        first, last, epochs = self.schedule
        self.teacher_temperature.fill_(first + (last - first) * min(epoch / max(epochs - 1, 1), 1))

    def frozen(self, epoch: int) -> list[nn.Parameter]:
        """The head's last layer in the first epochs (`cancel_gradients_last_layer` of DINO's utils.py)."""
        return [p for p in self.neck.last_layer.parameters() if p.requires_grad and epoch < self.freeze_last_layer]

    def draw(self, batch: dict, generator: torch.Generator) -> MIMMasks:
        """Draw the masks of the two global views."""
        views = batch['inputs']
        rows, size = 2 * len(views[0]), self.dense_size(views[0].shape[-2:])
        mask = self.mim_mask.sample(rows, size, generator=generator)
        mask &= (torch.rand(rows, generator=generator) < self.mim_share)[:, None, None]
        aligned = self.match.draw(rows, size[0] * size[1], generator)
        share, device = mask.flatten(1).float(), views[0].device
        mask, aligned = (part if part is None else part.to(device, non_blocking=True) for part in (mask, aligned))
        return MIMMasks(mask, Foreground.of(share).to(device), Foreground.of(1 - share).to(device), aligned)

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor, mask: Tensor | None = None,
               mixed: DecoupledViews | None = None, needed: Tensor | None = None) -> dict[str, Tensor]:
        """Tokens after the final norm: `class` (N, C) and `dense` (N, P, C)."""
        tokens, = backbone(images, mask, mixed, needed)
        return {'class': tokens[:, 0], 'dense': tokens[:, 1:]}

    @torch.no_grad()
    def teach(self, views: list[Tensor], drawn: MIMMasks) -> dict[str, Tensor]:
        """The teacher's tokens; `class_logits` (2 * B, K); `bottleneck` of all patches, (2 * B * P, C_b)."""
        teacher = super().teach(views, drawn)
        tokens = teacher['dense'].flatten(0, 1)
        teacher['class_logits'] = self.teacher.neck(teacher['class']).float()
        teacher['bottleneck'] = torch.cat([self.teacher.neck.bottleneck(part) for part in tokens.split(_CHUNK_TOKENS)])
        return teacher

    def learn(self, views: list[Tensor], decoupled: DecoupledViews | None, teacher: dict[str, Tensor],
              drawn: MIMMasks) -> tuple[dict[str, Tensor], Tensor | None]:
        """One pass over the masked global views and the decoupled views, one over the local views."""
        images, mask, mixed = torch.cat(views[:2]), drawn.mask, decoupled
        clean = len(images)
        if decoupled is not None and decoupled.images is not None:
            images, mixed = torch.cat([images, decoupled.images]), None
            mask = F.pad(mask, (0, 0, 0, 0, 0, len(decoupled.images)))
        needed = self._needed(clean, drawn, decoupled)
        tokens = self.encode(self.backbone, self.neck, images, mask, mixed, needed)
        classes = tokens['class'][:clean]
        if self.local_views:
            local = torch.cat(views[2:])
            height, width = self.dense_size(local.shape[-2:])
            needed = torch.arange(len(local), device=local.device) * (height * width + 1)
            classes = torch.cat([classes, self.encode(self.backbone, self.neck, local, needed=needed)['class']])
        student = {'class': classes, 'dense': tokens['dense'][:clean], 'drawn': drawn}
        return student, None if decoupled is None else tokens['dense'][clean:]

    def base_loss(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss_class`, `loss_patch` and, with a `visible_weight`, `loss_visible`."""
        drawn, patches = student['drawn'], student['dense'].flatten(0, 1)
        masked = drawn.masked.positions
        classes, logits = self.neck(torch.cat([student['class'], patches[masked]])).split(
            [len(student['class']), len(masked)])
        losses = dict(loss_class=self._class_loss(classes.float(), teacher['class_logits']),
                      loss_patch=self._patch_loss(logits, drawn.masked, self._aligned(drawn, teacher), teacher))
        if self.visible_weight:
            seen = drawn.visible.positions
            losses['loss_visible'] = self.visible_weight * self._patch_loss(self.neck(patches[seen]), drawn.visible,
                                                                            seen, teacher)
        return losses

    @torch.no_grad()
    def dense_target(self, features: Tensor) -> Tensor:
        """The teacher's distribution of patch tokens (M, C) over the prototypes, (M, K)."""
        return self._sharpen(self.teacher.neck(features), self.patch_center)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of patch tokens (M, C) with distributions (M, K): (M,)."""
        return self._cross_entropy(self.neck(student), target)

    def remember(self, teacher: dict[str, Tensor]) -> None:
        """Move the centers towards this batch's mean logits of all clean tokens."""
        self.class_center.update(teacher['class_logits'].mean(0))
        self.patch_center.update(self.teacher.neck.last_layer(teacher['bottleneck'].mean(0)))

    @staticmethod
    def _tokens_at(positions: Tensor, patches: int) -> Tensor:
        """Indices among tokens, of which each view has one more than patches: flat patches (M,) -> (M,)."""
        return positions + torch.div(positions, patches, rounding_mode='floor') + 1

    def _needed(self, clean: int, drawn: MIMMasks, decoupled: DecoupledViews | None) -> Tensor:
        """Tokens of the student's joint pass that a loss reads."""
        patches = drawn.masked.share.shape[1]
        classes = torch.arange(clean, device=drawn.mask.device) * (patches + 1)
        parts = [classes, self._tokens_at(drawn.masked.positions, patches)]
        if self.visible_weight:
            parts.append(self._tokens_at(drawn.visible.positions, patches))
        if decoupled is not None:
            parts.append(clean * (patches + 1) + self._tokens_at(decoupled.foreground.positions, patches))
        return torch.cat(parts)

    def _class_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        target = self._sharpen(teacher, self.class_center).unflatten(0, (2, -1))
        log = F.log_softmax(student / self.student_temperature, dim=1).unflatten(0, (2 + self.local_views, -1))
        # Summed over views first: one product for each of the teacher's two views.
        others = torch.stack([log[1], log[0]]) + log[2:].sum(0)
        return -(target * others).sum(2).mean(1).sum() / (2 + 2 * self.local_views)

    def _aligned(self, drawn: MIMMasks, teacher: dict[str, Tensor]) -> Tensor:
        """Flat patches of the teacher that the masked patches take their targets from, (M,)."""
        masked = drawn.masked.positions
        if self.match.rank == 1:
            return masked
        index = self.match(teacher['dense'], teacher['dense'], drawn.aligned)
        first = torch.arange(len(index), device=index.device)[:, None] * index.shape[1]
        return (first + index).flatten()[masked]

    def _patch_loss(self, logits: Tensor, where: Foreground, targets: Tensor, teacher: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            target = self.teacher.neck.last_layer(teacher['bottleneck'][targets])
            target = self._sharpen(target, self.patch_center)
        return (self._cross_entropy(logits, target) * where.select(where.weight)).sum()

    def _sharpen(self, logits: Tensor, center: Center) -> Tensor:
        return ((logits.float() - center.value) / self.teacher_temperature).softmax(-1)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.float() / self.student_temperature, target, reduction='none')
