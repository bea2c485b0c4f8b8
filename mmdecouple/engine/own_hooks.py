"""Hooks that every run has; a config can configure them and add others, but cannot remove them."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import CheckpointHook, Hook, IterTimerHook

from mmdecouple.engine.hooks import (
    DryRunHook,
    DurableCheckpointHook,
    FiniteLossHook,
    GracefulStopHook,
    QuarantineHook,
    RankMeterHook,
    RemarksHook,
    SeedHook,
    TeacherHook,
    WatchdogHook,
)
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError

OWN = (
    DryRunHook,
    FiniteLossHook,
    SeedHook,
    TeacherHook,
    QuarantineHook,
    RemarksHook,
    RankMeterHook,
    WatchdogHook,
    GracefulStopHook,
)
_CHECKPOINT = dict(type='DurableCheckpointHook', interval=1)
# mmengine's default hooks, and the subclasses that replace them.
_REPLACED = dict(
    checkpoint=(CheckpointHook, 'DurableCheckpointHook', _CHECKPOINT),
    timer=(IterTimerHook, 'DataShareTimerHook', dict(type='DataShareTimerHook')),
)


def own_hooks(
    default_hooks: dict[str, Hook | dict | None] | None, custom_hooks: list[Hook | dict] | None
) -> tuple[dict[str, Hook | dict | None], list[Hook | dict]]:
    """Returns the hooks of a run: those of the config, and each class of `OWN` once.

    A hook in `custom_hooks` that is an instance of a class in `OWN`, or of a subclass, replaces the default one; of
    several, the last is used. mmengine's checkpoint hook and timer are replaced by `DurableCheckpointHook` and
    `DataShareTimerHook`, which take the same arguments.

    Args:
        default_hooks: Config key default_hooks.
        custom_hooks: Config key custom_hooks.

    Returns:
        The complete default hooks and custom hooks.

    Raises:
        UserError: `default_hooks.param_scheduler` is None, so that no schedule would be applied.
    """
    defaults = dict(default_hooks or {})
    if defaults.get('param_scheduler', True) is None:
        raise UserError(
            'default_hooks.param_scheduler must not be None: param_scheduler would have no effect. For a constant '
            'learning rate, set the config key param_scheduler=None.'
        )
    for name, (replaced, ours, default) in _REPLACED.items():
        hook = defaults.setdefault(name, dict(default))
        if isinstance(hook, dict) and _class(hook) is replaced:
            defaults[name] = dict(hook, type=ours)
    own: dict[type, Hook | dict] = {kind: dict(type=kind) for kind in OWN}
    added = []
    for hook in custom_hooks or []:
        kind = next((kind for kind in OWN if issubclass(_class(hook), kind)), None)
        if kind is None:
            added.append(hook)
        else:
            own[kind] = hook
    return defaults, [*own.values(), *added]


def unsaved(checkpoint: Hook | dict | None, record: dict[str, Any]) -> Iterator[str]:
    """Yields one line for each limitation of a run with this checkpoint hook.

    Args:
        checkpoint: Checkpoint hook, or its config; None for none.
        record: Record of the run (`record_of`); empty if it does not train.
    """
    if checkpoint is None:
        yield 'default_hooks.checkpoint is None: this run saves nothing, unless it is interrupted by a signal.'
        return
    options = checkpoint if isinstance(checkpoint, dict) else vars(checkpoint)
    if options.get('interval', -1) < 1:
        saved = 'only its last checkpoint' if options.get('save_last', True) else 'nothing'
        yield f'default_hooks.checkpoint.interval is not positive: this run saves {saved}.'
    elif (apart := _apart_from_steps(options, record)) is not None:
        yield (
            f'default_hooks.checkpoint saves every {apart} iterations, inside an accumulation of '
            f'{record["accumulative_counts"]} (optim_wrapper.accumulative_counts): a resume loses the gradients of the '
            'iterations since the last step; set interval, with by_epoch=False, to a multiple of it.'
        )
    if not options.get('save_optimizer', True):
        yield 'default_hooks.checkpoint.save_optimizer=False: --resume cannot continue from these checkpoints.'
    if options.get('out_dir') is not None:
        yield (
            'default_hooks.checkpoint.out_dir is set, but --resume searches the work dir only; give the checkpoint '
            'to continue from (--resume FILE).'
        )
    if isinstance(checkpoint, Hook) and not isinstance(checkpoint, DurableCheckpointHook):
        yield (
            f'default_hooks.checkpoint is a {type(checkpoint).__name__}: if the run is killed while it saves, the last '
            'checkpoint can be lost; use DurableCheckpointHook.'
        )


def _apart_from_steps(options: dict[str, Any], record: dict[str, Any]) -> int | None:
    """Returns the iterations between checkpoints if they are not a multiple of those of a step."""
    counts, batches = record.get('accumulative_counts') or 1, record.get('batches')
    apart = options['interval'] * (batches or 0) if options.get('by_epoch', True) else options['interval']
    return apart if apart % counts else None


def _class(hook: Hook | dict) -> type:
    if not isinstance(hook, dict):
        return type(hook)
    kind = hook.get('type')
    found = HOOKS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else type(None)
