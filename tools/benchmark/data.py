"""Measures images per second and core for the pipelines of the methods: `python tools/benchmark/data.py`."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import torch
from peers import peer_rows
from pipelines import DECODE, Load, main_rows, other_rows, packed_rows, write_photos

from mmdecouple.datasets.listing import list_images
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, real
from mmdecouple.utils.files import check_writable, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', help='folder of photographs (default: 16 generated files of 640 x 480)')
    parser.add_argument('--peers', action='store_true', help='MoCo v2 and iBOT only, beside the same by other packages')
    parser.add_argument('--packed', metavar='DIR', help='MoCo v2 and iBOT only, beside the same from this pack')
    parser.add_argument('--seconds', type=real(0.01), default=5, help='seconds per row, all rounds together')
    parser.add_argument('--rounds', type=integer(1), default=3, help='rounds; each measures all rows in turn')
    parser.add_argument('--json', help='file for the results')
    return parser.parse_args()


def images_per_second(load: Load, seconds: float, start: int = 0) -> tuple[float, int]:
    """Returns the samples per second of processor time that this process loads, and the index after the last one."""
    made, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        load(start + made)
        made += 1
    return made / (time.process_time() - begin), start + made


def measure(rows: dict[str, Load], seconds: float, rounds: int) -> dict[str, list[float]]:
    """Returns the images per second of each row in each round; the rows take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in rows}
    following = dict.fromkeys(rows, 0)
    for load in rows.values():
        for index in range(8):
            load(index)
    for _ in range(rounds):
        for name, load in rows.items():
            speed, following[name] = images_per_second(load, seconds / rounds, following[name])
            speeds[name].append(speed)
    return speeds


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with program(), tempfile.TemporaryDirectory() as folder:
        if args.json:
            check_writable(args.json)
        if args.images is None:
            write_photos(Path(folder))
        images = args.images or folder
        rows, missing = main_rows(images), []
        if args.peers:
            theirs, missing = peer_rows(list_images(images, None, ''))
            rows |= theirs
        if args.packed:
            rows |= packed_rows(args.packed)
        if not (args.peers or args.packed):
            rows |= other_rows(images)
        speeds = measure(rows, args.seconds, args.rounds)
    decode = speeds[DECODE]
    print(f'{"":52s}images/s   ms/image   / decoding alone (range of the rounds)')
    for name, found in speeds.items():
        speed, ratios = statistics.median(found), [one / other for one, other in zip(found, decode)]
        print(
            f'{name:52s}{speed:8.4g}{1e3 / speed:11.3g}   {statistics.median(ratios):.2f} '
            f'({min(ratios):.2f} to {max(ratios):.2f})'
        )
    print('\n'.join(missing), end='\n' if missing else '')
    if args.json:
        write_json(args.json, speeds, indent=1)


if __name__ == '__main__':
    main()
