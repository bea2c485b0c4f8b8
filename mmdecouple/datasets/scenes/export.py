"""Export of the built-in scenes as a COCO-format data set with ADE-style index images."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmdecouple.datasets.scene_datasets import object_ids

from . import BACKGROUNDS, CLASSES, SceneSpec, draw_scene

MARK = 'scenes.json'
_CHUNK = 64
# Progress callback: (title, number of finished scenes, total number of scenes).
Show = Callable[[str, int, int], None]


def export(out: Path, spec: SceneSpec, counts: dict[str, int], workers: int = 1, show: Show | None = None) -> None:
    """Writes `counts[split]` scenes of each split to a folder, which appears complete or not at all.

    Args:
        out: Target folder; an existing one is replaced.
        spec: Parameters of the scenes.
        counts: Number of scenes of `train` and `val`.
        workers: Number of processes; 1 uses the current process.
        show: Called with the progress of each split; None for no progress.
    """
    partial = out.absolute().with_name(f'.{out.name}.partial-{os.getpid()}')
    try:
        for split in counts:
            (partial / split).mkdir(parents=True)
            (partial / 'semantic' / split).mkdir(parents=True)
        (partial / 'annotations').mkdir()
        _write_scenes(partial, spec, counts, workers, show or (lambda *_: None))
        names = ['background', *(kind.name for kind in CLASSES)]
        _dump(partial / 'semantic' / 'classes.json', dict(enumerate(names)))
        _dump(partial / MARK, dict(spec=asdict(spec), counts=counts, digest=spec.digest))
        if out.exists():
            retired = partial.with_name(f'.{out.name}.replaced-{os.getpid()}')
            out.rename(retired)
            partial.rename(out)
            shutil.rmtree(retired)
        else:
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_scenes(folder: Path, spec: SceneSpec, counts: dict[str, int], workers: int, show: Show) -> None:
    categories = [dict(id=label + 1, name=kind.name, supercategory=kind.shape) for label, kind in enumerate(CLASSES)]
    chunks = [
        (folder, spec, split, range(count)[start : start + _CHUNK])
        for split, count in counts.items()
        for start in range(0, count, _CHUNK)
    ]
    with _mapping(workers) as mapped:
        results = mapped(write_chunk, *zip(*chunks))
        for split, count in counts.items():
            images, annotations = [], []
            while len(images) < count:
                some_images, some_annotations = next(results)
                images += some_images
                annotations += some_annotations
                show(f'{split} scenes', len(images), count)
            _dump(
                folder / 'annotations' / f'instances_{split}.json',
                dict(
                    info=dict(description=f'built-in scenes {spec.digest}'),
                    licenses=[],
                    images=images,
                    annotations=annotations,
                    categories=categories,
                ),
            )


@contextmanager
def _mapping(workers: int) -> Iterator[Callable]:
    """Context manager with `map`, or that of a pool of processes, whose tasks are canceled if the block fails."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_chunk(folder: Path, spec: SceneSpec, split: str, indices: range) -> tuple[list, list]:
    """Writes the PNG files of the scenes at `indices`, and returns their COCO image and annotation records."""
    images, annotations = [], []
    for index in indices:
        image, layout = draw_scene(spec, split, index)
        name = f'{index:012d}.png'
        _write_png(folder / split / name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        values = np.append(layout.labels + 1, 0).astype(np.uint8)  # the last entry is for owner -1
        _write_png(folder / 'semantic' / split / name, values[layout.owner])
        images.append(
            dict(
                id=index,
                file_name=name,
                height=spec.size[0],
                width=spec.size[1],
                background=BACKGROUNDS[layout.background].name,
                group=layout.group,
            )
        )
        runs = coco_mask.encode(np.asfortranarray(layout.masks.transpose(1, 2, 0), np.uint8))
        ids = object_ids(index, len(layout.labels)).tolist()
        for k, (x1, y1, x2, y2) in enumerate(layout.boxes.tolist()):
            annotations.append(
                dict(
                    id=ids[k],
                    image_id=index,
                    category_id=int(layout.labels[k]) + 1,
                    iscrowd=0,
                    area=float(layout.areas[k]),
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    segmentation=dict(size=list(spec.size), counts=runs[k]['counts'].decode()),
                )
            )
    return images, annotations


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())


def _dump(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))
