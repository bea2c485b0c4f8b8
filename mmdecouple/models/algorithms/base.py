"""The flow that every method shares: one teacher pass, one student pass, the base loss, the branch."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from ..backbones import dense_map, finite_map, predict_maps, stride_of
from ..decoupling import DecoupledViews, Foreground
from ..layers import batch_shuffle, batch_unshuffle, count_batches_once
from ..regions import Regions


class DenseAlgorithm(BaseModel):
    """A self-supervised method with a student, a teacher and, if configured, a de-coupling branch.

    A method implements `encode`, `base_loss` and, to be de-coupled, `dense_loss`; it never mentions cut masks or
    backgrounds. This class owns the order of a step: the teacher sees each clean key view once, the student its
    views and the decoupled views in one joint pass, the memory takes in the keys last. A method whose student
    masks tokens or sees views of several sizes says so in `draw` and `learn`.

    Args:
        backbone: Config of the backbone.
        neck: Config of the projection head, or None.
        teacher: Config of the teacher; None gives `EMATeacher` with its defaults.
        decoupling: Config of the de-coupling branch, or None for the base method.
        dense_stride: Pixels of a view per dense position; None asks the backbone.
        measured: Whose backbone the measures read: `teacher` (the paper's choice) or `student`.
        data_preprocessor: Config of the preprocessor; None gives `DensePreprocessor`.
        init_cfg: mmengine's weight initialization.

    Attributes:
        student_views: Indices of the clean views the student sees.
        key_views: Indices of the views the teacher sees; they are the ones that get decoupled.
        decoupled_views: How many of the key views, from the first, get decoupled; None for all.
        shuffle: Whether the teacher sees the batch in another order (shuffled batch norm).
        mixes_embeddings: Whether `learn` can mix patch embeddings (`mixing='embedding'` of the branch).
        linear_in_target: Whether the dense loss of several targets is that of their mean.
        layer: Layer of the backbone that the measures read, as `dense_map` names it; None for the last.
    """

    student_views: tuple[int, ...] = (0, )
    key_views: tuple[int, ...] = (1, )
    decoupled_views: int | None = None
    shuffle = True
    mixes_embeddings = False
    linear_in_target = False
    layer: str | None = None

    def __init__(self, backbone: dict, neck: dict | None = None, teacher: dict | None = None,
                 decoupling: dict | None = None, dense_stride: int | None = None, measured: str = 'teacher',
                 data_preprocessor: dict | None = None, init_cfg: dict | list[dict] | None = None) -> None:
        check = Settings(self, 'model')
        check.block('backbone', backbone)
        for key, block in (('neck', neck), ('decoupling', decoupling)):
            check.block(key, block, optional=True)
        for key, block in (('teacher', teacher), ('data_preprocessor', data_preprocessor)):
            check.block(key, block, optional=True, typed=False)
        check.number('dense_stride', dense_stride, 1, whole=True, optional=True)
        check.choice('measured', measured, ('teacher', 'student'))
        super().__init__(MODELS.build({'type': 'DensePreprocessor', **(data_preprocessor or {})}), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = nn.Identity() if neck is None else MODELS.build(neck)
        self.teacher = self.build_teacher(teacher or {})
        self.register_load_state_dict_post_hook(_start_teacher_of_lone_student)
        self.dense_stride = dense_stride or stride_of(self.backbone)
        self.measured = measured
        self.decoupling = None if decoupling is None else MODELS.build(decoupling)
        if self.decoupling is not None:
            if type(self).dense_loss is DenseAlgorithm.dense_loss:
                check.refuse('decoupling', 'needs a dense loss, which the method has not; remove it, or use a dense '
                             'method such as DenseCL')
            if self.decoupling.mixing == 'embedding' and not self.mixes_embeddings:
                check.refuse('decoupling.mixing', "'embedding' is for methods whose student mixes patch embeddings, "
                             "such as IBOT; use 'pixel'")
        self.data_preprocessor.batch_stages.append(self._draw)

    @property
    def num_views(self) -> int:
        """Views of an image that the method takes."""
        return len({*self.student_views, *self.key_views})

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

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Trained parameters that stand still in an epoch (from 0): neither a step nor weight decay touches them."""
        return ()

    def draw(self, batch: dict, generator: torch.Generator) -> Any:
        """What the method itself draws for a batch, before the branch does: given to `learn`.

        Args:
            batch: `inputs`: the views; `data_samples`: the samples.
            generator: The generator of the batch stages.
        """

    def regions(self, batch: dict) -> Regions | None:
        """Regions of the key views that get decoupled, stacked, for masks on them; None for masks on the whole view.

        With regions a position of the decoupling loss is a region, and `learn` pools it over what the mask leaves.
        """

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Outputs of the student or the teacher for images (N, 3, H, W).

        Returns:
            Named tensors with N rows. For a dense method `dense` must be among them: (N, P, C), not normalized,
            positions in row-major order over the grid of `dense_size`.
        """
        raise NotImplementedError

    def base_loss(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> dict[str, Tensor]:
        """The method's own loss as named, weighted terms (`loss_*`) whose sum is L_base.

        Args:
            student: `encode` of the student views, stacked view after view, (S * B, ...).
            teacher: `encode` of the key views, stacked view after view, (V * B, ...).
        """
        raise NotImplementedError

    def dense_target(self, features: Tensor) -> Tensor:
        """What the dense loss compares with, from the teacher's dense features: (M, C) -> (M, T)."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """The method's dense loss of matched positions: (M, C), (M, T) -> (M,)."""
        raise NotImplementedError

    def foreground(self, decoupled: DecoupledViews, teacher: dict[str, Tensor]) -> Foreground:
        """Where the decoupling loss lives, and its weights: a method may leave out more than the cut cells."""
        return decoupled.foreground

    def remember(self, teacher: dict[str, Tensor]) -> None:
        """Take the teacher's outputs of clean views into queues or centers, after all losses."""

    def dense_size(self, view: Sequence[int]) -> tuple[int, int]:
        """Dense positions (h, w) of a view of (H, W) pixels."""
        if self.dense_stride is None:
            raise UserError(f'{type(self).__name__}: the backbone does not say its stride; set the config key '
                            'model.dense_stride to the pixels of a view per dense position.')
        return -(-view[0] // self.dense_stride), -(-view[1] // self.dense_stride)

    @torch.no_grad()
    def teach(self, views: list[Tensor], drawn: Any) -> dict[str, Tensor]:
        """Outputs of the teacher for the key views, stacked view after view: the one pass it makes in a step."""
        images = torch.cat([views[index] for index in self.key_views])
        if not self.shuffle:
            return self.encode(self.teacher.backbone, self.teacher.neck, images)
        images, inverse = batch_shuffle(images)
        outputs = self.encode(self.teacher.backbone, self.teacher.neck, images)
        return {name: batch_unshuffle(rows, inverse) for name, rows in outputs.items()}

    def learn(self, views: list[Tensor], decoupled: DecoupledViews | None, teacher: dict[str, Tensor],
              drawn: Any) -> tuple[dict[str, Tensor], Tensor | None]:
        """Outputs of the student.

        Args:
            views: The views of the batch.
            decoupled: Decoupled views of the key views, or None.
            teacher: What `teach` gave, for students whose input depends on it.
            drawn: What `draw` gave.

        Returns:
            What `base_loss` takes, and the dense features of the decoupled views, (D, P, C), or None.
        """
        images = [views[index] for index in self.student_views]
        clean = sum(len(view) for view in images)
        images = torch.cat(images if decoupled is None else [*images, decoupled.images])
        outputs = self.encode(self.backbone, self.neck, images)
        dense = None if decoupled is None else outputs['dense'][clean:]
        return {name: rows[:clean] for name, rows in outputs.items()}, dense

    def loss(self, views: list[Tensor], decoupled: DecoupledViews | None, drawn: Any) -> dict[str, Tensor]:
        """Loss terms of one batch; see the class for the order."""
        teacher = self.teach(views, drawn)
        student, dense = self.learn(views, decoupled, teacher, drawn)
        losses = self.base_loss(student, teacher)
        if decoupled is not None:
            self._check_dense(dense, decoupled)
            decoupled = decoupled._replace(foreground=self.foreground(decoupled, teacher))
            losses = self.decoupling(losses, dense, teacher['dense'][decoupled.rows], decoupled, self)
        self.remember(teacher)
        return losses

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

    def forward(self, inputs: list[Tensor], data_samples: list[BaseDataElement] | None = None,
                decoupled: DecoupledViews | None = None, drawn: Any = None, mode: str = 'tensor'):
        """Dispatch mmengine's modes.

        Args:
            inputs: Views (B, 3, H, W) in mode `loss`; images (3, H, W) of any sizes in the other modes.
            data_samples: Samples of the batch; a method that needs them reads their geometry.
            decoupled: What the branch drew for this batch.
            drawn: What the method itself drew for this batch.
            mode: `loss` gives named terms; `predict` gives per image a sample with `dense` (C, h, w); `tensor`
                gives the list of these maps.
        """
        if mode == 'loss':
            return self.loss(inputs, decoupled, drawn)
        return predict_maps(self.dense_features, inputs, data_samples, mode)

    def _needs(self, key: str, kind: str, attribute: str) -> None:
        """Refuse a part of the network that is not of the kind the method reads, told by one of its attributes."""
        if getattr(getattr(self, key), attribute, None) is None:
            Settings(self, f'model.{key}').refuse('type', f'must be {kind}, got {type(getattr(self, key)).__name__}')

    def _draw(self, batch: dict, generator: torch.Generator) -> dict:
        if len(batch['inputs']) != self.num_views:
            keys = 'num_views of the data' + ' and model.local_views' * hasattr(self, 'local_views')
            raise UserError(f'{type(self).__name__}: the method takes {self.num_views} views of an image, but the '
                            f'batch has {len(batch["inputs"])} (config key{"s" * ("and" in keys)} {keys}).')
        batch = {**batch, 'drawn': self.draw(batch, generator)}
        if self.decoupling is not None and self.decoupling.enabled:
            keys = [batch['inputs'][index] for index in self.key_views[:self.decoupled_views]]
            size = self.dense_size(keys[0].shape[-2:])
            batch['decoupled'] = self.decoupling.compose(keys, size, generator, self.regions(batch))
        return batch

    def _check_dense(self, dense: Tensor, decoupled: DecoupledViews) -> None:
        expected = decoupled.foreground.share.shape[1]
        if dense.shape[1] != expected:
            raise UserError(f'{type(self).__name__}: the dense output has {dense.shape[1]} positions, but a stride of '
                            f'{self.dense_stride} pixels gives {expected} (config key model.dense_stride).')


def _start_teacher_of_lone_student(model: DenseAlgorithm, incompatible) -> None:
    """After loading weights without any of a teacher, the teacher starts from the student."""
    names = {f'teacher.{name}' for name, _ in model.teacher.named_parameters()}
    if names and names <= set(incompatible.missing_keys):
        model.teacher.reset(model.student_modules)
