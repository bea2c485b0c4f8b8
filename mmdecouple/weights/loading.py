"""Loading of a checkpoint into a model, with a report of all keys that do not match."""

import logging
import re
from typing import Any

import torch
from mmengine.logging import print_log

from mmdecouple.utils.errors import UserError

from .formats.vit_facts import facts_of, stated_facts


def load_weights(
    model: torch.nn.Module,
    checkpoint: dict[str, Any],
    name: str,
    strict: bool = False,
    revise_keys: list[tuple[str, str]] | None = None,
    dry: bool = False,
) -> None:
    """Loads the weights whose names and shapes match, and logs the others.

    Args:
        model: Model that receives the weights.
        checkpoint: State dict, or dict that holds one under `state_dict`.
        name: Name of the checkpoint in messages, its path.
        strict: Whether any difference is an error.
        revise_keys: Pairs (pattern, replacement) applied to the names in the checkpoint.
        dry: Whether to check only, without loading or logging.

    Raises:
        UserError: The backbone of the checkpoint differs from that of the model: a weight is missing, unexpected or of
            another shape, or the file states another setting, such as the number of heads; likewise for the teacher's
            backbone if both have one. With `strict`, any difference.
    """
    _check_facts(model, checkpoint, name)
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
    # A network without masking has no parameter for the mask token.
    broken = [
        key
        for key in missing + reshaped + unexpected
        if key.startswith(whole) and not (key in unexpected and key.endswith('.mask_token'))
    ]
    if broken or (strict and found):
        raise UserError(
            f'The checkpoint {name!r} does not fit the model: {found}; choose the '
            'config with which it was trained, or another checkpoint (config key load_from).'
        )
    if dry:
        return
    if found:
        print_log(f'Keys of {name} that do not match: {found}', 'current', logging.WARNING)
    # Hooks of the model also read the names that it does not expect, such as those of other low-rank updates.
    matching = {key: value for key, value in weights.items() if key not in reshaped}
    model.load_state_dict(matching, strict=False)


def _check_facts(model: torch.nn.Module, checkpoint: dict[str, Any], name: str) -> None:
    stated, known = stated_facts(checkpoint, name), facts_of(getattr(model, 'backbone', None))
    differing = stated.differences(known)
    if None not in (stated.grid, known.grid) and stated.grid != known.grid:
        differing.append('img_size')
    if differing:
        raise UserError(
            f'The checkpoint {name!r} does not fit the model: it requires the settings {", ".join(differing)} of '
            'model.backbone; choose the config with which it was trained, or another checkpoint (config key load_from).'
        )


def _some(keys: list[str], limit: int = 6) -> str:
    more = f', and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more
