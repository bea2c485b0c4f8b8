"""Contents with an invalid structure: tensors, names and stored configs that no regular file has."""

import copy
import math
import random
from typing import Any

import numpy as np
import torch
from hostile_configs import hostile_meta


def restructured(rng: random.Random, whole: dict[str, dict[str, Any]]) -> Any:
    """Returns one of the valid contents with one to four changes."""
    name = rng.choice(list(whole))
    content = copy.copy(whole[name])
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for _ in range(rng.choice([1, 1, 2, 4])):
        _change(rng, content)
    if rng.random() < 0.15:
        content = rng.choice(
            [
                dict(state_dict=content),
                dict(model=content),
                dict(student=content),
                dict(teacher=content, student=content),
                dict(state_dict=None),
                dict(state_dict=[]),
                [content],
                dict(model=dict(state_dict=content)),
                None,
                7,
            ]
        )
    return content


def _change(rng: random.Random, content: dict[str, Any]) -> None:
    if 'meta' in content and rng.random() < 0.4:
        content['meta'] = hostile_meta(rng, content['meta'])
        return
    holders = [value for value in content.values() if isinstance(value, dict) and value] or [content]
    holder = rng.choice(holders)
    if not holder:
        return
    key = rng.choice(list(holder))
    act = rng.choice(['drop', 'rename', 'prefix', 'value', 'value', 'value', 'double'])
    if act == 'drop':
        del holder[key]
    elif act == 'rename':
        holder[rng.choice(['x', 0, None, 'backbone.extra.weight', 'a' * 5000, 'backbone.layers.99.ln1.weight', ''])] = (
            holder.pop(key)
        )
    elif act == 'double':
        holder[f'other.{key}'] = holder[key]
    elif act == 'prefix':
        front = rng.choice(
            ['module.', '_orig_mod.', 'model.', 'student.', 'teacher.', 'net.', 'encoder_q.', 'backbone.', 'ema.']
        )
        renamed = {f'{front}{key}': value for key, value in holder.items()}
        holder.clear()
        holder.update(renamed)
    else:
        holder[key] = _other_value(rng, holder[key])


def _other_value(rng: random.Random, value: Any) -> Any:
    plain = [None, 3, 'text', [], {}, float('nan'), [value], {'x': value}, np.float64(3), torch.float32]
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
        return rng.choice(plain)
    bad = value.clone()
    bad.view(-1)[rng.randrange(bad.numel())] = rng.choice([math.nan, math.inf, -math.inf, 3e38])
    huge = torch.zeros(1).expand(10**6, 10**6)
    return rng.choice(
        [
            bad,
            bad,
            value.t() if value.ndim == 2 else value[None],
            value.flatten(),
            value[:0],
            value.sum(),
            huge,
            value.half(),
            value.double(),
            value.to(torch.complex64),
            value.to(torch.int8),
            value.to(torch.bfloat16),
            value.to_sparse(),
            value.to('meta'),
            torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
            torch.cat([value, value]),
            *plain,
        ]
    )
