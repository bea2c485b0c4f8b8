"""Find the box proposals of a data set by selective search, as SoCo does, and write them to one file.

    python tools/dataset_tools/selective_search.py data/coco/proposals/train2017.npz \\
        --images data/coco/train2017 --ann data/coco/annotations/instances_train2017.json --workers 16

Without --ann every image below the folder is searched. `mmdecouple/datasets/proposals.py` describes the file; the
transform `LoadProposals` reads it. Finished chunks of images are kept in a hidden folder beside the file
(.NAME.partial): after a kill the same command goes on from there, and the file is the same, byte for byte, as without
the kill and with any number of workers.

SoCo's own files (base name -> list of x, y, w, h) are converted instead of searched anew:

    python tools/dataset_tools/selective_search.py data/coco/proposals/train2017.npz \\
        --images data/coco/train2017 --import train2017_ratio3size0308post.json
"""
import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.proposals import ProposalFile, write_proposals
from mmdecouple.datasets.reading import UnreadableImage, open_header, read_image
from mmdecouple.datasets.selective_search import filter_proposals, selective_search
from mmdecouple.datasets.soco_proposals import read_soco_json
from mmdecouple.utils.arguments import positive, real
from mmdecouple.utils.errors import one_line_errors, UserError
from mmdecouple.utils.files import check_writable, write_json

CHUNK = 16
PLAIN_SECONDS = 30
LOCK_SECONDS = 5
EXIF_ORIENTATION = 0x0112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='file to write (*.npz)')
    parser.add_argument('--images', required=True, metavar='DIR', help='folder of the images')
    parser.add_argument('--ann', metavar='FILE', help='COCO annotation file (*.json) or list file (*.txt)')
    parser.add_argument('--name', help='name of the data set in messages; default: that of --ann or of the folder')
    parser.add_argument('--import', dest='soco', metavar='FILE', help="take the boxes from SoCo's JSON")
    parser.add_argument('--workers', type=positive, default=os.cpu_count(), metavar='N', help='processes')
    parser.add_argument('--force', action='store_true', help='replace an earlier file or an unfinished other search')
    parser.add_argument('--scale', type=real(0), default=300.0, help="Felzenszwalb's scale")
    parser.add_argument('--sigma', type=real(0), default=0.9, help='blur before the segmentation, in pixels')
    parser.add_argument('--min-size', type=positive, default=100, help='smallest segment, in pixels')
    parser.add_argument('--min-side', type=positive, default=32, help='smallest side of a box, in pixels')
    parser.add_argument('--aspect', type=real(1), default=3.0, help='largest ratio of the sides of a box')
    parser.add_argument('--share', type=real(0, 1), nargs=2, default=(0.3, 0.8), metavar=('LOW', 'HIGH'),
                        help='sides of a box (geometric mean) over those of the image')
    args = parser.parse_args()
    search = dict(scale=args.scale, sigma=args.sigma, min_size=args.min_size)
    keep = dict(min_side=args.min_side, aspect=args.aspect, share=list(args.share))
    if args.out.suffix != '.npz':
        parser.exit(2, f'{parser.prog}: {args.out} must end with .npz.\n')
    if args.share[0] > args.share[1]:
        parser.exit(2, f'{parser.prog}: --share must be LOW and HIGH in this order, got {list(args.share)}.\n')
    if args.out.exists() and not args.force:
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another file, or replace it with --force.\n')
    for key, value in (*search.items(), *keep.items()):
        if min(np.atleast_1d(value)) <= 0:
            parser.exit(2, f'{parser.prog}: --{key.replace("_", "-")} must be positive, got {value}.\n')
    console = Console()
    with one_line_errors():
        check_writable(args.out)
        names = [os.path.relpath(path, args.images) for path in list_images('', args.ann, args.images)]
        dataset = args.name or Path(args.ann or os.path.abspath(args.images)).stem
        if args.soco:
            header = convert(args.out, args.images, names, args.soco, dataset)
        else:
            task = Task(args.out, args.images, names, dataset, search, keep)
            try:
                header = task.run(args.workers, console, restart=args.force)
            except KeyboardInterrupt:
                parser.exit(130, f'{parser.prog}: stopped; what is done is kept in {task.folder}: the same command '
                            'goes on from there.\n')
            except (BlockingIOError, FileExistsError) as error:
                parser.exit(1, f'{parser.prog}: {error}\n')
        summarize(ProposalFile.open(args.out), header, console)


class Task:
    """One search: its images, its parameters, and the folder of its finished chunks.

    Args:
        out: File to write in the end.
        images: Folder of the images.
        names: Names relative to it.
        dataset: Name of the data set.
        search: Keyword arguments of `selective_search`.
        keep: Keyword arguments of `filter_proposals`.
    """

    def __init__(self, out: Path, images: str, names: list[str], dataset: str, search: dict, keep: dict) -> None:
        self.out, self.images, self.names, self.dataset = out, images, names, dataset
        self.search, self.keep = search, keep
        self.folder = out.with_name(f'.{out.name}.partial')
        self.chunks = [names[start:start + CHUNK] for start in range(0, len(names), CHUNK)]

    def run(self, workers: int, console: Console, restart: bool = False) -> dict[str, Any]:
        """Search what no earlier run has finished, write the file, and return its header.

        Raises:
            BlockingIOError: Another process works on the same file.
            FileExistsError: The folder holds chunks of a search with other images or parameters.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / 'lock', 'w') as lock:
            self._lock(lock)
            self._claim(restart)
            self._search(workers, console)
            header = self._join()
        shutil.rmtree(self.folder)
        return header

    def _lock(self, file: IO) -> None:
        # The workers of a killed run hold its lock until they see that their parent is gone.
        for _ in range(LOCK_SECONDS):
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(1)
        raise UserError(f'another process is writing {self.out}; wait for it.')

    def _claim(self, restart: bool) -> None:
        digest = hashlib.sha256('\0'.join(self.names).encode()).hexdigest()
        plan = dict(images=digest, folder=os.path.abspath(self.images), chunk=CHUNK, **self.search, **self.keep)
        path = self.folder / 'plan.json'
        if path.exists() and json.loads(path.read_text()) != plan:
            if not restart:
                raise UserError(f'{self.folder} holds an unfinished search with other images or parameters; '
                                'repeat its command, or drop it with --force.')
            for chunk in self.folder.glob('*.npz'):
                chunk.unlink()
        write_json(path, plan)

    def _search(self, workers: int, console: Console) -> None:
        missing = [number for number in range(len(self.chunks)) if not self._chunk_path(number).exists()]
        done = len(self.names) - sum(len(self.chunks[number]) for number in missing)
        if not missing:
            return
        if done:
            console.print(f'{done} of {len(self.names)} images are done already.')
        with ProcessPoolExecutor(min(workers, len(missing)), initializer=start_worker,
                                 initargs=(os.getpid(), )) as pool:
            # Before the progress bar starts its thread: processes fork at the first submission.
            futures = {
                pool.submit(search_chunk, self._chunk_path(number), self.images, self.chunks[number], self.search,
                            self.keep): number for number in missing
            }
            try:
                with Display(console, done, len(self.names)) as display:
                    for future in as_completed(futures):
                        for name, reason in future.result():
                            display.say(f'{name} cannot be read ({reason}); it gets no boxes.')
                        display.advance(len(self.chunks[futures[future]]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _join(self) -> dict[str, Any]:
        files = [ProposalFile.open(self._chunk_path(number)) for number in range(len(self.chunks))]
        boxes = [file.all_boxes[start:end] for file in files for start, end in zip(file.offsets, file.offsets[1:])]
        parameters = dict(method='selective search', **self.search, **self.keep)
        sizes = np.concatenate([file.sizes for file in files])
        return write_proposals(self.out, self.names, sizes, boxes, self.dataset, parameters)

    def _chunk_path(self, number: int) -> Path:
        return self.folder / f'{number:06d}.npz'


def start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def search_chunk(path: Path, images: str, names: list[str], search: dict, keep: dict) -> list[tuple[str, str]]:
    """Write the proposals of some images to a file of their own; return those that cannot be read, with reasons."""
    sizes, boxes, unreadable = [], [], []
    for name in names:
        try:
            image = read_image(os.path.join(images, name))
        except UnreadableImage as error:
            unreadable.append((name, str(error)))
            image = np.zeros((0, 0, 3), np.uint8)
        size = image.shape[:2]
        sizes.append(size)
        found = selective_search(image, **search) if min(size) > keep['min_side'] else np.zeros((0, 4), np.int64)
        boxes.append(filter_proposals(found, size, **keep))
    write_proposals(path, names, sizes, boxes, 'chunk', {})
    return unreadable


class Display:
    """A progress bar with rate and time left; plain lines where the output is no terminal."""

    def __init__(self, console: Console, done: int, total: int) -> None:
        self.console, self.done, self.total, self.fresh = console, done, total, 0
        columns = (TextColumn('images'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[rate]}'),
                   TextColumn('left'), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task('images', total=total, completed=done, rate='')

    def __enter__(self) -> 'Display':
        self.start = self.last = time.monotonic()
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        seconds = time.monotonic() - self.start
        self.console.print(f'{self.fresh} images in {seconds:.0f} s, {self.fresh / seconds:.2f} images/s.')

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def advance(self, count: int) -> None:
        """Count finished images."""
        self.fresh += count
        self.done += count
        rate = self.fresh / (time.monotonic() - self.start)
        self.bar.update(self.task, advance=count, rate=f'{rate:.2f} images/s')
        if not self.console.is_terminal and time.monotonic() - self.last >= PLAIN_SECONDS:
            self.last = time.monotonic()
            left = (self.total - self.done) / rate
            self.say(f'{self.done} of {self.total} images, {rate:.2f} images/s, {left:.0f} s left')


def convert(out: Path, images: str, names: list[str], source: str, dataset: str) -> dict[str, Any]:
    """Write the boxes of a SoCo JSON as a proposal file and return its header."""
    boxes = read_soco_json(source, names)
    sizes = [upright_size(os.path.join(images, name)) for name in names]
    # SoCo searches the stored pixels, this package shows the image upright: boxes of a turned image do not fit.
    boxes = [some if not turned else some[:0] for some, (_, turned) in zip(boxes, sizes)]
    parameters = dict(method='imported', source=Path(source).name)
    return write_proposals(out, names, [size for size, _ in sizes], boxes, dataset, parameters)


def upright_size(path: str) -> tuple[tuple[int, int], bool]:
    """Height and width of an image as a viewer shows it, and whether EXIF turns it; (0, 0) if it cannot be read."""
    try:
        with open_header(path) as image:
            width, height = image.size
            turn = image.getexif().get(EXIF_ORIENTATION, 1)
    except UnreadableImage:
        return (0, 0), False
    return ((width, height) if turn >= 5 else (height, width)), turn != 1


def summarize(file: ProposalFile, header: dict[str, Any], console: Console) -> None:
    """Say what a finished file holds."""
    counts = np.diff(file.offsets)
    console.print(
        f'Wrote {file.path}: {counts.sum()} boxes of {len(counts)} images (mean {counts.mean():.1f}, median '
        f'{np.median(counts):.0f}), {(counts == 0).sum()} images without a box; {header["clipped"]} boxes were clipped '
        f'to their image and {header["dropped"]} outside it dropped.', highlight=False, soft_wrap=True)


if __name__ == '__main__':
    main()
