"""Hooks of pre-training."""

from mmdecouple.engine.hooks.checkpoint_hook import DurableCheckpointHook
from mmdecouple.engine.hooks.coupling_hook import CouplingHook
from mmdecouple.engine.hooks.data_share_hook import DataShareTimerHook
from mmdecouple.engine.hooks.dry_run_hook import DryRunHook
from mmdecouple.engine.hooks.finite_loss_hook import FiniteLossHook, NonFiniteLoss
from mmdecouple.engine.hooks.graceful_stop_hook import GracefulStopHook
from mmdecouple.engine.hooks.quarantine_hook import QuarantineHook
from mmdecouple.engine.hooks.rank_meter_hook import RankMeterHook
from mmdecouple.engine.hooks.remarks_hook import RemarksHook
from mmdecouple.engine.hooks.seed_hook import SeedHook
from mmdecouple.engine.hooks.teacher_hook import TeacherHook
from mmdecouple.engine.hooks.watchdog_hook import WatchdogHook

__all__ = [
    'CouplingHook',
    'DataShareTimerHook',
    'DryRunHook',
    'DurableCheckpointHook',
    'FiniteLossHook',
    'GracefulStopHook',
    'NonFiniteLoss',
    'QuarantineHook',
    'RankMeterHook',
    'RemarksHook',
    'SeedHook',
    'TeacherHook',
    'WatchdogHook',
]
