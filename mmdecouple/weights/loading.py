"""Weights of a checkpoint into a model, with every key that does not match named."""

import logging
import re
from typing import Any

import torch
from mmengine.logging import print_log

from mmdecouple.utils.errors import UserError


def load_weights(
    model: torch.nn.Module,
    checkpoint: dict[str, Any],
    name: str,
    strict: bool = False,
    revise_keys: list[tuple[str, str]] | None = None,
    dry: bool = False,
) -> None:
    """Loads the weights whose names and shapes match and lists the others.

    Args:
        model: The model to fill.
        checkpoint: A state dict, or a dict that holds one under ``state_dict``.
        name: What to call the checkpoint in messages, its path.
        strict: Whether any difference is an error.
        revise_keys: (pattern, replacement) pairs applied to the checkpoint's names.
        dry: Whether to raise what there is to raise, and to load and list nothing.

    Raises:
        UserError: If the backbone of the checkpoint is not that of the model: a weight is missing, too many or of
            another shape. The same of the teacher's backbone, where both have one. With ``strict``, if anything
            differs.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    weights = {key: value for key, value in weights.items() if isinstance(value, torch.Tensor)}
    for pattern, replacement in revise_keys or []:
        weights = {re.sub(pattern, replacement, key): value for key, value in weights.items()}
    expected = model.state_dict()
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    reshaped = [key for key, value in expected.items() if key in weights and value.shape != weights[key].shape]
    found = ', '.join(
        f'{len(keys)} {what} ({_some(keys)})'
        for what, keys in (('missing', missing), ('unexpected', unexpected), ('of another shape', reshaped))
        if keys
    )
    teacher = 'teacher.backbone.'
    has_both = any(key.startswith(teacher) for key in weights) and any(key.startswith(teacher) for key in expected)
    whole = ('backbone.', teacher) if has_both else ('backbone.',)
    # A network that masks nothing has no place for the token that stands for masked patches.
    broken = [
        key
        for key in missing + reshaped + unexpected
        if key.startswith(whole) and not (key in unexpected and key.endswith('.mask_token'))
    ]
    if broken or (strict and found):
        raise UserError(
            f'The checkpoint {name!r} does not fit the model: {found}; choose the '
            'config it was trained with, or another checkpoint (config key '
            'load_from).'
        )
    if dry:
        return
    if found:
        print_log(f'Keys of {name} that do not match: {found}', 'current', logging.WARNING)
    kept = {key: weights[key] for key in expected if key not in missing and key not in reshaped}
    model.load_state_dict(kept, strict=False)


def _some(keys: list[str], limit: int = 6) -> str:
    more = f', and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more
