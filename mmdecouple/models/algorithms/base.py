"""The flow that every method shares: one teacher pass, one student pass, the base loss, the branch, the memory."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.decoupling import DecoupledViews, DenseObjective, PositionSet, Regions
from mmdecouple.models.backbones import dense_map, finite_map, predict_maps, stride_of
from mmdecouple.models.layers import EpochDependent, batch_shuffle, batch_unshuffle, count_batches_once
from mmdecouple.models.samples import Samples
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .step import Step, ViewFlow


class DenseAlgorithm(BaseModel):
    """A self-supervised method with a student, a teacher and, if configured, a de-coupling branch.

    A method implements `encode`, `base_loss` and, to be de-coupled, `dense_loss`; it never mentions cut masks or
    backgrounds. `loss` is the order of a step, and each of its parts reads and fills one `Step`. A method that draws
    something overrides `prepare`; one whose networks take more than stacked views overrides `teacher_forward` and
    `student_forward`.

    Args:
        backbone: Config of the backbone.
        neck: Config of the projection head, or None.
        predictor: Config of a neck that the student alone has, or None; see `predict`.
        teacher: Config of the teacher; None gives `EMATeacher` with its defaults.
        decoupling: Config of the de-coupling branch, or None for the base method.
        dense_stride: Pixels of a view per dense position; None asks the backbone.
        measured: Whose backbone the measures read: `teacher` (the paper's choice) or `student`.
        data_preprocessor: Config of the preprocessor; None gives `DensePreprocessor`.
        init_cfg: mmengine's weight initialization.

    Attributes:
        flow: Which views reach which network, and what else of a batch the method reads.
        layer: Layer of the backbone that the measures read, as `dense_map` names it; None for the last.
        local_views: Number of views of another size that follow those of `flow`.
        region_bins: Bins along each side in which a region is pooled, for methods on regions.
    """

    flow = ViewFlow()
    layer: str | None = None

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        predictor: dict | None = None,
        teacher: dict | None = None,
        decoupling: dict | None = None,
        dense_stride: int | None = None,
        measured: str = 'teacher',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check = Settings(self, 'model')
        check.block('backbone', backbone)
        for key, block in (('neck', neck), ('predictor', predictor), ('decoupling', decoupling)):
            check.block(key, block, optional=True)
        for key, block in (('teacher', teacher), ('data_preprocessor', data_preprocessor)):
            check.block(key, block, optional=True, typed=False)
        check.number('dense_stride', dense_stride, 1, whole=True, optional=True)
        check.choice('measured', measured, ('teacher', 'student'))
        super().__init__(MODELS.build({'type': 'DensePreprocessor', **(data_preprocessor or {})}), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = nn.Identity() if neck is None else MODELS.build(neck)
        self.teacher = self.build_teacher(teacher or {})
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.register_load_state_dict_post_hook(_start_teacher_of_lone_student)
        self.dense_stride = dense_stride or stride_of(self.backbone)
        self.measured = measured
        self.local_views = 0
        self.region_bins = 7
        self.decoupling = None if decoupling is None else MODELS.build(decoupling)
        if self.decoupling is not None:
            self._check_decoupling(check)

    @property
    def num_views(self) -> int:
        """Views of an image that the method takes."""
        return len({*self.flow.student, *self.flow.teacher}) + self.local_views

    @property
    def linear_in_target(self) -> bool:
        """Whether the dense loss of several targets is the loss of their mean, as the alignments ask."""
        return self.flow.linear_in_target

    @property
    def student_modules(self) -> dict[str, nn.Module]:
        """The modules that the teacher copies."""
        return dict(backbone=self.backbone, neck=self.neck)

    def build_teacher(self, cfg: dict) -> nn.Module:
        """The teacher, from its config: by default a copy of the student that follows it."""
        return MODELS.build({'type': 'EMATeacher', 'student': self.student_modules, **cfg})

    def init_weights(self) -> None:
        """Initialize the student and start the teacher from it."""
        super().init_weights()
        self.teacher.reset(self.student_modules)

    def prepare_training(self) -> None:
        """Make ready what only training needs; called once before it, when the network is as it will train."""
        count_batches_once(self)

    def update_teacher(self, iteration: int, max_iterations: int) -> None:
        """Move the teacher after optimizer step `iteration` (from 0) of `max_iterations`."""
        self.teacher.update(self.student_modules, iteration, max_iterations)

    def start_epoch(self, epoch: int) -> None:
        """Set what depends on the epoch, from 0; called before each, also after a resume in the middle of one."""
        for module in self._epoch_dependent():
            module.start_epoch(epoch)

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Trained parameters that are not updated in an epoch (from 0), neither by a step nor by weight decay."""
        return [parameter for module in self._epoch_dependent() for parameter in module.frozen(epoch)]

    def dense_size(self, view: Sequence[int]) -> tuple[int, int]:
        """Dense positions (h, w) of a view of (H, W) pixels: the grid that the neck pools to, or the backbone's."""
        if getattr(self.neck, 'with_pool', False):
            return self.neck.pool.output_size
        if self.dense_stride is None:
            raise UserError(
                f'{type(self).__name__}: the backbone does not say its stride; set the config key '
                'model.dense_stride to the pixels of a view per dense position.'
            )
        return -(-view[0] // self.dense_stride), -(-view[1] // self.dense_stride)

    def prepare(self, step: Step, generator: torch.Generator) -> Any:
        """What the method itself draws or derives for a batch, as `step.extras`, before the branch draws.

        Args:
            step: The step with its views, samples, regions and geometry.
            generator: Source of all draws, on the CPU; seeded at every iteration.
        """

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Outputs of the student or the teacher for images (N, 3, H, W).

        Returns:
            Named tensors with N rows. For a dense method `dense` must be among them: (N, P, C), not normalized,
            positions in row-major order over the grid of `dense_size`.
        """
        raise NotImplementedError

    def predict(self, dense: Tensor) -> Tensor:
        """The student's dense output through its predictor, position by position: (N, P, C) -> (N, P, C')."""
        if self.predictor is None:
            return dense
        (prediction,) = self.predictor((dense.flatten(0, 1),))
        return prediction.float().unflatten(0, dense.shape[:2])

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """The method's own loss as named, weighted terms (`loss_*`) whose sum is L_base.

        Args:
            step: The step with the outputs of both networks.
        """
        raise NotImplementedError

    def dense_target(self, features: Tensor) -> Tensor:
        """What the dense loss compares with, from the teacher's dense features: (M, C) -> (M, T)."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """The method's dense loss of matched positions: (M, C), (M, T) -> (M,)."""
        raise NotImplementedError

    def foreground(self, step: Step) -> PositionSet:
        """Positions of the decoupling loss, and their weights: a method may leave out more than the cut cells."""
        return step.decoupled.foreground

    def objective(self, step: Step) -> DenseObjective:
        """Whose dense loss the branch computes: the method's own, unless that takes more of the step than features."""
        return self

    def update_memory(self, step: Step) -> None:
        """Take the teacher's outputs of clean views into queues or centers, after all losses."""

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Outputs of the teacher for the key views, stacked view after view: the one pass it makes in a step."""
        images = step.stacked(self.flow.teacher)
        if not self.flow.shuffle:
            return self.encode(self.teacher.backbone, self.teacher.neck, images)
        images, inverse = batch_shuffle(images)
        outputs = self.encode(self.teacher.backbone, self.teacher.neck, images)
        return {name: batch_unshuffle(rows, inverse) for name, rows in outputs.items()}

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Outputs of the student for its views, and its dense features of the decoupled views, (D, P, C), or None."""
        outputs = self.encode(self.backbone, self.neck, step.joint(self.flow.student))
        if self.predictor is not None:
            outputs['dense'] = self.predict(outputs['dense'])
        return step.split(outputs)

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Loss terms of one step."""
        step.teacher = self.teacher_forward(step)
        step.student, step.dense = self.student_forward(step)
        losses = self.base_loss(step)
        if step.decoupled is not None:
            losses = self._decouple(losses, step)
        self.update_memory(step)
        return losses

    # Drawing masks is no work for a compiler: with `compile=True` only the network is compiled.
    @torch.compiler.disable
    def begin(self, inputs: list[Tensor], data_samples: Sequence[Any] | None = None) -> Step:
        """The step of a batch, with all draws made for it: first the method's, then the branch's.

        Args:
            inputs: Views (B, 3, H, W), normalized, on the device.
            data_samples: The samples of the batch.

        Raises:
            UserError: For another number of views than the method takes, or samples that lack what it reads.
        """
        self._check_views(inputs)
        samples = data_samples if isinstance(data_samples, Samples) else Samples(data_samples)
        step, owner, device = Step(list(inputs), samples), type(self).__name__, inputs[0].device
        if self.flow.on_regions:
            step.regions = [regions.to(device) for regions in samples.regions(owner)]
        if self.flow.on_geometry:
            step.geometry = samples.geometry(owner).to(device, non_blocking=True)
        step.extras = self.prepare(step, self.data_preprocessor.generator)
        if self.decoupling is not None and self.decoupling.enabled:
            step.decoupled = self._compose(step)
        return step

    @property
    def measured_backbone(self) -> nn.Module:
        """The backbone that the measures read, of the student or of the teacher."""
        return (self.teacher if self.measured == 'teacher' else self).backbone

    @torch.no_grad()
    def dense_features(self, images: Tensor, mask: Tensor | None = None, class_token: bool = False) -> Tensor:
        """Map (B, C, h, w) that the measures read, for normalized images (B, 3, H, W).

        Args:
            images: Normalized images, (B, 3, H, W).
            mask: Patches that the mask token replaces, bool (B, h, w), for networks that have one.
            class_token: Whether to read the class token instead, as a map of one cell, for networks that have one.
        """
        return finite_map(dense_map(self.measured_backbone, images, mask, self.layer, class_token))

    def forward(
        self, inputs: list[Tensor], data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[Tensor] | list[BaseDataElement]:
        """Dispatch mmengine's modes.

        Args:
            inputs: Views (B, 3, H, W) in mode `loss`; images (3, H, W) of any sizes in the other modes.
            data_samples: Samples of the batch; a method that needs them reads their regions or geometry.
            mode: `loss` gives named terms; `predict` gives per image a sample with `dense` (C, h, w); `tensor`
                gives the list of these maps.
        """
        if mode == 'loss':
            return self.loss(self.begin(inputs, data_samples))
        return predict_maps(self.dense_features, inputs, data_samples, mode)

    def _compose(self, step: Step) -> DecoupledViews:
        indices = self.flow.teacher[: self.flow.decoupled]
        keys, regions = [step.views[index] for index in indices], None
        if self.flow.on_regions:
            by_view = step.samples.regions(type(self).__name__)
            regions = Regions.cat([by_view[index] for index in indices])
        return self.decoupling.compose(
            keys, self.dense_size(keys[0].shape[-2:]), self.data_preprocessor.generator, regions, self.region_bins
        )

    def _decouple(self, losses: dict[str, Tensor], step: Step) -> dict[str, Tensor]:
        self._check_positions(step.dense, step.decoupled.foreground.mask.shape[1])
        target = step.teacher['dense'][step.decoupled.rows]
        return self.decoupling(losses, step.dense, target, self.foreground(step), self.objective(step))

    def _check_positions(self, dense: Tensor, expected: int) -> None:
        if dense.shape[1] != expected:
            raise UserError(
                f'{type(self).__name__}: the dense output has {dense.shape[1]} positions, but a '
                f'stride of {self.dense_stride} pixels gives {expected} (config key model.dense_stride).'
            )

    def _epoch_dependent(self) -> list[EpochDependent]:
        return [module for module in self.modules() if isinstance(module, EpochDependent)]

    def _check_decoupling(self, check: Settings) -> None:
        kind = type(self)
        if kind.dense_loss is DenseAlgorithm.dense_loss and kind.objective is DenseAlgorithm.objective:
            check.refuse(
                'decoupling',
                'needs a dense loss, which the method has not; remove it, or use a dense method such as DenseCL',
            )
        if self.decoupling.mixing == 'embedding' and not self.flow.mixes_embeddings:
            check.refuse(
                'decoupling.mixing',
                "'embedding' is for methods whose student mixes patch embeddings, such as IBOT; use 'pixel'",
            )

    def _check_views(self, views: Sequence[Tensor]) -> None:
        if len(views) != self.num_views:
            raise UserError(
                f'{type(self).__name__}: the method takes {self.num_views} views of an image, but the '
                f'batch has {len(views)} (config keys num_views of the data, and model.local_views of a '
                'method with local views).'
            )

    def _needs(self, key: str, kind: str, attribute: str) -> None:
        """Refuse a part of the network that is not of the kind the method reads, told by one of its attributes."""
        if getattr(getattr(self, key), attribute, None) is None:
            Settings(self, f'model.{key}').refuse('type', f'must be {kind}, got {type(getattr(self, key)).__name__}')


def _start_teacher_of_lone_student(model: DenseAlgorithm, incompatible) -> None:
    """After loading weights without any of a teacher, the teacher starts from the student."""
    names = {f'teacher.{name}' for name, _ in model.teacher.named_parameters()}
    if names and names <= set(incompatible.missing_keys):
        model.teacher.reset(model.student_modules)
