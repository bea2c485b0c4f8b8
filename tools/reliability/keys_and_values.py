"""Keys and values from which random overrides are made."""

import json
import random
from collections.abc import Iterator
from typing import Any

VALUES = [
    0,
    -1,
    1,
    2,
    3,
    17,
    10**6,
    10**12,
    0.5,
    -0.5,
    1e-9,
    1e30,
    'nan',
    'inf',
    'abc',
    None,
    True,
    False,
    [],
    [1],
    [2, 1],
    [0.5, 'x'],
    {},
    {'type': 'Nothing'},
    {'x': 1},
    '../x',
    'cuda',
    '1,2',
    '(1',
    '"',
    'ResNet',
    'mmpretrain.ResNet',
    'torch.nn.Linear',
]


def dotted_keys(node: Any, path: str = '') -> Iterator[str]:
    """Yields the dotted keys of all values, and of the blocks that contain them."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in children:
        inner = f'{path}.{key}' if path else str(key)
        yield inner
        yield from dotted_keys(value, inner)


def misspell(rng: random.Random, key: str) -> str:
    """Returns a dotted key with one of its words misspelt."""
    parts = key.split('.')
    named = [index for index, part in enumerate(parts) if not part.isdigit() and len(part) > 3]
    index = rng.choice(named)
    word, at = parts[index], rng.randrange(1, len(parts[index]) - 1)
    parts[index] = rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word + 's',
            word.replace('_', '') if '_' in word else f'{word}x',
        ]
    )
    if parts[index] == word:
        parts[index] += 'x'
    return '.'.join(parts)


def as_word(value: Any) -> str:
    """Returns a value as an argument of `--cfg-options` contains it."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
