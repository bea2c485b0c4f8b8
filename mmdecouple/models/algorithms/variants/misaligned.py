"""Methods whose positions are paired by rank of similarity: the controlled misalignment of the paper's Fig. 9."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdecouple.models.algorithms.densecl import DenseCL
from mmdecouple.models.algorithms.ibot import IBOT, MIMMasks
from mmdecouple.models.algorithms.step import Step
from mmdecouple.registry import MODELS

from .ranked_match import RankedMatch


@MODELS.register_module()
class MisalignedDenseCL(DenseCL):
    """DenseCL with each position matched to its n-th most similar key position ("S-T@n"), or to any ("Rand").

    Args:
        match_rank: n, from 1, which is DenseCL's own match; or `random`.
        **kwargs: As for `DenseCL`.

    Source: the paper's Fig. 9.
    """

    def __init__(self, match_rank: int | str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ranked = RankedMatch(match_rank, type(self).__name__, 'match_rank')

    def prepare(self, step: Step, generator: torch.Generator) -> Tensor | None:
        """Key positions that query positions are matched with, (B, P), if they are random."""
        height, width = self.dense_size(step.views[1].shape[-2:])
        return self.ranked.draw(step.views[1], height * width, generator)

    def match(self, step: Step) -> Tensor:
        """The key position of each query position, (B, P)."""
        return self.ranked(step.student['map'], step.teacher['map'], step.extras)


@dataclass(frozen=True)
class RankedMasks(MIMMasks):
    """Masks of the global views.

    Attributes:
        aligned: Patches whose tokens are the targets, (2 * B, h * w), if they are random.
    """

    aligned: Tensor | None = None


@MODELS.register_module()
class MisalignedIBOT(IBOT):
    """iBOT with the target of a masked patch from another token of the teacher's view ("T@n", "Rand").

    The n-th nearest to the teacher's token of the patch, by cosine, or any token of the view. The visible patches of
    `visible_weight` keep their own targets.

    Args:
        target_rank: n, from 1, which is the patch's own token and thus iBOT; or `random`.
        **kwargs: As for `IBOT`.

    Source: the paper's Fig. 9.
    """

    def __init__(self, target_rank: int | str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ranked = RankedMatch(target_rank, type(self).__name__, 'target_rank')

    def prepare(self, step: Step, generator: torch.Generator) -> RankedMasks:
        """Draw the masks of the two global views, and random targets."""
        masks = super().prepare(step, generator)
        return RankedMasks(**vars(masks), aligned=self.ranked.draw(masks.mask, masks.masked.mask.shape[1], generator))

    def target_positions(self, step: Step) -> Tensor:
        """Flat patches of the teacher that the masked patches take their targets from, (M,)."""
        index = self.ranked(step.teacher['tokens'], step.teacher['tokens'], step.extras.aligned)
        first = torch.arange(len(index), device=index.device)[:, None] * index.shape[1]
        return (first + index).flatten()[step.extras.masked.positions]
