"""Views of which one shares most of its window with another."""

from collections.abc import Sequence
from typing import Any

from mmdecouple.datasets.transforms.windowed_views import Window, WindowedViews, intersect
from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PartnerViews(WindowedViews):
    """``MultiView`` that draws the windows of one pair of views together until they share enough.

    The other windows are drawn once, independently. Where ``tries`` draws of the pair fail, its second window becomes
    the first one, and the remark ``no partner`` is noted.

    Args:
        views: One pipeline for each kind of view; its first transform must be a ``WindowView``.
        num_views: How many views each of them makes.
        pair: Indices of the two views.
        share: Least common area as a share of the larger window's, in (0, 1].
        tries: Draws of the pair at most, >= 1.

    Adds:
        views: As ``MultiView``.
        remarks: Tuple of str.

    Source: ``facebookresearch/PLRC`` ``PLRC/datasets/imagenet.py``, which keeps the last draw where all fail.
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
        self.pair = self.check.numbers('pair', pair, 2, least=0, most=len(self.crops) - 1, whole=True)
        if self.pair[0] == self.pair[1]:
            self.check.refuse('pair', f'must name two views, got {pair}')
        self.share = self.check.number('share', share, above=0, most=1)
        self.tries = self.check.number('tries', tries, 1, whole=True)

    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        size = results['img'].shape[:2]
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
    """Common area of two windows over the larger one's."""
    _, _, width, height = intersect(first, second)
    return max(width, 0) * max(height, 0) / max(first[2] * first[3], second[2] * second[3])
