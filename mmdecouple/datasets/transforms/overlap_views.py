"""Views that overlap with all earlier global views."""

from functools import reduce
from typing import Any

from mmdecouple.datasets.transforms.views import source_size
from mmdecouple.datasets.transforms.windowed_views import Window, WindowedViews, intersect
from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OverlapViews(WindowedViews):
    """`MultiView` that draws each window until it overlaps with all earlier global windows.

    The views of the first pipeline are the global ones. Two global windows must overlap by more than twice `overlap`.
    If `tries` windows fail, the last one is centered on the common part of the earlier global windows, as far as the
    image allows. This guarantees an overlap, which may be smaller than required, and adds the remark `no overlap`.
    (Windows that overlap in pairs always have a common part.)

    Args:
        views: One pipeline for each kind of view; its first transform must be a `WindowView`.
        num_views: Number of views of each kind.
        overlap: Smallest overlap as a fraction of the area of the image, in [0, 0.5).
        tries: Largest number of windows to draw for a view, at least 1.

    Adds:
        views: As for `MultiView`.
        remarks: Tuple of str, with `no overlap` for each view that was moved.

    Raises:
        SettingError: A value is out of range.

    Source: `MkuuWaUjinga/leopart` `src/leopart_transforms.py`, which has no limit on the number of draws.
    """

    def __init__(self, views: list[list[dict]], num_views: list[int], overlap: float = 0.01, tries: int = 50) -> None:
        super().__init__(views, num_views)
        self.overlap = self.check.number('overlap', overlap, 0, below=0.5)
        self.tries = self.check.number('tries', tries, 1, whole=True)
        self.num_global = num_views[0]

    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        height, width = source_size(results)
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
    """Moves a window to the center of the target, and then into the image."""
    w, h = window[2:]
    x = round(target[0] + target[2] / 2 - w / 2)
    y = round(target[1] + target[3] / 2 - h / 2)
    return min(max(x, 0), width - w), min(max(y, 0), height - h), w, h
