"""The hooks that no run can do without; a config adds to them and sets them up, and cannot leave one out."""

from collections.abc import Iterator

from mmengine.hooks import CheckpointHook, Hook

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
)
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError

OWN = (DryRunHook, FiniteLossHook, SeedHook, TeacherHook, QuarantineHook, RemarksHook, RankMeterHook, GracefulStopHook)
_CHECKPOINT = dict(type='DurableCheckpointHook', interval=1)


def own_hooks(
    default_hooks: dict[str, Hook | dict | None] | None, custom_hooks: list[Hook | dict] | None
) -> tuple[dict[str, Hook | dict | None], list[Hook | dict]]:
    """The hooks of a run: those of the config, and each of ``OWN`` once.

    A hook of ``custom_hooks`` that is one of ``OWN``, or a subclass of one, takes its place; of several the last
    counts. mmengine's own checkpoint hook becomes ``DurableCheckpointHook``, which takes the same arguments.

    Args:
        default_hooks: Of the config.
        custom_hooks: Of the config.

    Returns:
        Both, complete.

    Raises:
        UserError: ``default_hooks.param_scheduler`` is None, so that no schedule would ever be followed.
    """
    defaults = dict(default_hooks or {})
    if defaults.get('param_scheduler', True) is None:
        raise UserError(
            'default_hooks.param_scheduler must not be None: the learning rate would never follow '
            'param_scheduler. Set the config key param_scheduler=None for a constant one.'
        )
    checkpoint = defaults.setdefault('checkpoint', dict(_CHECKPOINT))
    if isinstance(checkpoint, dict) and _class(checkpoint) is CheckpointHook:
        defaults['checkpoint'] = dict(checkpoint, type='DurableCheckpointHook')
    own: dict[type, Hook | dict] = {kind: dict(type=kind) for kind in OWN}
    added = []
    for hook in custom_hooks or []:
        kind = next((kind for kind in OWN if issubclass(_class(hook), kind)), None)
        if kind is None:
            added.append(hook)
        else:
            own[kind] = hook
    return defaults, [*own.values(), *added]


def unsaved(checkpoint: Hook | dict | None) -> Iterator[str]:
    """What a run with this checkpoint hook will not have, a line each."""
    if checkpoint is None:
        yield 'default_hooks.checkpoint is None: this run saves nothing, unless it is interrupted by a signal.'
        return
    options = checkpoint if isinstance(checkpoint, dict) else vars(checkpoint)
    if options.get('interval', -1) < 1:
        saved = 'its last checkpoint alone' if options.get('save_last', True) else 'nothing'
        yield f'default_hooks.checkpoint.interval is not positive: this run saves {saved}.'
    if not options.get('save_optimizer', True):
        yield 'default_hooks.checkpoint.save_optimizer=False: --resume cannot go on from these checkpoints.'
    if options.get('out_dir') is not None:
        yield (
            'default_hooks.checkpoint.out_dir is set: --resume looks in the work dir alone; name the checkpoint to '
            'go on from (--resume FILE).'
        )
    if isinstance(checkpoint, Hook) and not isinstance(checkpoint, DurableCheckpointHook):
        yield (
            f'default_hooks.checkpoint is a {type(checkpoint).__name__}: a kill while it saves can cost the last '
            'checkpoint; use DurableCheckpointHook.'
        )


def _class(hook: Hook | dict) -> type:
    if not isinstance(hook, dict):
        return type(hook)
    kind = hook.get('type')
    found = HOOKS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else type(None)
