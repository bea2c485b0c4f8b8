"""Built-in scenes as data sets, for training and, with boxes and masks, for measurements."""

from functools import cached_property
from typing import Any

import numpy as np

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.datasets.scenes import CLASSES, Layout, SceneSpec, draw_scene, scene_info
from mmdecouple.datasets.scenes.layout import draw_context
from mmdecouple.datasets.scenes.spec import MAX_OBJECTS, split_code
from mmdecouple.datasets.seeded import DATASET, SeededDataset
from mmdecouple.registry import DATASETS
from mmdecouple.utils.settings import Settings


def object_ids(index: int, count: int) -> np.ndarray:
    """Returns the ids of the objects of a scene, at least 1 and unique in a split, int64 `(count,)`."""
    return index * MAX_OBJECTS + 1 + np.arange(count, dtype=np.int64)


@DATASETS.register_module()
class SceneImages(SeededDataset):
    """Scenes for training, rendered on access.

    Args:
        num_images: Number of scenes, at least 1.
        pipeline: Transforms of a sample.
        scenes: Arguments of `SceneSpec`, including its own `seed`; None for the defaults.
        split: `train` or `val`; no scene belongs to both.
        seed: Seed of the draws of the transforms; None takes the seed of the run.

    Raises:
        UserError: A value is out of range.
    """

    def __init__(
        self,
        num_images: int,
        pipeline: list[dict],
        scenes: dict | None = None,
        split: str = 'train',
        seed: int | None = None,
    ) -> None:
        super().__init__(pipeline, seed=seed)
        self.num_images, self.spec, self.split = _checked(self, num_images, scenes, split)

    def __len__(self) -> int:
        return self.num_images

    def load(self, index: int) -> dict[str, Any]:
        """See `SeededDataset.load`."""
        return dict(
            img=draw_scene(self.spec, self.split, index).image,
            img_path=f'scene-{self.split}-{index:06d}',
            sample_idx=index,
            ori_shape=self.spec.size,
        )


@DATASETS.register_module()
class SceneObjects:
    """Scenes for measurements; implements `ObjectDataset`.

    The name ends with a digest of the scene parameters, so that a manifest cannot be used with other scenes.

    Args:
        num_images: Number of scenes, at least 1.
        split: `train` or `val`.
        scenes: Arguments of `SceneSpec`; None for the defaults.

    Raises:
        UserError: A value is out of range.
    """

    classes = tuple(kind.name for kind in CLASSES)
    notes = ()

    def __init__(self, num_images: int, split: str = 'val', scenes: dict | None = None) -> None:
        self.num_images, self.spec, self.split = _checked(self, num_images, scenes, split)
        self.name = self.origin = f'scenes-{split}-{self.spec.digest}'

    def __len__(self) -> int:
        return self.num_images

    @cached_property
    def background_labels(self) -> np.ndarray:
        """Index into `BACKGROUNDS` of each scene, int64 `(len(self),)`."""
        return np.array(
            [draw_context(self.spec, self.spec.generator(self.split, index))[1] for index in range(self.num_images)],
            np.int64,
        )

    def info(self, index: int) -> dict[str, Any]:
        """See `ObjectDataset.info`."""
        index = self._position(index)
        layout = scene_info(self.spec, self.split, index)
        height, width = self.spec.size
        return dict(
            image_id=index,
            height=height,
            width=width,
            iscrowd=np.zeros(len(layout.boxes), bool),
            areas=layout.areas.copy(),
            **_fields(layout, index),
        )

    def objects(self, index: int) -> ObjectImage:
        """See `ObjectDataset.objects`; masks contain visible pixels only and are therefore disjoint."""
        index = self._position(index)
        scene = draw_scene(self.spec, self.split, index)
        return ObjectImage(image=scene.image, masks=scene.layout.masks, image_id=index, **_fields(scene.layout, index))

    def _position(self, index: int) -> int:
        if not -self.num_images <= index < self.num_images:
            raise IndexError(f'SceneObjects: index {index} is outside [0, {self.num_images}).')
        return int(index) % self.num_images


def _fields(layout: Layout, index: int) -> dict[str, np.ndarray]:
    return dict(boxes=layout.boxes.copy(), labels=layout.labels, ids=object_ids(index, len(layout.boxes)))


def _checked(dataset: Any, num_images: int, scenes: dict | None, split: str) -> tuple:
    check = Settings(dataset, DATASET if isinstance(dataset, SeededDataset) else None)
    check.number('num_images', num_images, 1, whole=True)
    check.block('scenes', scenes, optional=True, typed=False)
    split_code(split)
    return num_images, SceneSpec.build(scenes), split
