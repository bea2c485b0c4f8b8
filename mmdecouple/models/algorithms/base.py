"""Base class of all methods: teacher pass, student pass, base loss, de-coupling branch, memory update."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.decoupling import DenseObjective, PositionSet
from mmdecouple.models.backbones import DenseReader, predict_maps, stride_of
from mmdecouple.models.layers import (
    BackboneFreezing,
    batch_shuffle,
    batch_unshuffle,
    count_batches_once,
    epoch_dependent,
)
from mmdecouple.models.samples import Samples
from mmdecouple.models.terms import LossTerms
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .branching import compose, decouple
from .checks import check_decoupling, check_freezing, check_terms, check_views, start_teacher_of_lone_student
from .step import Step, ViewFlow

_DENSE_PARTS = ('dense_loss', 'objective')


class DenseAlgorithm(DenseReader, BaseModel):
    """A self-supervised method with a student, a teacher and, if configured, a de-coupling branch.

    A method implements `encode`, `base_loss` and, to support de-coupling, `dense_loss`; it does not handle cut masks or
    backgrounds. `loss` defines the order of a step, and each of its parts reads and fills one `Step`. A method with
    random draws of its own overrides `prepare`; a method whose networks take more than stacked views overrides
    `teacher_forward` and `student_forward`.

    Args:
        backbone: Config of the backbone.
        neck: Config of the projection head, or None.
        predictor: Config of a neck that only the student has, or None; see `predict`.
        teacher: Config of the teacher; None builds `EMATeacher` with its defaults.
        decoupling: Config of the de-coupling branch, or None for the base method.
        terms: Configs of further loss terms (`LossTerm`), such as `GramAnchoring`.
        frozen_backbone_epochs: Number of first epochs in which all but the backbone is trained; see `BackboneFreezing`.
        dense_stride: Pixels of a view per dense position; None takes the stride of the backbone.
        measured: Network whose backbone the measures read: `teacher` (the paper's choice) or `student`.
        data_preprocessor: Config of the preprocessor; None builds `DensePreprocessor`.
        init_cfg: Weight initialization of mmengine.

    Attributes:
        flow: Assignment of the views to the networks, and the other data of a batch that the method reads.
        local_views: Number of views of another size, after those of `flow`.
        region_bins: Bins along each side of a pooled region, for methods on regions.

    Raises:
        SettingError: A value is out of range, or the method does not support the configured branch.
    """

    flow = ViewFlow()

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        predictor: dict | None = None,
        teacher: dict | None = None,
        decoupling: dict | None = None,
        terms: Sequence[dict] = (),
        frozen_backbone_epochs: int = 0,
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
        check.number('frozen_backbone_epochs', frozen_backbone_epochs, 0, whole=True)
        check.number('dense_stride', dense_stride, 1, whole=True, optional=True)
        check.choice('measured', measured, ('teacher', 'student'))
        super().__init__(MODELS.build({'type': 'DensePreprocessor', **(data_preprocessor or {})}), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = nn.Identity() if neck is None else MODELS.build(neck)
        self.teacher = self.build_teacher(teacher or {})
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.freezing = BackboneFreezing(self.backbone, self.teacher.backbone, frozen_backbone_epochs)
        self.terms = LossTerms(terms, self.student_modules, self.freezing)
        check_terms(self, check)
        self.register_load_state_dict_post_hook(start_teacher_of_lone_student)
        self.dense_stride = dense_stride or stride_of(self.backbone)
        self.measured = measured
        self.local_views = 0
        self.region_bins = 7
        self.decoupling = None if decoupling is None else MODELS.build(decoupling)
        if self.decoupling is not None:
            inherited = (getattr(type(self), part) is getattr(DenseAlgorithm, part) for part in _DENSE_PARTS)
            check_decoupling(self, not all(inherited), check)

    @property
    def num_views(self) -> int:
        """Number of views per image."""
        return len({*self.flow.student, *self.flow.teacher}) + self.local_views

    @property
    def linear_in_target(self) -> bool:
        """Whether the mean dense loss over several targets equals the loss of the mean target; see `DenseObjective`."""
        return self.flow.linear_in_target

    @property
    def student_modules(self) -> dict[str, nn.Module]:
        """Modules that the teacher copies."""
        return dict(backbone=self.backbone, neck=self.neck)

    def build_teacher(self, cfg: dict) -> nn.Module:
        """Builds the teacher from its config, by default an `EMATeacher`."""
        return MODELS.build({'type': 'EMATeacher', 'student': self.student_modules, **cfg})

    def init_weights(self) -> None:
        """Initializes the student, copies it to the teacher, and starts the further terms from the teacher."""
        super().init_weights()
        self.teacher.reset(self.student_modules)
        self.start_terms()

    def start_terms(self) -> None:
        """Starts the further terms from the teacher, after initial weights are loaded; a resumed run does not."""
        self.terms.reset(self.teacher)

    def prepare_training(self) -> None:
        """Prepares what only training needs; called once before the first step, after all weights are loaded."""
        check_freezing(self)
        count_batches_once(self)

    def update_teacher(self, iteration: int, max_iterations: int) -> None:
        """Updates the teacher after optimizer step `iteration` (from 0) of `max_iterations`."""
        self.teacher.update(self.student_modules, iteration, max_iterations)

    def start_epoch(self, epoch: int) -> None:
        """Sets everything that depends on the epoch (from 0); called before each epoch and after a resume."""
        for module in epoch_dependent(self):
            module.start_epoch(epoch)

    def end_epoch(self, epoch: int) -> None:
        """Ends an epoch (from 0); called once after its last iteration, before a checkpoint of it is saved."""
        self.terms.end_epoch(epoch, self.teacher)

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Returns trainable parameters that neither steps nor weight decay change in an epoch (from 0)."""
        return [parameter for module in epoch_dependent(self) for parameter in module.frozen(epoch)]

    def dense_size(self, view: Sequence[int]) -> tuple[int, int]:
        """Returns the dense positions (h, w) of a view of (H, W) pixels: the neck's pooling grid, or the map size."""
        if getattr(self.neck, 'with_pool', False):
            return self.neck.pool.output_size
        if self.dense_stride is None:
            raise UserError(
                f'{type(self).__name__}: the backbone does not define its stride; set the config key '
                'model.dense_stride to the pixels of a view per dense position.'
            )
        return -(-view[0] // self.dense_stride), -(-view[1] // self.dense_stride)

    def prepare(self, step: Step, generator: torch.Generator) -> Any:
        """Returns `step.extras`: the draws and derived values of the method, made before the branch draws.

        Args:
            step: The step with its views, samples, regions and geometry.
            generator: Source of all draws, on the CPU; it is seeded at every iteration.
        """

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of the student or the teacher.

        Args:
            backbone: Backbone of the student or the teacher.
            neck: Neck of the same network.
            images: Normalized views, (N, 3, H, W).

        Returns:
            Named tensors with N rows. A dense method must return `dense`, (N, P, C), not normalized, with positions in
            row-major order over the grid of `dense_size`. Further terms may read `map`, the features of the backbone
            at these positions, (N, P, C'), if `flow.returns_map`.
        """
        raise NotImplementedError

    def predict(self, dense: Tensor) -> Tensor:
        """Applies the student's predictor to each position of its dense output: (N, P, C) -> (N, P, C')."""
        if self.predictor is None:
            return dense
        (prediction,) = self.predictor((dense.flatten(0, 1),))
        return prediction.float().unflatten(0, dense.shape[:2])

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns the base loss as named, weighted terms (`loss_*`) whose sum is L_base.

        Args:
            step: The step with the outputs of both networks.
        """
        raise NotImplementedError

    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the targets of the dense loss from the teacher's dense features: (M, C) -> (M, T)."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the dense loss of matched positions: (M, C), (M, T) -> (M,)."""
        raise NotImplementedError

    def foreground(self, step: Step) -> PositionSet:
        """Returns the positions of the decoupling loss and their weights; a method may exclude further positions."""
        return step.decoupled.foreground

    def objective(self, step: Step) -> DenseObjective:
        """Returns the object whose dense loss the branch uses: the method, unless that loss needs more of the step."""
        return self

    def update_memory(self, step: Step) -> None:
        """Updates queues or centers with the teacher's outputs of clean views, after all losses."""

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns the teacher's outputs for the key views, stacked view after view, from its only pass in a step."""
        images = step.stacked(self.flow.teacher)
        if not self.flow.shuffle:
            return self.encode(self.teacher.backbone, self.teacher.neck, images)
        images, inverse = batch_shuffle(images)
        outputs = self.encode(self.teacher.backbone, self.teacher.neck, images)
        return {name: batch_unshuffle(rows, inverse) for name, rows in outputs.items()}

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Returns the student's outputs for its views, and dense features of the decoupled views (D, P, C) or None."""
        outputs = self.encode(self.backbone, self.neck, step.joint(self.flow.student))
        if self.predictor is not None:
            outputs['dense'] = self.predict(outputs['dense'])
        return step.split(outputs)

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Returns the loss terms of one step."""
        step.teacher = self.teacher_forward(step)
        step.student, step.dense = self.freezing(self.student_forward, step)
        losses = self.base_loss(step)
        if step.decoupled is not None:
            losses = decouple(self, losses, step)
        losses = {**losses, **self.terms(step, self)}
        self.update_memory(step)
        return self.freezing.connected(losses)

    # Masks are drawn outside of compiled code: with `compile=True`, only the network is compiled.
    @torch.compiler.disable
    def begin(self, inputs: list[Tensor], data_samples: Sequence[Any] | None = None) -> Step:
        """Creates the step of a batch with all its draws, first those of the method, then those of the branch.

        Args:
            inputs: Normalized views on the device, each (B, 3, H, W).
            data_samples: The samples of the batch.

        Raises:
            UserError: The number of views is wrong, or the samples lack regions or geometry that the method reads.
        """
        check_views(self, inputs)
        samples = data_samples if isinstance(data_samples, Samples) else Samples(data_samples)
        step, owner, device = Step(list(inputs), samples), type(self).__name__, inputs[0].device
        if self.flow.on_regions:
            step.regions = [regions.to(device) for regions in samples.regions(owner)]
        if self.flow.on_geometry:
            step.geometry = samples.geometry(owner).to(device, non_blocking=True)
        step.extras = self.prepare(step, self.data_preprocessor.generator)
        if self.decoupling is not None and self.decoupling.enabled:
            step.decoupled = compose(self, step)
        return step

    @property
    def measured_backbone(self) -> nn.Module:
        """Backbone of the student or the teacher that the measures read."""
        return (self.teacher if self.measured == 'teacher' else self).backbone

    def forward(
        self, inputs: list[Tensor], data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[Tensor] | list[BaseDataElement]:
        """Runs the model in one of mmengine's modes.

        Args:
            inputs: Views (B, 3, H, W) in mode `loss`; images (3, H, W) of any sizes in the other modes.
            data_samples: Samples of the batch, from which a method may read regions or geometry.
            mode: `loss` returns named loss terms, `predict` one sample with `dense` (C, h, w) per image, and `tensor`
                the list of these maps.
        """
        if mode == 'loss':
            return self.loss(self.begin(inputs, data_samples))
        return predict_maps(self.dense_features, inputs, data_samples, mode)

    def _require(self, key: str, kind: str, attribute: str) -> None:
        """Raises an error if the module `key` lacks an attribute by which the required class is recognized."""
        if getattr(getattr(self, key), attribute, None) is None:
            Settings(self, f'model.{key}').refuse('type', f'must be {kind}, got {type(getattr(self, key)).__name__}')
