"""Mask samplers: the settings of one kind of cut mask, and its draws from an explicit generator."""

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

PRESETS = {
    'paper': dict(cut_ratio=(0.3, 0.5), grid=3, box_area=(0.15, 0.4), aspect=(0.5, 2.0), rule='area'),
    'release': dict(cut_ratio=(0.2, 0.6), grid=3, box_area=(0.12, 0.3), aspect=(0.5, 2.0), rule='release'),
}
"""Constants of RCC and Cutout, and the rule of RCC. `paper`: App. E.2, its box scale "(0.15, 4)" read as
0.15 to 0.4. `release`: the authors' code, where half of the masks are empty and never used; the range is
that of the others."""

Range = float | tuple[float, float]


def draw_ratio(
    span: tuple[float, float],
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """One cut ratio a sample, uniform in `span`: `(B,)`."""
    return span[0] + (span[1] - span[0]) * uniform((batch_size,), generator, device).to(dtype)


@dataclass(kw_only=True)
class _RegionMask:
    """What masks that cut in regions share: the ratio, the regions, and a preset for both.

    Args:
        cut_ratio: Share r_c of each region that is cut, in [0, 1]: a number, or `(low, high)` for
            one uniform draw a sample. None takes the preset's.
        grid: Boxes along each side of the view, at least 1 and at most the shorter side of the
            mask. None takes the preset's. Not used when regions are given.
        box_area: Smallest and largest area of a grid box as a share of the view, in (0, 1]. None
            takes the preset's.
        aspect: Smallest and largest width / height of a grid box. None takes the preset's.
        preset: `paper` or `release`, see `PRESETS`.
    """

    cut_ratio: Range | None = None
    grid: int | None = None
    box_area: Range | None = None
    aspect: Range | None = None
    preset: str = 'paper'
    config_key: ClassVar[str | None] = None
    dtype: ClassVar[torch.dtype] = torch.float32

    def __post_init__(self) -> None:
        check = Settings(self)
        preset = PRESETS[check.choice('preset', self.preset, tuple(PRESETS))]
        for key in (field.name for field in fields(self)):
            if getattr(self, key) is None:
                setattr(self, key, preset[key])
        self.cut_ratio = check.span('cut_ratio', self.cut_ratio, least=0, most=1)
        self.box_area = check.span('box_area', self.box_area, above=0, most=1)
        self.aspect = check.span('aspect', self.aspect, above=0)
        check.number('grid', self.grid, 1, whole=True)

    def regions(
        self, batch_size: int, size: tuple[int, int], *, generator: torch.Generator, device: torch.device | str = 'cpu'
    ) -> Tensor:
        """Random grid regions `(B, grid * grid, 4)` in cells of a mask of size `(h, w)`."""
        if self.grid > min(size):
            Settings(self, self.config_key).refuse(
                'grid', f'must not exceed the shorter side of the mask of {size[0]} x {size[1]} cells, got {self.grid}'
            )
        return grid_regions(
            batch_size,
            size,
            grid=self.grid,
            area=self.box_area,
            aspect=self.aspect,
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
        """Regions, one cut ratio a sample, and one pair of position draws a region."""
        if regions is None:
            regions = self.regions(batch_size, size, generator=generator, device=device)
        else:
            check_regions(regions, batch_size, size)
            regions = regions.to(device, self.dtype)
        ratio = draw_ratio(self.cut_ratio, batch_size, generator, device, self.dtype)
        return regions, ratio, uniform((batch_size, regions.shape[1], 2), generator, device)


@dataclass(kw_only=True)
class RegionCollaborativeCutout(_RegionMask):
    """Draws RCC masks: see `rcc` for the rule and `_RegionMask` for the other settings.

    Args:
        rule: `area`; `release` for the authors' code, cell for cell; `printed` for Algorithm 2 to the
            letter. None takes the preset's: `area` of `paper`.
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
        """Draw one mask a sample.

        Args:
            batch_size: B.
            size: Mask size `(h, w)` in cells.
            generator: Source of every draw; a CPU generator gives the same masks on every device.
            device: Where the masks are made.
            regions: `(B, K, 4)` x1, y1, x2, y2 in cells; None draws grid regions.

        Returns:
            Bool `(B, h, w)`, True = cut.

        Raises:
            ValueError: Given regions of a wrong shape or, on the CPU, outside the view; a grid
                finer than the mask.
        """
        regions, ratio, draws = self._draw(batch_size, size, generator, device, regions)
        return rcc(regions, ratio, size, draws, self.rule)


@dataclass(kw_only=True)
class Cutout(_RegionMask):
    """Draws Cutout masks: see `cutout` for the rule and `_RegionMask` for the settings."""

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draw one mask a sample, all as in `RegionCollaborativeCutout.sample`."""
        regions, ratio, draws = self._draw(batch_size, size, generator, device, regions)
        return cutout(regions, ratio, size, draws)


@dataclass(kw_only=True)
class Blockwise:
    """Draws blockwise masks: see `blockwise`.

    Args:
        cut_ratio: Share of the view that is cut, in [0, 1]: a number, or `(low, high)` for one
            uniform draw a sample.
    """

    cut_ratio: Range = (0.3, 0.5)
    tries: ClassVar[int] = 64

    def __post_init__(self) -> None:
        self.cut_ratio = Settings(self).span('cut_ratio', self.cut_ratio, least=0, most=1)

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draw one mask a sample, bool `(B, h, w)`; `regions` has no part in it."""
        ratio = draw_ratio(self.cut_ratio, batch_size, generator, device)
        return blockwise(ratio, size, uniform((batch_size, self.tries, 4), generator, device))


@dataclass(kw_only=True)
class RandomMask:
    """Draws masks of single cells: see `random_cells`.

    Args:
        cut_ratio: Share of the view that is cut, in [0, 1]: a number, or `(low, high)` for one
            uniform draw a sample.
    """

    cut_ratio: Range = (0.4, 0.6)

    def __post_init__(self) -> None:
        self.cut_ratio = Settings(self).span('cut_ratio', self.cut_ratio, least=0, most=1)

    def sample(
        self,
        batch_size: int,
        size: tuple[int, int],
        *,
        generator: torch.Generator,
        device: torch.device | str = 'cpu',
        regions: Tensor | None = None,
    ) -> Tensor:
        """Draw one mask a sample, bool `(B, h, w)`; `regions` has no part in it."""
        ratio = draw_ratio(self.cut_ratio, batch_size, generator, device)
        draws = uniform((batch_size, size[0] * size[1]), generator, device)
        return random_cells(ratio, size, draws)


@dataclass(kw_only=True)
class Rectangle:
    """Draws masks whose foreground is one rectangle: see `rectangle`.

    Args:
        area: Smallest and largest foreground as a share of the view, in (0, 1].
        aspect: Smallest and largest width / height of the foreground.
    """

    area: Range = (0.2, 0.6)
    aspect: Range = (2 / 3, 3 / 2)

    def __post_init__(self) -> None:
        check = Settings(self)
        self.area = check.span('area', self.area, above=0, most=1)
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
        """Draw one mask a sample, bool `(B, h, w)`; `regions` has no part in it."""
        return rectangle(self.area, self.aspect, size, uniform((batch_size, 4), generator, device))


MASKS = {kind.__name__: kind for kind in (RegionCollaborativeCutout, Cutout, Blockwise, RandomMask, Rectangle)}


def build_mask(cfg: dict, key: str = 'model.decoupling.mask'):
    """The sampler that a config block describes.

    Args:
        cfg: `dict(type='RegionCollaborativeCutout', ...)`: the name of one of `MASKS`, and its
            settings.
        key: Where the block stands in the config, for error messages.

    Returns:
        An object with `sample(batch_size, size, *, generator, device, regions) -> (B, h, w)` bool,
        True = cut.

    Raises:
        ValueError: Unknown type, unknown setting, or a wrong value, in one line that names the
            config key.
    """
    block, _, name = key.rpartition('.')
    settings = dict(Settings('mask', block).block(name, cfg))
    kind = settings.pop('type')
    if not isinstance(kind, str) or kind not in MASKS:
        Settings('mask', key).refuse('type', f'must be one of {", ".join(MASKS)}, got {shown(kind)}')
    known = [field.name for field in fields(MASKS[kind])]
    for name in settings:
        if name not in known:
            Settings(kind, key).refuse(name, f'is no setting of it; it has {", ".join(known)}')
    try:
        sampler = MASKS[kind](**settings)
    except SettingError as error:
        raise error.at(key) from None
    sampler.config_key = key
    return sampler
