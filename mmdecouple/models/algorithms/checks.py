"""Checks of a method's configuration and of its batches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

if TYPE_CHECKING:
    from .base import DenseAlgorithm


def check_decoupling(model: 'DenseAlgorithm', dense: bool, check: Settings) -> None:
    """Raises an error if the de-coupling branch cannot be used with the method.

    Args:
        model: Method with a branch.
        dense: Whether the method defines a dense loss or an objective.
        check: Settings of the method, which name the config key.
    """
    if not dense:
        check.refuse(
            'decoupling', 'needs a dense loss, which the method lacks; remove it, or use a dense method such as DenseCL'
        )
    if model.decoupling.mixing == 'embedding' and not model.flow.mixes_embeddings:
        check.refuse(
            'decoupling.mixing',
            "'embedding' is for methods whose student mixes patch embeddings, such as IBOT; use 'pixel'",
        )


def check_terms(model: 'DenseAlgorithm', check: Settings) -> None:
    """Raises an error if a further term reads features that the method does not return."""
    for index, term in enumerate(model.terms):
        if term.reads_map and not model.flow.returns_map:
            check.refuse(
                f'terms[{index}].type',
                f'{type(term).__name__} reads the backbone features of whole views, which the method does not return; '
                'remove the term',
            )


def check_freezing(model: 'DenseAlgorithm') -> None:
    """Raises an error if no parameter is trained while the backbone is frozen."""
    others = (p for name, p in model.named_parameters() if p.requires_grad and not name.startswith('backbone.'))
    if model.freezing.epochs and next(others, None) is None:
        Settings(model, 'model').refuse('frozen_backbone_epochs', 'must be 0, as nothing else of the method is trained')


def check_views(model: 'DenseAlgorithm', views: Sequence[Tensor]) -> None:
    """Raises an error if the batch has another number of views than the method takes."""
    if len(views) != model.num_views:
        raise UserError(
            f'{type(model).__name__}: the method takes {model.num_views} views of an image, but the batch has '
            f'{len(views)} (config keys num_views of the data, and model.local_views of a method with local views).'
        )


def check_positions(model: 'DenseAlgorithm', dense: Tensor, expected: int) -> None:
    """Raises an error if the dense output (N, P, C) has another number of positions than the stride gives."""
    if dense.shape[1] != expected:
        raise UserError(
            f'{type(model).__name__}: the dense output has {dense.shape[1]} positions, but a stride of '
            f'{model.dense_stride} pixels gives {expected} (config key model.dense_stride).'
        )


def start_teacher_of_lone_student(model: 'DenseAlgorithm', incompatible) -> None:
    """Copies the student to the teacher after weights without any teacher weights were loaded."""
    names = {f'teacher.{name}' for name, _ in model.teacher.named_parameters()}
    if names and names <= set(incompatible.missing_keys):
        model.teacher.reset(model.student_modules)
