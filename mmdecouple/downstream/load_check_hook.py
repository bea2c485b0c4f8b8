"""Verified weight loading: a check that fine-tuning starts from the weights of the checkpoint."""

import io
import os
import re
from collections.abc import Sequence

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model.utils import _BatchNormXd
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from torch import nn

from mmdecouple.engine.batch_check import warn_of_unscaled_batch
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from mmdecouple.models.layers import count_batches_once
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from mmdecouple.weights.matching import Match, compare, problems
from mmdecouple.weights.pretrained import Pretrained

from .pretrained_backbone import PretrainedBackbone

_PREPROCESSOR = 'model.data_preprocessor'
_WIDEST = 1000
# Matches the block, the stage or the small module to which a tensor belongs.
_PART = re.compile(r'(.*?(?:layers?\.?|_convs\.)\d+|.*(?:bn|ln|norm|projection)\d?)\.')


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Compares the tensors of the model with those of the checkpoint before the first step, and prints the table.

    The hook reads the file again, so that it also detects changes by initializers or by a later `load_from`. It refuses
    missing backbone keys, tensors with other shapes or values, conv5 of a C4 head from another source, a position
    embedding that was not resized to the grid of the model, and images that are normalized differently than in
    pre-training. The log shows similar rows as one; `match_table.txt` in the work folder lists all rows. A resumed run
    is not checked, as its weights differ from the checkpoint. The hook also makes batch norms count a batch once with
    activation checkpointing.

    Raises:
        UserError: A tensor or the normalization differs, or the model does not name its checkpoint with
            `PretrainedBackbone`.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Checks the weights of a run that starts."""
        count_batches_once(bare_model(runner))
        _warn_about_plain_norms(runner)
        warn_of_unscaled_batch(runner)
        if runner.iter > 0:
            runner.logger.info(
                'LoadCheckHook: the run is resumed, so its weights are not compared with the checkpoint.'
            )
            return
        model = bare_model(runner)
        weights, rows = _initializer(model).check(model)
        _check_normalization(model, weights)
        rows = compare(model, rows)
        if is_main_process():
            parts = ', with pyramid and box head' if weights.pyramid else ''
            heading = f'{weights.path}: {weights.architecture}, {weights.role} network{parts} (names: {weights.format})'
            table = _text(rows, heading)
            write_text(os.path.join(runner.work_dir, 'match_table.txt'), table)
            runner.logger.info('\n' + _text(_condensed(rows), heading))
        if wrong := problems(rows):
            raise UserError(
                f'LoadCheckHook: the model does not hold the weights of {weights.path!r}: {wrong}; '
                'only model.init_cfg may load weights, so remove the config key load_from and '
                'initializers that overwrite them.'
            )


def _warn_about_plain_norms(runner: Runner) -> None:
    """Warns once if mmengine has replaced synchronized batch norms with plain ones on a single device."""
    if count := sum(isinstance(module, _BatchNormXd) for module in bare_model(runner).modules()):
        runner.logger.warning(
            f'{count} synchronized batch norms are plain ones on a single device: each normalizes the '
            f'{runner.train_dataloader.batch_sampler.batch_size} images of its batch, while the protocol uses '
            'those of all devices.'
        )


def _initializer(model: nn.Module) -> PretrainedBackbone:
    cfg = getattr(model, 'init_cfg', None)
    if not isinstance(cfg, dict) or str(cfg.get('type')).rpartition('.')[2] != PretrainedBackbone.__name__:
        raise UserError(
            'LoadCheckHook: the model does not name the checkpoint from which it starts; set the config key '
            "model.init_cfg to dict(type='mmdecouple.PretrainedBackbone', checkpoint=...)."
        )
    return PretrainedBackbone(**{key: value for key, value in cfg.items() if key != 'type'})


def _check_normalization(model: nn.Module, weights: Pretrained) -> None:
    """Checks the normalization; apart from CLIP, pre-training in all formats uses RGB and ImageNet's statistics."""
    given = model.data_preprocessor
    if weights.format == 'clip':
        return
    for key, expected in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)):
        got = [round(value, 3) for value in getattr(given, key, torch.empty(0)).flatten().tolist()]
        if len(got) != 3 or any(abs(a - b) > 0.01 for a, b in zip(got, expected)):
            raise UserError(
                f'LoadCheckHook: pre-training normalized RGB images with {key}={list(expected)}, got '
                f'{got or None} (config key {_PREPROCESSOR}.{key}).'
            )
    if not getattr(given, '_channel_conversion', True):
        raise UserError(
            'LoadCheckHook: pre-training used RGB images, but these are BGR; set the config key '
            f'{_PREPROCESSOR}.bgr_to_rgb to True.'
        )


def _condensed(rows: Sequence[Match]) -> list[tuple[str, str, str, str]]:
    """Returns one line for all tensors of a block, a stage or a norm with equal status, and one for every other row."""
    groups: dict[tuple[str, str], list[Match]] = {}
    for row in rows:
        name = row.target or row.source or ''
        part = _PART.match(name) if row.accepted else None
        groups.setdefault((part[1] if part else name, row.status), []).append(row)
    lines = []
    for members in groups.values():
        line = _line(members[0])
        if len(members) > 1:
            source, target = (
                f'{os.path.commonprefix([name or "" for name in names])}*'  # noqa: RUF071 (names, not paths)
                for names in zip(*((row.source, row.target) for row in members))
            )
            line = (
                source if members[0].source else '-',
                target if members[0].target else '-',
                f'{len(members)} tensors',
                members[0].status,
            )
        lines.append(line)
    return lines


def _line(row: Match) -> tuple[str, str, str, str]:
    return row.source or '-', row.target or '-', ' x '.join(map(str, row.shape)) or 'scalar', row.status


def _text(rows: Sequence[Match | tuple], heading: str) -> str:
    table = Table('in the checkpoint', 'in the model', 'shape', 'status', title=heading, title_justify='left')
    for row in rows:
        table.add_row(*(_line(row) if isinstance(row, Match) else row))
    # On a narrower console, rich would truncate the names.
    console = Console(file=io.StringIO(), width=_WIDEST)
    console.print(table)
    return console.file.getvalue()
