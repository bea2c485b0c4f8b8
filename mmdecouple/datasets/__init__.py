from mmdecouple.datasets.sampler import EpochSampler
from mmdecouple.datasets.seeded import SeededDataset
from mmdecouple.datasets.seeding import derive_seeds, sample_rng

__all__ = ['EpochSampler', 'SeededDataset', 'derive_seeds', 'sample_rng']
