"""The de-coupling branch in the step of a method."""

from typing import TYPE_CHECKING

from torch import Tensor

from mmdecouple.decoupling import DecoupledViews, Regions

from .checks import check_positions
from .step import Step

if TYPE_CHECKING:
    from .base import DenseAlgorithm


def compose(model: 'DenseAlgorithm', step: Step) -> DecoupledViews:
    """Draws and composes the decoupled views of a step."""
    indices = model.flow.teacher[: model.flow.decoupled]
    keys, regions = [step.views[index] for index in indices], None
    if model.flow.on_regions:
        by_view = step.samples.regions(type(model).__name__)
        regions = Regions.cat([by_view[index] for index in indices])
    return model.decoupling.compose(
        keys, model.dense_size(keys[0].shape[-2:]), model.data_preprocessor.generator, regions, model.region_bins
    )


def decouple(model: 'DenseAlgorithm', losses: dict[str, Tensor], step: Step) -> dict[str, Tensor]:
    """Returns the weighted base losses with the decoupling loss of a step."""
    check_positions(model, step.dense, step.decoupled.foreground.mask.shape[1])
    target = step.teacher['dense'][step.decoupled.rows]
    return model.decoupling(losses, step.dense, target, model.foreground(step), model.objective(step))
