"""Runner, hooks, optimizer wrappers and schedules that extend mmengine for pre-training."""

from mmdecouple.engine.gradients import CollapsedScale, NonFiniteGradient
from mmdecouple.engine.hooks import *  # noqa: F403
from mmdecouple.engine.lars import SoCoLARS
from mmdecouple.engine.log_processor import RawLogProcessor
from mmdecouple.engine.loops import ResumableEpochLoop
from mmdecouple.engine.optim_constructor import DecayGroupsConstructor
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.engine.runner import PretrainRunner
from mmdecouple.engine.schedulers import WarmupCosineLR
from mmdecouple.runs.resumable import find_resumable
from mmdecouple.runs.startup import AtomicLocalBackend
from mmdecouple.weights.checkpoint import read_checkpoint, weights_only_loading
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeCheckpoint
from mmdecouple.weights.loading import load_weights

__all__ = [
    'AtomicLocalBackend',
    'CollapsedScale',
    'DamagedCheckpoint',
    'DecayGroupsConstructor',
    'NonFiniteGradient',
    'PrecisionOptimWrapper',
    'PretrainRunner',
    'RawLogProcessor',
    'ResumableEpochLoop',
    'SoCoLARS',
    'UnsafeCheckpoint',
    'WarmupCosineLR',
    'find_resumable',
    'load_weights',
    'read_checkpoint',
    'weights_only_loading',
]
