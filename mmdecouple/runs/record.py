"""Record of a run in its checkpoints, and comparison of a resume with this record."""

import os.path as osp
import platform
from collections.abc import Iterator
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from mmdecouple.utils.errors import UserError, shown
from mmdecouple.version import __version__
from mmdecouple.weights.stored_configs import plain_values

from .listed_images import common_digest, described, innermost

# Facts that determine which samples a step sees, and their names in messages.
_PROMISED = dict(
    batch_size='train_dataloader.batch_size',
    processes='the number of processes',
    accumulative_counts='optim_wrapper.accumulative_counts',
    images='the number of images of train_dataloader.dataset',
    pixels='the storage of the images of train_dataloader.dataset',
    pack='the content of the pack train_dataloader.dataset.root (digest)',
    names='the digest of the image names of train_dataloader.dataset, in their order',
    order='the rule of train_dataloader.sampler for the order of an epoch',
    batches='the number of iterations of an epoch',
    loop='what the loop counts (train_cfg)',
    optimizer='optim_wrapper.optimizer.type',
)
# Orders that did not exist when records did not name the order.
_NEWER_ORDERS = ('feistel-1',)
# Facts that `--elastic` lets change together: the samples of a step stay the same if their product does.
_ELASTIC = ('batch_size', 'processes')
# Facts that may change the last bits of a result, but not the identity of the run.
_CIRCUMSTANCES = ('data', 'threads', 'device', 'precision', 'torch', 'mmengine', 'mmdecouple', 'python')
# Parts of a config that determine what a run computes.
_COMPARED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'default_hooks',
    'custom_hooks',
    'env_cfg',
    'compile',
    'device_photometric',
    'device_views',
    'activation_checkpointing',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
)
# A checkpoint restores these and overrides the config.
_RESTORED = (
    'optim_wrapper.optimizer.',
    'optim_wrapper.paramwise_cfg',
    'optim_wrapper.constructor',
    'param_scheduler',
    'auto_scale_lr',
)
_MOST_LINES = 40


def record_of(
    loader: DataLoader, optim_wrapper: OptimWrapper | dict, train_cfg: dict, processes: int, seed: int
) -> dict[str, int | str | None]:
    """Returns the record of a run, plain values by name, which its checkpoints store as `meta.record`.

    Args:
        loader: Training data of one process.
        optim_wrapper: Built optimizer wrapper, or its config.
        train_cfg: Config of the training loop.
        processes: Number of processes.
        seed: Seed of the run.

    Raises:
        UserError: The processes found different images.
    """
    if isinstance(optim_wrapper, dict):
        optimizer = optim_wrapper.get('optimizer', {}).get('type')
        counts = optim_wrapper.get('accumulative_counts', 1)
        precision = optim_wrapper.get('precision', optim_wrapper.get('type', 'OptimWrapper'))
    else:
        optimizer = type(getattr(optim_wrapper, 'optimizer', optim_wrapper)).__name__
        counts = getattr(optim_wrapper, '_accumulative_counts', 1)
        precision = getattr(optim_wrapper, 'precision', type(optim_wrapper).__name__)
    return dict(
        batch_size=getattr(loader.batch_sampler, 'batch_size', loader.batch_size),
        processes=processes,
        accumulative_counts=counts,
        images=_length(loader.dataset),
        pixels=getattr(innermost(loader.dataset), 'pixels', 'unchanged'),
        pack=getattr(innermost(loader.dataset), 'pack_digest', None),
        names=common_digest(loader.dataset),
        order=getattr(loader.sampler, 'rule', None),
        batches=_length(loader),
        loop='iterations' if 'max_iters' in train_cfg else 'epochs',
        optimizer=None if optimizer is None else _name(optimizer),
        data=described(loader.dataset),
        threads=torch.get_num_threads(),
        seed=seed,
        precision=_name(precision),
        device=get_device(),
        torch=str(torch.__version__),
        mmengine=mmengine.__version__,
        mmdecouple=__version__,
        python=platform.python_version(),
    )


def check_resume(meta: dict[str, Any], record: dict[str, Any], config: Config, where: str) -> list[str]:
    """Checks that a resume continues the run of a checkpoint.

    Args:
        meta: `meta` of the checkpoint.
        record: Record of the run that is about to start.
        config: Config of the run that is about to start.
        where: Path of the checkpoint.

    Returns:
        One line for each difference that does not change which samples a step sees.

    Raises:
        UserError: A step would see other samples: the batch size, the number of processes, the accumulated steps, the
            data or the loop differ.
    """
    name, lines = osp.basename(where), []
    before, now = _plain(meta.get('cfg')), _plain(config.pretty_text)
    if (before is None and meta.get('cfg')) or now is None:
        lines.append(
            f'Resume: the config of {name} cannot be compared with the current one, because one of them holds more '
            'than plain values.'
        )
    stored = meta.get('record')
    if not isinstance(stored, dict):
        lines.append(
            f'Resume: {name} holds no record of its run, as an older version wrote it, so the resume cannot be '
            'checked; use the same number of processes and the same data.'
        )
        stored = _record_of_config(before or {})
    stored = {key: value for key, value in stored.items() if type(value) in (int, str)}
    if record['order'] in _NEWER_ORDERS and 'images' in stored:
        stored.setdefault('order', 'randperm')
    _check_samples(stored, record, bool(config.get('elastic', False)), where)
    lines += [
        f'Resume: {key} was {shown(stored[key], 100)} and is {shown(record[key], 100)} now, so results may differ '
        'in the last bits.'
        for key in _CIRCUMSTANCES
        if key in stored and stored[key] != record[key]
    ]
    differing: list[tuple[str, Any, Any]] = []
    if before and now:
        for key in _COMPARED:
            differing += _differences(before.get(key), now.get(key), key)
    wanted = config.get('randomness', {}).get('seed')
    if wanted is not None and stored.get('seed', wanted) != wanted:
        differing.append(('randomness.seed', stored['seed'], wanted))
    lines += [_said(*difference) for difference in differing[:_MOST_LINES]]
    if len(differing) > _MOST_LINES:
        lines.append(f'Resume: {len(differing) - _MOST_LINES} more config keys differ.')
    return lines


def _check_samples(stored: dict[str, Any], record: dict[str, Any], elastic: bool, where: str) -> None:
    """Raises an error if a step of the resumed run would see other samples."""
    name = osp.basename(where)
    total = _total_batch(stored)
    same_samples = total is not None and total == _total_batch(record)
    changed = [
        f'{what} was {shown(stored[key])} and is {shown(record[key])} now'
        for key, what in _PROMISED.items()
        if _differs(stored, record, key) and not (elastic and same_samples and key in _ELASTIC)
    ]
    if changed and elastic and not same_samples:
        raise UserError(
            f'Cannot resume {name} with --elastic: the batch of all processes was {total} and is '
            f'{_total_batch(record)} now; set train_dataloader.batch_size so that it is the same.'
        )
    if changed and same_samples and stored['processes'] != record['processes']:
        changed.append('--elastic allows another number of processes with the same total batch')
    if changed:
        raise UserError(
            f'Cannot resume {name}: {"; ".join(changed[:3])}; restore the value, or start a new run '
            f'from the weights alone (load_from={shown(where, 80)}, no --resume).'
        )


def _differs(stored: dict[str, Any], record: dict[str, Any], key: str) -> bool:
    # A pack of unchanged files has the samples of their folder, so that a run may move between the two.
    comparable = key in stored and (key != 'pack' or record[key] is not None)
    return comparable and stored[key] != record[key]


def _total_batch(record: dict[str, Any]) -> int | None:
    batch, processes = (record.get(key) for key in _ELASTIC)
    return batch * processes if isinstance(batch, int) and isinstance(processes, int) else None


def _said(key: str, before: Any, now: Any) -> str:
    restored = key.startswith(_RESTORED) or key == 'randomness.seed'
    return (
        f'Resume: {key} was {_value(before)} in the checkpoint and is {_value(now)} in the config; the '
        f"{'checkpoint' if restored else 'config'}'s is used."
    )


def _value(value: Any) -> str:
    return 'not set' if value is _NOT_SET else shown(value, 100)


_NOT_SET = object()


def _plain(text: Any) -> dict[str, Any] | None:
    try:
        return plain_values(text, _COMPARED) if isinstance(text, str) else None
    except ValueError:
        return None


def _record_of_config(config: dict[str, Any]) -> dict[str, Any]:
    loader, wrapper = config.get('train_dataloader'), config.get('optim_wrapper')
    found = {}
    if isinstance(loader, dict):
        found['batch_size'] = loader.get('batch_size')
    if isinstance(wrapper, dict):
        found['accumulative_counts'] = wrapper.get('accumulative_counts', 1)
        optimizer = wrapper.get('optimizer')
        found['optimizer'] = optimizer.get('type') if isinstance(optimizer, dict) else None
    return found


def _differences(before: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _differences(before.get(key, _NOT_SET), now.get(key, _NOT_SET), f'{path}.{key}')
    elif isinstance(before, (list, tuple)) and isinstance(now, (list, tuple)) and len(before) == len(now):
        for index, pair in enumerate(zip(before, now)):
            yield from _differences(*pair, f'{path}.{index}')
    elif before != now:
        yield path, before, now


def _name(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, '__name__', shown(kind))


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except TypeError:
        return None
