"""Common parts of the mask samplers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .regions import uniform

Range = float | tuple[float, float]


class MaskSampler(ABC):
    """Base class of the samplers.

    Attributes:
        config_key: Place of the sampler in a config, for error messages; None for one that was built from Python.
        dtype: Precision in which regions and ratios are computed.
    """

    config_key: str | None = None
    dtype: torch.dtype = torch.float32

    @abstractmethod
    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample, bool `(B, h, w)`, True = cut; see `RegionCollaborativeCutout.sample`."""


def ends(value: Range | None) -> tuple[float, float]:
    """Returns both ends of a range that the constructor of a sampler has checked."""
    assert isinstance(value, tuple)
    return value


def draw_ratio(
    span: tuple[float, float],
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Returns one cut ratio per sample, uniform in `span`, `(B,)`."""
    return span[0] + (span[1] - span[0]) * uniform((batch_size,), generator, device).to(dtype)
