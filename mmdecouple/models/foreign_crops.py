"""Crops of images, each beside a strip of another image."""

from typing import NamedTuple

import torch
from torch import Tensor

SIDES = ('left', 'top', 'right', 'bottom')


def draw_boxes(
    count: tuple[int, int], scale: tuple[float, float], aspect: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Draws crop boxes; a box that would leave the image is moved to its edge.

    Args:
        count: Images B and crops of each image K.
        scale: Least and largest area as a share of the image, drawn uniformly, in (0, 1].
        aspect: Least and largest ratio of width to height, drawn uniformly in its logarithm; the largest box must fit.
        generator: Source of the draws, on the CPU.

    Returns:
        x1, y1, x2, y2 as fractions of the image, (B, K, 4).

    Source: `CongpeiQiu/UniRefiner method/crops.py` (`sample_random_crop_boxes`).
    """
    area, shape, center_x, center_y = torch.rand(4, *count, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * area
    low, high = torch.tensor(aspect).log()
    shape = (low + (high - low) * shape).exp()
    width, height = (area * shape).sqrt(), (area / shape).sqrt()
    left, top = (
        (center - size / 2).clamp(min=0).minimum(1 - size) for center, size in ((center_x, width), (center_y, height))
    )
    return torch.stack([left, top, left + width, top + height], dim=2)


class Strip(NamedTuple):
    """Strip of foreign content along one side of a crop.

    Attributes:
        side: One of `SIDES`.
        width: Width in patches.
    """

    side: str
    width: int

    @classmethod
    def draw(cls, patches: int, ratio: float, generator: torch.Generator) -> 'Strip':
        """Draws the side; the width is floor(`ratio` * `patches`), rounded up to an even number in [2, `patches`].

        Args:
            patches: Patches along a side of the crop, at least 2.
            ratio: Width as a share of the side, in (0, 1].
            generator: Source of the draw, on the CPU.
        """
        side = SIDES[int(torch.randint(len(SIDES), (), generator=generator))]
        return cls(side, min(max(2 * -(-int(patches * ratio) // 2), 2), patches))

    def beside(self, crops: Tensor, foreign: Tensor, patch: int) -> Tensor:
        """Places each crop beside the strip that is at the same side of a foreign image; neither is resized.

        Args:
            crops: Normalized crops, (N, 3, H, W).
            foreign: Normalized foreign images, (N, 3, H, W).
            patch: Pixels of a patch.

        Returns:
            Images, (N, 3, H', W'), where H' or W' is larger by the strip.

        Source: `CongpeiQiu/UniRefiner method/crops.py` (`compose_crop_with_background`).
        """
        pixels, dim = self.width * patch, 2 + self._axis
        strip = foreign.narrow(dim, 0 if self._first else foreign.shape[dim] - pixels, pixels)
        return torch.cat([strip, crops] if self._first else [crops, strip], dim=dim)

    def split(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Separates the patch tokens of the images that `beside` returns.

        Args:
            tokens: Tokens in row-major order, (N, P + S, C).
            grid: Patches (h, w) of a crop.

        Returns:
            The tokens of the crop, (N, P, C), and those of the strip, (N, S, C).
        """
        sizes = [side + self.width * (axis == self._axis) for axis, side in enumerate(grid)]
        tokens, length = tokens.unflatten(1, sizes), grid[self._axis]
        order = [self.width, length] if self._first else [length, self.width]
        parts = [part.flatten(1, 2) for part in tokens.split(order, dim=1 + self._axis)]
        return (parts[1], parts[0]) if self._first else (parts[0], parts[1])

    @property
    def _axis(self) -> int:
        return int(self.side in ('left', 'right'))

    @property
    def _first(self) -> bool:
        return self.side in ('left', 'top')
