"""Views, two of which share a large part of their windows."""

from collections.abc import Sequence
from typing import Any

from mmdecouple.datasets.transforms.views import source_size
from mmdecouple.datasets.transforms.windowed_views import Window, WindowedViews, intersect
from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PartnerViews(WindowedViews):
    """`MultiView` that draws the windows of one pair of views until their common area is large enough.

    The other windows are drawn once, independently. If `tries` draws of the pair fail, its second window is replaced by
    a copy of the first, and the remark `no partner` is added.

    Args:
        views: One pipeline for each kind of view; its first transform must be a `WindowView`.
        num_views: Number of views of each kind.
        pair: Indices of the two views, which must differ.
        share: Smallest common area as a fraction of the area of the larger window, in (0, 1].
        tries: Largest number of draws of the pair, at least 1.

    Adds:
        views: As for `MultiView`.
        remarks: Tuple of str, with `no partner` if the second window was replaced.

    Raises:
        SettingError: A value is out of range.

    Source: `facebookresearch/PLRC` `PLRC/datasets/imagenet.py`, which keeps the last draw if all fail.
    """

    def __init__(
        self,
        views: list[list[dict]],
        num_views: list[int],
        pair: Sequence[int] = (0, 2),
        share: float = 0.5,
        tries: int = 100,
    ) -> None:
        super().__init__(views, num_views)
        self.pair = self.check.numbers('pair', pair, 2, minimum=0, maximum=len(self.crops) - 1, whole=True)
        if self.pair[0] == self.pair[1]:
            self.check.refuse('pair', f'must name two views, got {pair}')
        self.share = self.check.number('share', share, above=0, maximum=1)
        self.tries = self.check.number('tries', tries, 1, whole=True)

    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        size = source_size(results)
        windows = [crop.draw_window(*size) for crop in self.crops]
        first, second = self.pair
        results.setdefault('remarks', ())
        for attempt in range(self.tries):
            if attempt:
                windows[first], windows[second] = (self.crops[view].draw_window(*size) for view in self.pair)
            if _common_share(windows[first], windows[second]) >= self.share:
                return windows
        windows[second] = windows[first]
        results['remarks'] = (*results['remarks'], 'no partner')
        return windows


def _common_share(first: Window, second: Window) -> float:
    """Returns the common area of two windows as a fraction of the area of the larger one."""
    _, _, width, height = intersect(first, second)
    return max(width, 0) * max(height, 0) / max(first[2] * first[3], second[2] * second[3])
