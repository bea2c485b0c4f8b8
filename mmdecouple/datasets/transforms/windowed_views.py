"""Views whose windows are drawn together before the views are created."""

from abc import abstractmethod
from typing import Any

from mmengine.dataset import Compose

from mmdecouple.datasets.transforms.views import MultiView, WindowView

Window = tuple[int, int, int, int]


class WindowedViews(MultiView):
    """`MultiView` that draws all windows of an image before it creates the views.

    Args:
        views: One pipeline (list of transform configs) for each kind of view; its first transform must be a
            `WindowView`.
        num_views: Number of views of each kind.

    Raises:
        SettingError: A pipeline does not begin with a `WindowView`.
    """

    def __init__(self, views: list[list[dict]], num_views: list[int]) -> None:
        super().__init__(views, num_views)
        self.crops: list[WindowView] = [pipeline.transforms[0] for pipeline in self.pipelines]
        for crop in self.crops:
            if not isinstance(crop, WindowView):
                self.check.refuse(
                    'views',
                    'must each begin with a transform that crops the window (RandomResizedCropView, WholeImageView), '
                    f'got {type(crop).__name__}',
                )
        self.rest = [Compose(pipeline.transforms[1:]) for pipeline in self.pipelines]

    @abstractmethod
    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        """Draws the windows (x, y, w, h) of all views in source pixels; may add remarks to the results."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        windows = self.draw_windows(results)
        source = dict(results)
        results['views'] = [
            rest(crop.show(dict(source), window)) for crop, rest, window in zip(self.crops, self.rest, windows)
        ]
        del results['img']
        return results


def intersect(first: Window, second: Window) -> Window:
    """Returns the common window of two windows; w or h is at most 0 if there is none."""
    x, y = max(first[0], second[0]), max(first[1], second[1])
    return (
        x,
        y,
        min(first[0] + first[2], second[0] + second[2]) - x,
        min(first[1] + first[3], second[1] + second[3]) - y,
    )
