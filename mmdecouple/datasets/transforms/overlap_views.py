"""Views of which each shares a part of the image with every global one before it."""

from functools import reduce
from typing import Any

from mmdecouple.datasets.transforms.windowed_views import Window, WindowedViews, intersect
from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OverlapViews(WindowedViews):
    """``MultiView`` that draws each window anew until it overlaps every earlier global window.

    The views of the first pipeline are the global ones. Two global windows must share more than twice ``overlap``.
    Where ``tries`` windows fail, the last one is centered on the part that the earlier global windows have in common,
    as far as the image allows: the overlap is then certain, though perhaps smaller, and the remark ``no overlap`` is
    noted. (Windows that overlap in pairs always have a common part.)

    Args:
        views: One pipeline for each kind of view; its first transform must be a ``WindowView``.
        num_views: How many views each of them makes.
        overlap: Smallest overlap as a share of the image's area, in [0, 0.5).
        tries: Windows drawn for a view at most, >= 1.

    Adds:
        views: As ``MultiView``.
        remarks: Tuple of str; ``no overlap`` once for each view that had to be moved.

    Source: ``MkuuWaUjinga/leopart`` ``src/leopart_transforms.py``, which draws without a bound.
    """

    def __init__(self, views: list[list[dict]], num_views: list[int], overlap: float = 0.01, tries: int = 50) -> None:
        super().__init__(views, num_views)
        self.overlap = self.check.number('overlap', overlap, 0, below=0.5)
        self.tries = self.check.number('tries', tries, 1, whole=True)
        self.num_global = num_views[0]

    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        height, width = results['img'].shape[:2]
        windows: list[Window] = []
        for view, crop in enumerate(self.crops):
            earlier = windows[: min(view, self.num_global)]
            needed = (2 if view < self.num_global else 1) * self.overlap * height * width
            for _ in range(self.tries):
                window = crop.draw_window(height, width)
                if all(_area(intersect(window, other)) > needed for other in earlier):
                    break
            else:
                window = _center_on(reduce(intersect, earlier), window, height, width)
                results['remarks'] = (*results.get('remarks', ()), 'no overlap')
            windows.append(window)
        results.setdefault('remarks', ())
        return windows


def _area(window: Window) -> int:
    return max(window[2], 0) * max(window[3], 0)


def _center_on(target: Window, window: Window, height: int, width: int) -> Window:
    """The window moved so that its center is the target's, then into the image."""
    w, h = window[2:]
    x = round(target[0] + target[2] / 2 - w / 2)
    y = round(target[1] + target[3] / 2 - h / 2)
    return min(max(x, 0), width - w), min(max(y, 0), height - h), w, h
