"""Mutated COCO annotation files: from bytes that are not JSON to a single wrong number."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from trials import Accepted

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.objects import CocoObjects
from mmdecouple.utils.errors import UserError

SIZE = 40, 56
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


def whole(folder: Path) -> dict[str, Any]:
    """Returns a small valid data set of three images and seven objects, and writes its images into a folder."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(3):
        name = f'val_{number}.png'
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        images.append(dict(id=number + 1, file_name=name, height=SIZE[0], width=SIZE[1]))
        for k in range(2 + (number == 2)):
            x, y, w, h = (int(value) for value in rng.integers((0, 0, 6, 6), (30, 20, 20, 18)))
            shapes = [
                [[x, y, x + w, y, x + w, y + h, x, y + h]],
                dict(size=list(SIZE), counts=[x * SIZE[0] + y, h, SIZE[0] * (SIZE[1] - x) - y - h]),
            ]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number + 1,
                    category_id=1 + k % 2,
                    iscrowd=int(k == 2),
                    bbox=[x, y, w, h],
                    area=w * h,
                    segmentation=shapes[(k + number) % 2],
                )
            )
    return dict(images=images, annotations=annotations, categories=[dict(id=1, name='one'), dict(id=2, name='two')])


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


def trial(folder: Path) -> Callable[[bytes], None]:
    """Returns the call of a trial, which reads a file as in training and in measuring, and checks the result."""

    def read(raw: bytes) -> None:
        path = folder / 'annotations.json'
        path.write_bytes(raw)
        # Training reads only the names and may accept files that measuring refuses; it must not fail in another way.
        with suppress(UserError):
            list_images(str(folder), 'annotations.json', '')
        objects = CocoObjects(str(path), str(folder))
        seen: list[int] = []
        for index in range(len(objects)):
            info, item = objects.info(index), objects.objects(index)
            height, width = item.image.shape[:2]
            boxes = info['boxes']
            inside = (
                (boxes[:, :2] >= 0).all()
                and (boxes[:, 2] <= width).all()
                and (boxes[:, 3] <= height).all()
                and (boxes[:, 2:] > boxes[:, :2]).all()
            )
            if item.masks.shape != (len(boxes), height, width) or not inside:
                raise Accepted(f'boxes {boxes.tolist()} and masks {item.masks.shape} of an image of {height} x {width}')
            seen += info['ids'].tolist()
        if len(set(seen)) < len(seen):
            raise Accepted(f'repeated ids {seen}')

    return read


def trials(count: int, start: int, folder: Path) -> tuple[Callable[[bytes], None], Iterator[bytes]]:
    """Returns the call and its payloads for `run_trials`."""
    folder.mkdir(parents=True, exist_ok=True)
    return trial(folder), iter(mutants(count, start, whole(folder)))
