"""Write built-in scenes as a COCO-format data set with ADE-style index images.

    python tools/dataset_tools/export_scenes.py data/scenes --train 5000 --val 500 --size 128

writes

    data/scenes/train/000000000000.png ...        the pixels, losslessly
    data/scenes/val/...
    data/scenes/annotations/instances_{train,val}.json   boxes, RLE masks, category ids 1 to 12
    data/scenes/semantic/{train,val}/*.png        0 = background, class i = i + 1
    data/scenes/semantic/classes.json             names of these values
    data/scenes/scenes.json                       the knobs

Everything is written to a hidden folder beside the target and renamed at the end: the target exists
only when it is whole. A killed export leaves that folder (.NAME.partial-PID) behind; delete it.
"""
import argparse
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmdecouple.datasets.scene_datasets import object_ids
from mmdecouple.datasets.scenes import BACKGROUNDS, CLASSES, SceneSpec, draw_scene
from mmdecouple.datasets.scenes.arguments import add_scene_arguments, parse_scene_spec
from mmdecouple.utils.arguments import positive

MARK = 'scenes.json'
CHUNK = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write, which must not exist')
    parser.add_argument('--train', type=positive, default=1000, metavar='N', help='training scenes')
    parser.add_argument('--val', type=positive, default=200, metavar='N', help='validation scenes')
    parser.add_argument('--workers', type=positive, default=1, metavar='N', help='processes')
    parser.add_argument('--force', action='store_true', help='replace an earlier export')
    add_scene_arguments(parser)
    args = parser.parse_args()
    spec = parse_scene_spec(parser, args)
    counts = dict(train=args.train, val=args.val)
    if args.out.exists() and not args.force:
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another folder, or replace it with '
                    '--force.\n')
    if args.out.exists() and not (args.out / MARK).is_file():
        parser.exit(2, f'{parser.prog}: {args.out} is no earlier export (it has no {MARK}), so '
                    '--force leaves it alone; name another folder.\n')
    try:
        export(args.out, spec, counts, args.workers)
    except KeyboardInterrupt:
        parser.exit(130, f'{parser.prog}: stopped; {args.out} was not written.\n')
    except OSError as error:
        parser.exit(1, f'{parser.prog}: {error}; {args.out} was not written.\n')
    print(f'Wrote {args.train} + {args.val} scenes to {args.out}.')


def export(out: Path, spec: SceneSpec, counts: dict[str, int], workers: int = 1) -> None:
    """Write ``counts[split]`` scenes of each split to `out`, all of it or nothing.

    Args:
        out: Target folder; an existing one is replaced.
        spec: What the scenes look like.
        counts: Number of scenes of ``train`` and ``val``.
        workers: Number of processes.
    """
    partial = out.absolute().with_name(f'.{out.name}.partial-{os.getpid()}')
    try:
        for split in counts:
            (partial / split).mkdir(parents=True)
            (partial / 'semantic' / split).mkdir(parents=True)
        (partial / 'annotations').mkdir()
        _write_scenes(partial, spec, counts, workers)
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


def _write_scenes(folder: Path, spec: SceneSpec, counts: dict[str, int], workers: int) -> None:
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    categories = [dict(id=label + 1, name=kind.name, supercategory=kind.shape)
                  for label, kind in enumerate(CLASSES)]
    with ProcessPoolExecutor(workers) as pool:
        # Before the progress bar starts its thread: processes fork at the first submission.
        futures = {
            split: [pool.submit(write_chunk, folder, spec, split, range(count)[start:start + CHUNK])
                    for start in range(0, count, CHUNK)]
            for split, count in counts.items()
        }
        try:
            with Progress(*columns) as progress:
                for split, count in counts.items():
                    images, annotations = [], []
                    task = progress.add_task(f'{split} scenes', total=count)
                    for future in futures[split]:
                        some_images, some_annotations = future.result()
                        images += some_images
                        annotations += some_annotations
                        progress.advance(task, len(some_images))
                    _dump(folder / 'annotations' / f'instances_{split}.json',
                          dict(info=dict(description=f'built-in scenes {spec.digest}'), licenses=[],
                               images=images, annotations=annotations, categories=categories))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_chunk(folder: Path, spec: SceneSpec, split: str, indices: range) -> tuple[list, list]:
    """Write the PNGs of some scenes; return their COCO image and annotation records."""
    images, annotations = [], []
    for index in indices:
        image, layout = draw_scene(spec, split, index)
        name = f'{index:012d}.png'
        _write_png(folder / split / name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        values = np.append(layout.labels + 1, 0).astype(np.uint8)  # the last one is for owner -1
        _write_png(folder / 'semantic' / split / name, values[layout.owner])
        images.append(dict(id=index, file_name=name, height=spec.size[0], width=spec.size[1],
                           background=BACKGROUNDS[layout.background].name, group=layout.group))
        runs = coco_mask.encode(np.asfortranarray(layout.masks.transpose(1, 2, 0), np.uint8))
        ids = object_ids(index, len(layout.labels)).tolist()
        for k, (x1, y1, x2, y2) in enumerate(layout.boxes.tolist()):
            annotations.append(dict(
                id=ids[k], image_id=index, category_id=int(layout.labels[k]) + 1, iscrowd=0,
                area=float(layout.areas[k]), bbox=[x1, y1, x2 - x1, y2 - y1],
                segmentation=dict(size=list(spec.size), counts=runs[k]['counts'].decode())))
    return images, annotations


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())


def _dump(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))


if __name__ == '__main__':
    main()
