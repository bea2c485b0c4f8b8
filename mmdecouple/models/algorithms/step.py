"""The data of one training step, which the parts of a method read and fill."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmdecouple.decoupling import DecoupledViews, Regions
from mmdecouple.models.samples import Samples


@dataclass(frozen=True)
class ViewFlow:
    """Assignment of the views to the networks, and the other data of a batch that a method reads.

    Attributes:
        student: Indices of the clean views that the student processes, stacked in this order.
        teacher: Indices of the key views, which the teacher processes, stacked in this order, and which are decoupled.
        decoupled: Number of key views, from the first, that are decoupled; None for all.
        shuffle: Whether the batch is shuffled for the teacher (shuffled batch norm).
        mixes_embeddings: Whether the student can mix patch embeddings (`mixing='embedding'` of the branch).
        linear_in_target: Whether the mean dense loss over several targets equals the loss of the mean target, as for a
            cross-entropy.
        on_regions: Whether the dense positions are regions of the samples; the branch then draws its masks on them.
        on_geometry: Whether the method reads the crop windows of the views.
        returns_map: Whether the student returns `map`, the backbone features of its whole clean views, for further
            terms that read it; it is needed only while `terms.read_map` of the method is True.
    """

    student: tuple[int, ...] = (0,)
    teacher: tuple[int, ...] = (1,)
    decoupled: int | None = None
    shuffle: bool = True
    mixes_embeddings: bool = False
    linear_in_target: bool = False
    on_regions: bool = False
    on_geometry: bool = False
    returns_map: bool = False


@dataclass
class Step:
    """A batch with its random draws and the network outputs that are computed so far.

    Attributes:
        views: Clean normalized views, each (B, 3, H, W).
        samples: The samples of the batch.
        regions: Regions of each view, on the device of the views, if the method reads them (`ViewFlow.on_regions`).
        geometry: Crop window, flip and source size of each view, (V, B, 7) as in `mmdecouple.utils.geometry`, if the
            method reads them (`ViewFlow.on_geometry`).
        extras: Return value of the method's `prepare`.
        decoupled: Decoupled views; None without a branch.
        teacher: Outputs of the teacher for the key views, stacked view after view, (V * B, ...) each.
        student: Outputs of the student for its clean views, stacked view after view, (S * B, ...) each.
        dense: Dense features of the decoupled views from the student, (D, P, C); None without a branch.
    """

    views: list[Tensor]
    samples: Samples
    regions: list[Regions] | None = None
    geometry: Tensor | None = None
    extras: Any = None
    decoupled: DecoupledViews | None = None
    teacher: dict[str, Tensor] = field(default_factory=dict)
    student: dict[str, Tensor] = field(default_factory=dict)
    dense: Tensor | None = None

    def stacked(self, indices: Sequence[int]) -> Tensor:
        """Returns the clean views at `indices`, stacked view after view, (len(indices) * B, 3, H, W)."""
        return torch.cat([self.views[index] for index in indices])

    def joint(self, indices: Sequence[int]) -> Tensor:
        """Returns the clean views at `indices` followed by the decoupled images, if there are any."""
        images = [self.views[index] for index in indices]
        if self.decoupled is not None and self.decoupled.images is not None:
            images.append(self.decoupled.images)
        return torch.cat(images)

    def split(self, outputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
        """Splits the outputs of a joint pass: those of the clean views, and `dense` of the decoupled views or None."""
        if self.decoupled is None:
            return outputs, None
        clean = -len(self.decoupled.rows)
        return {name: rows[:clean] for name, rows in outputs.items()}, outputs['dense'][clean:]
