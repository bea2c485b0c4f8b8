"""Measures images per second and core for the pipelines of the methods: `python tools/benchmark/data.py`.

    python tools/benchmark/data.py --data photos/ pack:PACK

With a pack of the same images, MoCo v2 and iBOT are measured only, from files and from the pack.
"""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import torch
from peers import peer_rows
from pipelines import DECODE, Load, main_rows, other_rows, packed_rows, write_photos

from mmdecouple.commands import options
from mmdecouple.datasets.listing import list_images
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, real
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.files import check_writable, write_json

KINDS = ('folder', 'pack')
RESULTS = 'data.json'


def parser() -> options.Parser:
    parser = options.Parser(__doc__, {'--packed': '--data pack:DIR'})
    options.add_data(parser, KINDS, '16 generated files of 640 x 480', several=True)
    parser.add_argument('--peers', action='store_true', help='MoCo v2 and iBOT only, beside the same by other packages')
    options.add_seconds(parser, 5, 'a row, all rounds together', real(0.01))
    parser.add_argument(
        '--rounds', type=positive, default=3, metavar='N', help='rounds; each measures all rows in turn (default: 3)'
    )
    options.add_out(parser, None, RESULTS, 'the results are only printed')
    return parser


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
    args = parser().parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with program(), tempfile.TemporaryDirectory() as made:
        if args.out:
            check_writable(args.out / RESULTS)
        data = [read_spec(spec, KINDS) for spec in args.data or ()]
        folder = next((each.path for each in data if each.kind == 'folder'), None)
        pack = next((each.path for each in data if each.kind == 'pack'), None)
        if folder is None:
            folder = made
            write_photos(Path(folder))
        rows, missing = main_rows(folder), []
        if args.peers:
            theirs, missing = peer_rows(list_images(folder, None, ''))
            rows |= theirs
        if pack:
            rows |= packed_rows(pack)
        if not (args.peers or pack):
            rows |= other_rows(folder)
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
    if args.out:
        write_json(args.out / RESULTS, speeds, indent=1)


if __name__ == '__main__':
    main()
