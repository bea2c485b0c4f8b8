"""UniRefiner: refinement of a trained ViT, whose spurious tokens are moved to a border of registers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.decoupling.composition import draw_partners
from mmdecouple.decoupling.foreign import foreign_similarity, is_spurious, relative_threshold
from mmdecouple.decoupling.regions import pool_regions
from mmdecouple.models.backbones.vit_settings import check_divides
from mmdecouple.models.foreign_crops import Strip, draw_boxes
from mmdecouple.models.layers import merge_in_checkpoints
from mmdecouple.models.losses import (
    clean_contrast,
    clean_or_all,
    correlation_distillation,
    register_absorption,
    register_uniformity,
    sparsity_of,
)
from mmdecouple.models.register_border import split_border, with_border
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow

# Constants of the authors' code that their configs do not change.
_SPURIOUS_SHARE = 0.4
_DETECTORS = 3
_TARGET_BORDER = 4
# Outputs that the loss reads.
_TEACHER = ('dense', 'own', 'foreign')
_STUDENT = ('dense', 'registers', 'correlated')


class RefinerDraws(NamedTuple):
    """Draws of a step.

    Attributes:
        boxes: Crops as fractions of the image, (B, K, 4).
        crops: Crops, resized to the size of the image, (B * K, 3, H, W).
        partners: Image that supplies the strip of each image, (B,).
        strip: Strip beside the crops of this step.
        detectors: Registers that filter the targets of this step, (max(R // 3, 1),).
        ranks: Ranks, by similarity, of the spurious tokens that the registers absorb, for the foreign image and for the
            strip, (2, B * K, R).
    """

    boxes: Tensor
    crops: Tensor
    partners: Tensor
    strip: Strip
    detectors: Tensor
    ranks: Tensor


@MODELS.register_module()
class UniRefiner(DenseAlgorithm):
    """Refinement of a frozen ViT by low-rank adapters: L_base = L_refine + L_register + L_scd.

    The teacher is the network before training. It sees K crops of each image, each beside a strip of another image of
    the batch, and every whole image. A token of a crop is *spurious* if it resembles tokens of the strip or of the
    other image, or if its target resembles a register; all others are *clean*. The target of a token is the most
    similar token of the teacher's whole image.

    The student sees the image surrounded by a border of register tokens. `loss_refine` contrasts its clean tokens,
    pooled from the crops, with their targets, and moves all tokens away from the registers. `loss_register` moves the
    registers towards spurious tokens. `loss_scd` distills the correlations between the tokens of a crop from the
    student's own tokens of that crop inside a wide border, without gradient.

    Args:
        lora: Settings of `LoRA`; None for its defaults.
        crops: Number of crops K of each image, at least 1.
        crop_scale: Least and largest area of a crop, as a share of the image, in (0, 1].
        crop_aspect: Least and largest ratio of width to height, above 0; the largest crop must fit into the image.
        strip_ratio: Width of the foreign strip as a share of the side of a crop, in (0, 1].
        border: Width of the register border in patches, at least 1. Targets of `loss_scd` have at least 4.
        deviations: A token is spurious if its similarity to foreign tokens reaches the mean of its crop plus this many
            standard deviations.
        register_similarity: Cosine with a register from which a target is spurious, in (-1, 1].
        temperature: Temperature T of all terms, above 0.
        uniformity: Weight of the negatives in `loss_refine`, at least 0.
        register_weight: Weight of `loss_register`, at least 0.
        scd_weight: Weight of `loss_scd`, at least 0.
        scd_start: Share of the training after which `loss_scd` counts, in [0, 1).
        measured: Must be `student`, as the teacher is the network before training.
        measured_border: Width of the border with which the network is measured, in patches, at least 0. Without one, it
            is measured as the ordinary ViT that checkpoints hold.
        **kwargs: Arguments of `DenseAlgorithm`: a `DenseViT`, whose `weights` are refined; no neck or predictor.

    Raises:
        SettingError: A value is out of range, or the backbone is of another class.

    Source: arXiv 2605.19622; `CongpeiQiu/UniRefiner method/unirefiner.py`. The differences are listed in
        docs/unirefiner.md.
    """

    flow = ViewFlow(student=(0,), teacher=(0,), shuffle=False)

    def __init__(
        self,
        lora: dict | None = None,
        crops: int = 3,
        crop_scale: tuple[float, float] = (0.25, 0.5),
        crop_aspect: tuple[float, float] = (2 / 3, 3 / 2),
        strip_ratio: float = 0.35,
        border: int = 1,
        deviations: float = 0.5,
        register_similarity: float = 0.55,
        temperature: float = 0.2,
        uniformity: float = 0.3,
        register_weight: float = 0.1,
        scd_weight: float = 0.4,
        scd_start: float = 0.1,
        measured: str = 'student',
        measured_border: int = 0,
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.block('lora', lora, optional=True, typed=False)
        check.number('crops', crops, 1, whole=True)
        crop_scale = check.ordered('crop_scale', crop_scale, above=0, maximum=1)
        crop_aspect = check.ordered('crop_aspect', crop_aspect, above=0)
        check.number('strip_ratio', strip_ratio, above=0, maximum=1)
        check.number('border', border, 1, whole=True)
        check.number('deviations', deviations)
        check.number('register_similarity', register_similarity, above=-1, maximum=1)
        check.number('temperature', temperature, above=0)
        for key, value in dict(uniformity=uniformity, register_weight=register_weight, scd_weight=scd_weight).items():
            check.number(key, value, 0)
        check.number('scd_start', scd_start, 0, below=1)
        check.number('measured_border', measured_border, 0, whole=True)
        if measured != 'student':
            check.refuse('measured', f"must be 'student', as the teacher is not trained, got {measured!r}")
        for key in ('neck', 'predictor', 'teacher', 'frozen_backbone_epochs'):
            if kwargs.get(key) not in (None, 0):
                check.refuse(key, 'must be left out: tokens of the backbone are compared with those before training')
        if crop_scale[1] * max(crop_aspect[1], 1 / crop_aspect[0]) > 1:
            check.refuse('crop_aspect', f'must let a crop of {crop_scale[1]:g} of the image fit, got {crop_aspect}')
        super().__init__(measured=measured, **kwargs)
        self._require('backbone', 'a DenseViT', 'dense_map')
        self.lora = MODELS.build({'type': 'LoRA', 'network': self.backbone, **(lora or {})})
        merge_in_checkpoints(self, 'backbone', 'lora')
        self.crops, self.crop_scale, self.crop_aspect = crops, crop_scale, crop_aspect
        self.strip_ratio, self.border = strip_ratio, border
        self.deviations, self.register_similarity = deviations, register_similarity
        self.temperature, self.uniformity = temperature, uniformity
        self.register_weight, self.scd_weight, self.scd_start = register_weight, scd_weight, scd_start
        self.measured_border = measured_border
        self.register_buffer('progress', torch.zeros(()))

    def build_teacher(self, cfg: dict) -> nn.Module:
        """Builds the frozen copy of the backbone, before its layers are adapted."""
        return MODELS.build(dict(type='InitialTeacher', student=self.student_modules))

    def update_teacher(self, iteration: int, max_iterations: int) -> None:
        """Notes which share of the training is done; the teacher is frozen."""
        self.progress.fill_((iteration + 1) / max_iterations)

    def prepare(self, step: Step, generator: torch.Generator) -> RefinerDraws:
        """Draws crops, partners, the side of the strip, detectors and spurious tokens.

        Raises:
            UserError: The patch does not divide the images, there is one of them, or a side has a single patch.
        """
        images, count = step.views[0], len(step.views[0])
        check_divides(images.shape[-2:], self.backbone.stride)
        height, width = self.dense_size(images.shape[-2:])
        if count < 2 or min(height, width) < 2:
            raise UserError(
                f'UniRefiner: a batch of {count} images of {height} x {width} patches has no foreign strip; use at '
                'least 2 images per device (config key train_dataloader.batch_size) and 2 patches along a side.'
            )
        registers = 2 * self.border * (height + width + 2 * self.border)
        likely = max(int(_SPURIOUS_SHARE * height * width), 1)
        boxes = draw_boxes((count, self.crops), self.crop_scale, self.crop_aspect, generator)
        partners = draw_partners(torch.arange(count), count, 1, False, generator)
        strip = Strip.draw(min(height, width), self.strip_ratio, generator)
        detectors = torch.randperm(registers, generator=generator)[: max(registers // _DETECTORS, 1)]
        ranks = torch.randint(likely, (2, count * self.crops, registers), generator=generator)
        boxes, partners, detectors, ranks = (
            part.to(images.device, non_blocking=True) for part in (boxes, partners, detectors, ranks)
        )
        crops = pool_regions(images, boxes, images.shape[-2:])
        return RefinerDraws(boxes, crops, partners, strip, detectors, ranks)

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Runs the teacher on the whole images, and on the crops beside their strips.

        Returns:
            Tokens after the final norm: `dense` (B, P, C) of the images, `own` (B * K, P, C) of the crops and `foreign`
            (B * K, S, C) of the strips.
        """
        images, draws, backbone = step.views[0], step.extras, self.teacher.backbone
        partners = images[draws.partners].repeat_interleave(self.crops, 0)
        beside = self._patches(backbone, draws.strip.beside(draws.crops, partners, backbone.stride))
        own, foreign = draws.strip.split(beside, self.dense_size(images.shape[-2:]))
        return dict(dense=self._patches(backbone, images), own=own, foreign=foreign)

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Runs the student on images with a border, and without gradient on the crops with a wide border.

        Returns:
            Tokens after the final norm: `dense` (B, P, C) of the images, `registers` (B, R, C) of their borders and
            `correlated` (B * K, P, C) of the crops; `dense` of the decoupled views, (D, P, C), or None.
        """
        dense, registers = self._with_registers(step.joint(self.flow.student), self.border)
        student, decoupled = step.split(dict(dense=dense, registers=registers))
        with torch.no_grad():
            student['correlated'], _ = self._with_registers(step.extras.crops, max(self.border, _TARGET_BORDER))
        return student, decoupled

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_refine`, `loss_register` and `loss_scd`, and for the log `clean_share`."""
        with torch.autocast(step.views[0].device.type, enabled=False):
            whole, own, foreign = (F.normalize(step.teacher[name].float(), dim=2) for name in _TEACHER)
            dense, registers, correlated = (F.normalize(step.student[name].float(), dim=2) for name in _STUDENT)
            crops = self._pooled(dense, step)
            of_crops = registers.repeat_interleave(self.crops, 0)
            images = whole.repeat_interleave(self.crops, 0)
            targets = _at(images, (own @ images.transpose(1, 2)).argmax(2))
            clean, spurious = self._filter(step, whole, own, foreign, targets, of_crops.detach())
            counted = clean_or_all(clean)
            sparsity = sparsity_of(targets, counted)
            contrast = clean_contrast(crops, targets, images, counted, sparsity, self.temperature, self.uniformity)
            absorption = register_absorption(of_crops, crops, spurious, sparsity, self.temperature)
            distillation = correlation_distillation(crops, correlated, self.temperature)
            return dict(
                loss_refine=contrast + register_uniformity(dense, registers, self.temperature),
                loss_register=self.register_weight * absorption,
                loss_scd=self.scd_weight * (self.progress > self.scd_start) * distillation,
                clean_share=clean.float().mean(),
            )

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns (1 - cosine) / T of matched tokens: (M, C), (M, C) -> (M,)."""
        return (1 - F.cosine_similarity(student.float(), target.float(), dim=1)) / self.temperature

    def layer_features(
        self, images: Tensor, layers: Sequence[str | None], mask: Tensor | None = None, class_token: bool = False
    ) -> list[Tensor]:
        """Returns the maps of images at several layers, read inside the border if `measured_border` is not 0."""
        width = self.measured_border
        if mask is not None:
            mask = F.pad(mask, (width,) * 4)
        images = with_border(images, width, self.backbone.stride)
        maps = super().layer_features(images, layers, mask, class_token)
        if class_token or not width:
            return maps
        return [found[:, :, width:-width, width:-width] for found in maps]

    def _filter(
        self, step: Step, whole: Tensor, own: Tensor, foreign: Tensor, targets: Tensor, registers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns which tokens of the crops are clean, bool (N, P), and the targets of drawn spurious ones, (N, 2R, C).

        Args:
            step: The step, for its draws.
            whole: Tokens of the images, (B, P, C).
            own: Tokens of the crops, (N, P, C) with N = B * K.
            foreign: Tokens of the strips, (N, S, C).
            targets: Targets of the tokens of the crops, (N, P, C).
            registers: Registers of the images of the crops, (N, R, C).
        """
        draws, places = step.extras, []
        clean = ~is_spurious(foreign_similarity(targets, registers[:, draws.detectors]), self.register_similarity)
        partners = whole[draws.partners].repeat_interleave(self.crops, 0)
        for others, ranks in zip((partners, foreign), draws.ranks):
            similarity = foreign_similarity(own, others)
            clean = clean & ~is_spurious(similarity, relative_threshold(similarity, self.deviations))
            likely = max(int(_SPURIOUS_SHARE * own.shape[1]), 1)
            places.append(similarity.topk(likely, dim=1).indices.gather(1, ranks))
        return clean, _at(targets, torch.cat(places, dim=1))

    def _with_registers(self, images: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Returns the student's tokens of images (N, P, C), and of the border around them, (N, R, C)."""
        tokens = self._patches(self.backbone, with_border(images, width, self.backbone.stride))
        return split_border(tokens, self.dense_size(images.shape[-2:]), width)

    def _pooled(self, tokens: Tensor, step: Step) -> Tensor:
        """Returns the student's tokens inside the crops, (B, P, C) -> (B * K, P, C)."""
        grid = self.dense_size(step.views[0].shape[-2:])
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        return F.normalize(pool_regions(maps, step.extras.boxes, grid).flatten(2).transpose(1, 2), dim=2)

    @staticmethod
    def _patches(backbone: nn.Module, images: Tensor) -> Tensor:
        return backbone(images)[0][:, backbone.num_extra_tokens :]


def _at(tokens: Tensor, places: Tensor) -> Tensor:
    """Returns the tokens (N, P, C) at places (N, M), as (N, M, C)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))
