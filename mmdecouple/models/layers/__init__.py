"""Layers shared by several methods."""

from .backbone_freezing import BackboneFreezing
from .batch_shuffle import batch_shuffle, batch_unshuffle
from .center import Center
from .embedding_queue import EmbeddingQueue
from .epoch_dependent import EpochDependent, epoch_dependent
from .lora import LoRA, merge_in_checkpoints
from .negative_queue import NegativeQueue
from .point_affinity import PointAffinity
from .recomputation import count_batches_once
from .split_bn import SplitBN
from .teacher_temperature import TeacherTemperature

__all__ = [
    'BackboneFreezing',
    'Center',
    'EmbeddingQueue',
    'EpochDependent',
    'LoRA',
    'NegativeQueue',
    'PointAffinity',
    'SplitBN',
    'TeacherTemperature',
    'batch_shuffle',
    'batch_unshuffle',
    'count_batches_once',
    'epoch_dependent',
    'merge_in_checkpoints',
]
