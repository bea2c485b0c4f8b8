"""Mutated COCO annotation files: from bytes that are not JSON to a single wrong number."""

import copy
import json
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**63, -(2**63), 2**70, 1e308, -1e308, 10**400]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(['1', '../a.png', '/etc/passwd', 'a\0b', '\ud800', 'val_0.png']),
    st.lists(st.one_of(st.floats(-9, 99), st.none(), st.text(max_size=2)), max_size=9),
    st.lists(st.lists(st.floats(-9, 99), max_size=9), max_size=3),
    st.dictionaries(
        st.sampled_from(['size', 'counts', 'id']),
        st.one_of(st.integers(-9, 9999), st.text(max_size=9), st.lists(st.integers(-9, 9999), max_size=5)),
        max_size=3,
    ),
)


def mutants(count: int, start: int, content: dict[str, Any]) -> list[bytes]:
    """Returns `count` files, the same for equal `start`: with changed values, records and structure, then bytes."""
    files: list[bytes] = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        files.append(_mutant(data, copy.deepcopy(content)))

    round_number = 0
    while len(files) < count and round_number < 50:
        # Hypothesis stops early when it considers all cases covered.
        seed(start + round_number)(collect)()
        round_number += 1
    return files[:count]


def _mutant(data: st.DataObject, content: Any) -> bytes:
    for _ in range(data.draw(st.integers(1, 3))):
        content = _changed(data, content)
    text = json.dumps(content)
    kind = data.draw(st.sampled_from(['whole'] * 7 + ['cut', 'flip', 'encoding', 'nested', 'insert']))
    if kind == 'nested':
        depth = data.draw(st.sampled_from([100, 2000, 100_000]))
        text = text[:-1] + ', "x": ' + '[' * depth + ']' * depth + '}'
    raw = text.encode(data.draw(st.sampled_from(['utf-8', 'utf-16', 'utf-8-sig'])) if kind == 'encoding' else 'utf-8')
    at = data.draw(st.integers(0, max(len(raw) - 1, 0)))
    if kind == 'cut':
        return raw[:at]
    if kind == 'flip' and raw:
        return raw[:at] + bytes([raw[at] ^ data.draw(st.sampled_from([1, 2, 16, 128]))]) + raw[at + 1 :]
    if kind == 'insert':
        return raw[:at] + data.draw(st.binary(max_size=8)) + raw[at:]
    return raw


def _changed(data: st.DataObject, content: Any) -> Any:
    """Returns the content with one value, key or record changed."""
    holder, key = None, None
    node = content
    while isinstance(node, (dict, list)) and node and (holder is None or data.draw(st.integers(0, 9))):
        keys = sorted(node, key=str) if isinstance(node, dict) else range(len(node))
        holder, key = node, data.draw(st.sampled_from(list(keys)))
        node = node[key]
    if holder is None:
        return content
    act = data.draw(st.sampled_from(['replace'] * 5 + ['drop', 'double', 'rename', 'wrap']))
    if act == 'drop':
        del holder[key]
    elif act == 'double' and isinstance(holder, list):
        holder.append(copy.deepcopy(node))
    elif act == 'rename' and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=6))] = holder.pop(key)
    elif act == 'wrap':
        holder[key] = [node]
    else:
        holder[key] = data.draw(_WRONG)
    return content
