"""Views of an image with boxes of the same proposals."""

from typing import Any

import numpy as np
import torch

from mmdecouple.datasets.transforms.windowed_views import Window, WindowedViews, intersect
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.errors import shown
from mmdecouple.utils.geometry import map_boxes

NO_PROPOSAL, NO_OVERLAP = 'no proposal', 'no overlap'


@TRANSFORMS.register_module()
class BoxViews(WindowedViews):
    """`MultiView` that also draws, for each pair of views, K boxes that are visible in both.

    The candidates of a pair are the proposals that intersect the common part of its two windows. Of these, `num_boxes`
    are drawn without replacement. If a pair has fewer than `common` candidates, all windows are drawn again, with half
    the requirement each time (at least 1), up to `tries` times. The boxes are clipped to each window, flipped with it,
    and repeated at random up to K. Boxes with the same id show the same proposal; ids count from 1 within an image.

    An image without proposals gets one, the whole image (remark `no proposal`). A pair without candidates gets K copies
    of the box of the whole view, with id 1, in both views (remark `no overlap`).

    Coordinates are continuous: pixel i covers [i, i + 1), and a box as wide as its view extends from 0 to 1. SoCo
    includes the last column (x2 = x1 + w - 1) and divides by the width, so that its boxes end one source pixel earlier,
    at (w - 1) / w. SoCo places its cutouts at boxes before the flip; the boxes here always refer to the flipped view.

    Args:
        views: One pipeline for each kind of view; its first transform must be a `WindowView`.
        num_views: Number of views of each kind.
        num_boxes: Number of boxes K, at least 1.
        common: Required number of candidates of each pair, in [1, K]; None for K // 2, but at least 1.
        tries: Largest number of draws of the windows, at least 1.
        pairs: Pairs of view indices that share boxes.
        jitter_prob: Probability that a box is changed in the first view of its pair, in [0, 1].
        jitter: Largest change of x, y, w and h as a fraction of the w and h of the box, in [0, 0.5).

    Requires:
        proposals: x1, y1, x2, y2 in source pixels, float32 `(N, 4)`.

    Adds:
        views: As for `MultiView`.
        boxes: x1, y1, x2, y2 as fractions of the width and height of the view, in [0, 1], float32 `(V, K, 4)` for one
            pair of two views, or `(P, 2, K, 4)` for P > 1 pairs.
        box_ids: Ids of the boxes, int64, with the shape of `boxes` without its last axis.
        remarks: Tuple of str.

    Raises:
        SettingError: A value is out of range.

    Source: `hologerry/SoCo` `contrast/data/dataset.py` (`ImageFolderImageAsymBboxCutout` and
    `ImageFolderImageAsymBboxAwareMultiJitter1`) and `bboxs_utils.py`.
    """

    def __init__(
        self,
        views: list[list[dict]],
        num_views: list[int],
        num_boxes: int = 4,
        common: int | None = None,
        tries: int = 5,
        pairs: tuple[tuple[int, int], ...] = ((0, 1),),
        jitter_prob: float = 0.0,
        jitter: float = 0.1,
    ) -> None:
        super().__init__(views, num_views)
        check = self.check
        self.num_boxes = check.number('num_boxes', num_boxes, 1, whole=True)
        self.common = check.number(
            'common', max(num_boxes // 2, 1) if common is None else common, 1, num_boxes, whole=True
        )
        self.tries = check.number('tries', tries, 1, whole=True)
        if not isinstance(pairs, (list, tuple)) or not pairs:
            check.refuse('pairs', f'must be a list of pairs of views, got {shown(pairs)}')
        self.pairs = [
            check.numbers(f'pairs[{index}]', pair, 2, minimum=0, maximum=len(self.crops) - 1, whole=True)
            for index, pair in enumerate(pairs)
        ]
        self.jitter_prob = check.number('jitter_prob', jitter_prob, 0, 1)
        self.jitter = check.number('jitter', jitter, 0, below=0.5)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['ori_shape']
        remarks = []
        if len(results['proposals']) == 0:
            results['proposals'] = np.array([[0, 0, width, height]], np.float32)
            remarks.append(NO_PROPOSAL)
        super().transform(results)
        boxes = [self._show(results, pair, picked) for pair, picked in zip(self.pairs, results.pop('picked'))]
        if any(found is None for found in boxes):
            remarks.append(NO_OVERLAP)
        filled = [found or self._whole_views() for found in boxes]
        coordinates, ids = (np.stack(parts) for parts in zip(*filled))
        one = len(self.pairs) == 1
        results['boxes'], results['box_ids'] = (coordinates[0], ids[0]) if one else (coordinates, ids)
        results['remarks'] = (*results.get('remarks', ()), *remarks)
        return results

    def draw_windows(self, results: dict[str, Any]) -> list[Window]:
        needed = self.common
        for _ in range(self.tries):
            windows = [crop.draw_window(*results['ori_shape']) for crop in self.crops]
            picked = [self._pick(results['proposals'], intersect(windows[a], windows[b])) for a, b in self.pairs]
            if min(map(len, picked)) >= needed:
                break
            needed = max(needed // 2, 1)
        results['picked'] = picked
        return windows

    def _pick(self, proposals: np.ndarray, window: Window) -> np.ndarray:
        """Returns the indices of at most K random proposals that intersect the window."""
        meets = _meets(proposals, window)
        if min(window[2:]) <= 0:
            meets[:] = False
        return np.random.permutation(np.flatnonzero(meets))[: self.num_boxes]

    def _show(
        self, results: dict[str, Any], pair: tuple[int, int], picked: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if len(picked) == 0:
            return None
        coordinates, ids = [], []
        for side, view in enumerate(results['views'][index] for index in pair):
            boxes = results['proposals'][picked]
            if side == 0 and self.jitter_prob:
                boxes = self._jitter(boxes, view['crop_window'])
            order = np.arange(self.num_boxes)
            order[len(picked) :] = np.random.randint(len(picked), size=max(self.num_boxes - len(picked), 0))
            geometry = torch.tensor([*view['crop_window'], view['flip'], *results['ori_shape']], dtype=torch.float64)
            mapped = map_boxes(torch.from_numpy(boxes[order]).double(), geometry, (1, 1), to='view')
            coordinates.append(mapped.clamp(0, 1).float().numpy())
            ids.append(picked[order] + 1)
        return np.stack(coordinates), np.stack(ids)

    def _jitter(self, boxes: np.ndarray, window: Window) -> np.ndarray:
        """Moves and scales the boxes, except those that would leave the window."""
        sides = boxes[:, 2:] - boxes[:, :2]
        change = np.random.uniform(-self.jitter, self.jitter, boxes.shape) * np.tile(sides, 2)
        corner = boxes[:, :2] + change[:, :2]
        moved = np.concatenate([corner, corner + sides + change[:, 2:]], axis=1).astype(np.float32)
        chosen = (np.random.rand(len(boxes)) < self.jitter_prob) & _meets(moved, window)
        return np.where(chosen[:, None], moved, boxes)

    def _whole_views(self) -> tuple[np.ndarray, np.ndarray]:
        boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (2, self.num_boxes, 1))
        return boxes, np.ones((2, self.num_boxes), np.int64)


def _meets(boxes: np.ndarray, window: Window) -> np.ndarray:
    x, y, w, h = window
    return (boxes[:, 0] < x + w) & (boxes[:, 2] > x) & (boxes[:, 1] < y + h) & (boxes[:, 3] > y)
