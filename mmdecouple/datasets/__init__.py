from mmdecouple.datasets.objects import CocoObjects, ObjectImage
from mmdecouple.datasets.sampler import EpochSampler
from mmdecouple.datasets.scene_datasets import SceneImages, SceneObjects
from mmdecouple.datasets.seeded import SeededDataset
from mmdecouple.datasets.seeding import derive_seeds, sample_rng

__all__ = [
    'CocoObjects',
    'EpochSampler',
    'ObjectImage',
    'SceneImages',
    'SceneObjects',
    'SeededDataset',
    'derive_seeds',
    'sample_rng',
]
