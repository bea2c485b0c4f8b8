"""Data sets of images, objects and proposals, and the built-in scenes."""

from mmdecouple.datasets.image_dataset import ImageDataset
from mmdecouple.datasets.objects import CocoObjects, ObjectImage
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.sampler import EpochSampler
from mmdecouple.datasets.scene_datasets import SceneImages, SceneObjects
from mmdecouple.datasets.seeded import SeededDataset
from mmdecouple.datasets.seeding import derive_seeds, sample_rng
from mmdecouple.datasets.sharded_images import ShardedImages
from mmdecouple.datasets.transforms import *  # noqa: F403

__all__ = [
    'CocoObjects',
    'EpochSampler',
    'ImageDataset',
    'ObjectImage',
    'SceneImages',
    'SceneObjects',
    'SeededDataset',
    'ShardedImages',
    'UnreadableImage',
    'derive_seeds',
    'read_image',
    'sample_rng',
]
