"""Measures time and memory for opening COCO's annotations: `python tools/benchmark/annotations.py --share 0.3`.

The file is generated with the average numbers of images, objects, crowds and digits of instances_train2017.json; each
reader opens it in a separate process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mmdecouple.utils.arguments import positive, real

IMAGES, OBJECTS_PER_IMAGE, NUMBERS_PER_POLYGON, CROWD_SHARE, CATEGORIES = 118_287, 7.27, 50, 0.012, 80
URL = 'http://images.cocodataset.org/train2017/000000391895.jpg'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--share', type=real(1e-4, 10), default=0.3, help="share of COCO's images (default: 0.3)")
    parser.add_argument(
        '--rounds', type=positive, default=3, help='number of times each reader opens the file (default: 3)'
    )
    parser.add_argument('--file', type=Path, help='annotation file to open instead of a generated one')
    parser.add_argument('--only', choices=READERS, help='open the file with one reader, in this process')
    return parser.parse_args()


def open_by_json(path: Path) -> object:
    """What the standard library makes of it, unchecked."""
    return json.loads(path.read_text())


def open_as_objects(path: Path) -> object:
    """The data set of the measures; no image is asked for at a remote prefix."""
    from mmdecouple.datasets import CocoObjects

    return CocoObjects(str(path), 's3://bucket')


def open_as_images(path: Path) -> object:
    """File names for training."""
    from mmdecouple.datasets.listing import list_images

    return list_images('', str(path), 's3://bucket')


READERS = dict(json=open_by_json, objects=open_as_objects, images=open_as_images)


def write_coco(path: Path, share: float) -> None:
    """A file like instances_train2017.json, with `share` of its images."""
    rng = np.random.default_rng(0)
    count = round(IMAGES * share)
    images = [
        dict(
            license=3,
            file_name=f'{i:012d}.jpg',
            coco_url=URL,
            height=480,
            width=640,
            date_captured='2013-11-14 11:18:45',
            flickr_url=URL,
            id=i,
        )
        for i in range(count)
    ]
    objects = round(count * OBJECTS_PER_IMAGE)
    annotations = [_annotation(rng, number, int(rng.integers(count))) for number in range(objects)]
    categories = [dict(supercategory='thing', id=i, name=f'kind {i}') for i in range(1, CATEGORIES + 1)]
    path.write_text(
        json.dumps(dict(info={}, licenses=[], images=images, annotations=annotations, categories=categories))
    )


def _annotation(rng: np.random.Generator, number: int, image: int) -> dict:
    x, y, w, h = (float(value) for value in rng.uniform((0, 0, 9, 9), (400, 300, 200, 150)).round(2))
    crowd = bool(rng.random() < CROWD_SHARE)
    if crowd:
        cuts = np.sort(rng.choice(480 * 640, 400, replace=False))
        shape = dict(counts=np.diff(cuts, prepend=0, append=480 * 640).tolist(), size=[480, 640])
    else:
        points = rng.uniform((x, y), (x + w, y + h), (int(rng.integers(3, NUMBERS_PER_POLYGON - 2)), 2))
        shape = [points.round(2).ravel().tolist()]
    return dict(
        segmentation=shape,
        area=w * h / 2,
        iscrowd=int(crowd),
        image_id=image,
        bbox=[x, y, w, h],
        category_id=int(rng.integers(1, CATEGORIES + 1)),
        id=number,
    )


def measure(path: Path, reader: str) -> tuple[float, float]:
    """Processor seconds to open the file, and peak memory beyond that of the imports, in MiB; in its own process."""
    command = [sys.executable, __file__, '--file', str(path), '--only', reader]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


def main() -> None:
    args = parse_args()
    if args.only:
        from mmdecouple.datasets import CocoObjects  # noqa: F401  the imports are no part of what is measured

        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        kept = READERS[args.only](args.file)
        seconds = time.process_time() - start
        print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        del kept
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / 'instances.json'
        if not args.file:
            write_coco(path, args.share)
        print(f'{path.stat().st_size / 1e6:.0f} MB')
        for reader in READERS:
            runs = [measure(path, reader) for _ in range(args.rounds)]
            print(f'{reader:8} best {min(s for s, _ in runs):6.2f} s  peak {max(m for _, m in runs):6.0f} MiB')


if __name__ == '__main__':
    main()
