"""No fine-tuning starts from weights that are not those of the checkpoint."""

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
# The block, the stage or the small module that a tensor is part of.
_PART = re.compile(r'(.*?(?:layers?\.?|_convs\.)\d+|.*(?:bn|ln|norm|projection)\d?)\.')


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Before the first step, compares the tensors in the model with those of the checkpoint, and prints the table.

    The file is read once more; what initialization did, or a later `load_from` undid, makes no difference. Refused are
    a backbone key that is missing, a tensor of another shape or other values, conv5 of a C4 head that is not the
    checkpoint's, a position embedding that was not resized to the model's grid, and images that are normalized
    otherwise than in pre-training. Rows that are alike are printed as one; `match_table.txt` in the work folder has all
    of them. A resumed run has weights of its own and is not checked again. Batch norms count a batch once, also with
    activation checkpointing.

    Raises:
        ValueError: On a difference, or if the model does not name its checkpoint by `PretrainedBackbone`.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Checks a run that starts."""
        count_batches_once(bare_model(runner))
        _tell_of_plain_norms(runner)
        warn_of_unscaled_batch(runner)
        if runner.iter > 0:
            runner.logger.info('LoadCheckHook: the run is resumed, so its weights are its own.')
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
                'nothing but model.init_cfg may load weights, so remove the config key load_from and '
                'initializers that overwrite them.'
            )


def _tell_of_plain_norms(runner: Runner) -> None:
    """One warning if mmengine, on one device, put plain batch norms in the place of synchronized ones."""
    if count := sum(isinstance(module, _BatchNormXd) for module in bare_model(runner).modules()):
        runner.logger.warning(
            f'{count} synchronized batch norms are plain ones on a single device: each sees the '
            f'{runner.train_dataloader.batch_sampler.batch_size} images of its batch, where the protocol has '
            'those of all devices.'
        )


def _initializer(model: nn.Module) -> PretrainedBackbone:
    cfg = getattr(model, 'init_cfg', None)
    if not isinstance(cfg, dict) or str(cfg.get('type')).rpartition('.')[2] != PretrainedBackbone.__name__:
        raise UserError(
            'LoadCheckHook: the model does not say which checkpoint it starts from; set the config key '
            "model.init_cfg to dict(type='mmdecouple.PretrainedBackbone', checkpoint=...)."
        )
    return PretrainedBackbone(**{key: value for key, value in cfg.items() if key != 'type'})


def _check_normalization(model: nn.Module, weights: Pretrained) -> None:
    """CLIP aside, all pre-training here and in the known formats sees RGB images with ImageNet's statistics."""
    given = model.data_preprocessor
    if weights.format == 'clip':
        return
    for key, expected in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)):
        got = [round(value, 3) for value in getattr(given, key, torch.empty(0)).flatten().tolist()]
        if len(got) != 3 or any(abs(a - b) > 0.01 for a, b in zip(got, expected)):
            raise UserError(
                f'LoadCheckHook: pre-training normalized RGB images by {key}={list(expected)}, got '
                f'{got or None} (config key {_PREPROCESSOR}.{key}).'
            )
    if not getattr(given, '_channel_conversion', True):
        raise UserError(
            'LoadCheckHook: pre-training saw RGB images and these are BGR; set the config key '
            f'{_PREPROCESSOR}.bgr_to_rgb to True.'
        )


def _condensed(rows: Sequence[Match]) -> list[tuple[str, str, str, str]]:
    """One line for all tensors of a block, a stage or a norm that are alike, one for each other row."""
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
    # The table is as wide as its names, which would be cut on a narrower console.
    console = Console(file=io.StringIO(), width=_WIDEST)
    console.print(table)
    return console.file.getvalue()
