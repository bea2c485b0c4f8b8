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
    """DenseCL with each position matched to its n-th most similar key position ("S-T@n"), or to a random one ("Rand").

    Args:
        match_rank: n, at least 1, where 1 is the match of DenseCL; or `random`.
        **kwargs: Arguments of `DenseCL`.

    Raises:
        SettingError: The rank is invalid.

    Source: the paper's Fig. 9.
    """

    def __init__(self, match_rank: int | str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ranked = RankedMatch(match_rank, type(self).__name__, 'match_rank')

    def prepare(self, step: Step, generator: torch.Generator) -> Tensor | None:
        """Draws the key position of each query position, (B, P), for random matches; returns None otherwise."""
        height, width = self.dense_size(step.views[1].shape[-2:])
        return self.ranked.draw(step.views[1], height * width, generator)

    def match(self, step: Step) -> Tensor:
        """Returns the key position of each query position, (B, P)."""
        return self.ranked(step.student['map'], step.teacher['map'], step.extras)


@dataclass(frozen=True)
class RankedMasks(MIMMasks):
    """Masks of the global views, with random targets.

    Attributes:
        aligned: Index of the patch whose token is the target of each patch, (2 * B, h * w); None if the targets are
            chosen by rank.
    """

    aligned: Tensor | None = None


@MODELS.register_module()
class MisalignedIBOT(IBOT):
    """iBOT in which the target of a masked patch is another token of the teacher's view ("T@n", "Rand").

    The target is the token that is n-th nearest to the teacher's token of the patch, by cosine, or a random token of
    the view. The visible patches of `visible_weight` keep their own targets.

    Args:
        target_rank: n, at least 1, where 1 is the patch's own token, that is, iBOT; or `random`.
        **kwargs: Arguments of `IBOT`.

    Raises:
        SettingError: The rank is invalid.

    Source: the paper's Fig. 9.
    """

    def __init__(self, target_rank: int | str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ranked = RankedMatch(target_rank, type(self).__name__, 'target_rank')

    def prepare(self, step: Step, generator: torch.Generator) -> RankedMasks:
        """Draws the masks of the two global views and, for random targets, the targets."""
        masks = super().prepare(step, generator)
        return RankedMasks(**vars(masks), aligned=self.ranked.draw(masks.mask, masks.masked.mask.shape[1], generator))

    def target_positions(self, step: Step) -> Tensor:
        """Returns the flat index of the teacher's patch that is the target of each masked patch, (M,)."""
        index = self.ranked(step.teacher['tokens'], step.teacher['tokens'], step.extras.aligned)
        first = torch.arange(len(index), device=index.device)[:, None] * index.shape[1]
        return (first + index).flatten()[step.extras.masked.positions]
