"""Mask samplers: the settings of one kind of cut mask, drawn from an explicit generator."""

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from mmdecouple.utils.errors import shown
from mmdecouple.utils.settings import SettingError, Settings

from .blockwise import blockwise
from .cutout import cutout
from .random import random_cells
from .rcc import RULES, rcc
from .rectangle import rectangle
from .regions import check_regions, grid_regions, uniform
from .sampler_base import MaskSampler, Range, draw_ratio, ends

PRESETS = {
    'paper': dict(cut_ratio=(0.3, 0.5), grid=3, box_area=(0.15, 0.4), aspect=(0.5, 2.0), rule='area'),
    'release': dict(cut_ratio=(0.2, 0.6), grid=3, box_area=(0.12, 0.3), aspect=(0.5, 2.0), rule='release'),
}
"""Constants of RCC and Cutout, and the rule of RCC, by the name that the argument `preset` takes.

`paper`: App. E.2, with its box scale "(0.15, 4)" read as 0.15 to 0.4. `release`: the authors' code, where half of the
masks are empty and never used; `cut_ratio` is the range of the other half. Shipped configs write these constants out;
`preset` is a shorthand for Python callers, and for configs in checkpoints of earlier versions."""


@dataclass(kw_only=True)
class _RegionMask(MaskSampler):
    """Base class of the samplers that cut in regions; `RegionCollaborativeCutout` documents the arguments."""

    cut_ratio: Range | None = None
    grid: int | None = None
    box_area: Range | None = None
    aspect: Range | None = None
    preset: str = 'paper'

    def __post_init__(self) -> None:
        check = Settings(self)
        preset = PRESETS[check.choice('preset', self.preset, tuple(PRESETS))]
        for key in (field.name for field in fields(self)):
            if getattr(self, key) is None:
                setattr(self, key, preset[key])
        self.cut_ratio = check.span('cut_ratio', self.cut_ratio, minimum=0, maximum=1)
        self.box_area = check.span('box_area', self.box_area, above=0, maximum=1)
        self.aspect = check.span('aspect', self.aspect, above=0)
        check.number('grid', self.grid, 1, whole=True)

    def regions(
        self, batch_size: int, size: tuple[int, int], *, generator: torch.Generator, device: torch.device | str = 'cpu'
    ) -> Tensor:
        """Returns random grid regions in cells of a mask of size `(h, w)`, `(B, grid * grid, 4)`."""
        grid = self.grid
        assert isinstance(grid, int)
        if grid > min(size):
            Settings(self, self.config_key).refuse(
                'grid', f'must not exceed the shorter side of the mask of {size[0]} x {size[1]} cells, got {grid}'
            )
        return grid_regions(
            batch_size,
            size,
            grid=grid,
            area=ends(self.box_area),
            aspect=ends(self.aspect),
            generator=generator,
            device=device,
            dtype=self.dtype,
        )

    def _draw(
        self,
        batch_size: int,
        size: tuple[int, int],
        generator: torch.Generator,
        device: torch.device | str,
        regions: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the regions, one cut ratio per sample, and one pair of position draws per region."""
        if regions is None:
            regions = self.regions(batch_size, size, generator=generator, device=device)
        else:
            check_regions(regions, batch_size, size)
            regions = regions.to(device, self.dtype)
        ratio = draw_ratio(ends(self.cut_ratio), batch_size, generator, device, self.dtype)
        return regions, ratio, uniform((batch_size, regions.shape[1], 2), generator, device)


@dataclass(kw_only=True)
class RegionCollaborativeCutout(_RegionMask):
    """Draws RCC masks; see `rcc` for the algorithm.

    Args:
        cut_ratio: Fraction r_c of each region that is cut, in [0, 1]: a number, or `(low, high)` for one uniform draw
            per sample.
        grid: Boxes along each side of the view, from 1 to the shorter side of the mask; not used for given regions.
        box_area: Smallest and largest area of a grid box as a fraction of the view, in (0, 1].
        aspect: Smallest and largest width / height of a grid box, above 0.
        preset: `paper` or `release`: the values of `PRESETS` for all arguments that are None.
        rule: `area`, `release` (the authors' code, cell for cell) or `printed` (Algorithm 2 exactly as printed).

    Raises:
        SettingError: A value is out of range.
    """

    rule: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dtype = RULES[Settings(self).choice('rule', self.rule, tuple(RULES))].dtype

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample.

        Args:
            batch_size: Number of samples B.
            size: Mask size `(h, w)` in cells.
            generator: Source of all draws; a CPU generator gives the same masks on every device.
            device: Device of the masks.
            regions: Boxes x1, y1, x2, y2 in cells, `(B, K, 4)`; None draws grid regions.

        Returns:
            Bool tensor `(B, h, w)`, True where a cell is cut.

        Raises:
            UserError: The given regions have a wrong shape or, on the CPU, exceed the view; or the grid is finer than
                the mask.
        """
        regions, ratio, draws = self._draw(batch_size, size, generator, device, regions)
        return rcc(regions, ratio, size, draws, str(self.rule))


@dataclass(kw_only=True)
class Cutout(_RegionMask):
    """Draws Cutout masks; see `cutout` for the algorithm. The arguments are those of RCC without `rule`."""

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample; see `RegionCollaborativeCutout.sample`."""
        regions, ratio, draws = self._draw(batch_size, size, generator, device, regions)
        return cutout(regions, ratio, size, draws)


@dataclass(kw_only=True)
class Blockwise(MaskSampler):
    """Draws blockwise masks; see `blockwise`.

    Args:
        cut_ratio: Fraction of the view that is cut, in [0, 1]: a number, or `(low, high)` for one uniform draw per
            sample.

    """

    cut_ratio: Range = (0.3, 0.5)
    tries: ClassVar[int] = 64

    def __post_init__(self) -> None:
        self.cut_ratio = Settings(self).span('cut_ratio', self.cut_ratio, minimum=0, maximum=1)

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample, bool `(B, h, w)`; `regions` is ignored."""
        ratio = draw_ratio(ends(self.cut_ratio), batch_size, generator, device)
        return blockwise(ratio, size, uniform((batch_size, self.tries, 4), generator, device))


@dataclass(kw_only=True)
class RandomMask(MaskSampler):
    """Draws masks of single cells; see `random_cells`.

    Args:
        cut_ratio: Fraction of the view that is cut, in [0, 1]: a number, or `(low, high)` for one uniform draw per
            sample.

    Raises:
        SettingError: The ratio is out of range.
    """

    cut_ratio: Range = (0.4, 0.6)

    def __post_init__(self) -> None:
        self.cut_ratio = Settings(self).span('cut_ratio', self.cut_ratio, minimum=0, maximum=1)

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample, bool `(B, h, w)`; `regions` is ignored."""
        ratio = draw_ratio(ends(self.cut_ratio), batch_size, generator, device)
        draws = uniform((batch_size, size[0] * size[1]), generator, device)
        return random_cells(ratio, size, draws)


@dataclass(kw_only=True)
class Rectangle(MaskSampler):
    """Draws masks whose foreground is one rectangle; see `rectangle`.

    Args:
        area: Smallest and largest foreground as a fraction of the view, in (0, 1].
        aspect: Smallest and largest width / height of the foreground, above 0.

    Raises:
        SettingError: A value is out of range.
    """

    area: Range = (0.2, 0.6)
    aspect: Range = (2 / 3, 3 / 2)

    def __post_init__(self) -> None:
        check = Settings(self)
        self.area = check.span('area', self.area, above=0, maximum=1)
        self.aspect = check.span('aspect', self.aspect, above=0)

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draws one mask per sample, bool `(B, h, w)`; `regions` is ignored."""
        return rectangle(ends(self.area), ends(self.aspect), size, uniform((batch_size, 4), generator, device))


MASKS = {kind.__name__: kind for kind in (RegionCollaborativeCutout, Cutout, Blockwise, RandomMask, Rectangle)}
"""Mask samplers, by the name that the key `type` of a config takes."""


def build_mask(cfg: dict, key: str = 'model.decoupling.mask') -> MaskSampler:
    """Builds a mask sampler from its config.

    Args:
        cfg: Config such as `dict(type='RegionCollaborativeCutout', cut_ratio=0.4)`: a name in `MASKS` and arguments.
        key: Config key of `cfg`, for error messages.

    Returns:
        An object with `sample(batch_size, size, *, generator, device, regions)`, which returns a bool tensor
        `(B, h, w)`, True where a cell is cut.

    Raises:
        SettingError: The type or an argument is unknown, or a value is wrong; the message names the config key.
    """
    block, _, name = key.rpartition('.')
    settings = dict(Settings('mask', block).block(name, cfg) or {})
    kind = settings.pop('type')
    if not isinstance(kind, str) or kind not in MASKS:
        Settings('mask', key).refuse('type', f'must be one of {", ".join(MASKS)}, got {shown(kind)}')
    known = [field.name for field in fields(MASKS[kind])]
    for name in settings:
        if name not in known:
            Settings(kind, key).refuse(name, f'is not an argument of it; it takes {", ".join(known)}')
    try:
        sampler = MASKS[kind](**settings)
    except SettingError as error:
        raise error.at(key) from None
    sampler.config_key = key
    return sampler
