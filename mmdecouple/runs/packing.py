"""Packing of images into shards, which continues after an interruption."""

import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from rich.console import Console

from mmdecouple.datasets.listing import find_missing, list_images
from mmdecouple.datasets.pack_format import HEAD, shard_name
from mmdecouple.datasets.pack_writing import Storage, StoredImage, Upcoming, stored_image, write_index, write_shard
from mmdecouple.datasets.packs import Pack
from mmdecouple.utils.data_spec import DataSpec, image_files
from mmdecouple.utils.digests import digest_of_bytes
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import remove_leftovers, write_arrays, write_json
from mmdecouple.utils.locks import alone
from mmdecouple.utils.progress import shown_progress, shown_stages

from .processes import start_pool_worker

_CHUNK = 8
_LOCK_SECONDS = 5
_MAX_MISSING = 0.01
_WORK = '.unfinished'


def list_source(data: DataSpec) -> tuple[list[str], list[str]]:
    """Lists the images to pack, in the order in which `ImageDataset` uses them.

    Args:
        data: Data of a kind in `FILES`; of COCO, the images of the training split.

    Returns:
        Paths, and names relative to the folder, as the list writes them; an absolute name is kept.

    Raises:
        MissingFile: The data, or more than 1 % of the images, do not exist.
        UserError: The data list no image or are invalid.
    """
    folder, listing, _ = image_files(data)
    paths = list(list_images('', listing, folder))
    missing = find_missing(paths)
    if len(missing) > _MAX_MISSING * len(paths):
        raise MissingFile(
            f'{len(missing)} of the {len(paths)} images of {shown(str(data), 100)} do not exist, the first is '
            f'{shown(missing[0], 100)}; name their folder (--data list:FILE:FOLDER).'
        )
    return paths, [path.removeprefix(os.path.join(folder, '')) for path in paths]


def verify(root: Path) -> int:
    """Reads all images of a pack, prints one line for each damaged one, and returns the number of images.

    Raises:
        UserError: An image, a shard or the index is damaged.
    """
    pack = Pack(root)
    damaged = 0
    with shown_progress('images') as show:
        for index, reason in pack.problems():
            if reason:
                damaged += 1
                print(f'{pack.name(index)}: {reason}.')
            show(index + 1, len(pack))
    if damaged:
        raise UserError(f'{damaged} of the {len(pack)} images of {root} are damaged; copy or pack them again.')
    return len(pack)


class FinishedShard(NamedTuple):
    """A shard that was written completely, with the number and reason of each image that cannot be decoded."""

    records: np.ndarray
    unreadable: list[tuple[int, str]]


class Packing:
    """Packs images into a folder, where finished shards are kept after an interruption.

    Args:
        out: Folder of the pack; it may exist if it is empty or holds an unfinished pack of the same images.
        paths: Paths of the images, at least one.
        names: Names of the images relative to their folder.
        storage: How the images are stored.
        shard_size: Largest number of bytes of the images of a shard with their headers; a larger image has a shard of
            its own.
    """

    def __init__(self, out: Path, paths: list[str], names: list[str], storage: Storage, shard_size: int) -> None:
        self.out, self.paths, self.names = out, paths, names
        self.storage, self.shard_size = storage, shard_size
        self._work = out / _WORK

    def run(self, workers: int, console: Console) -> list[tuple[str, str]]:
        """Packs the images that no earlier run has finished, and writes the index.

        Args:
            workers: Number of processes.
            console: Console of the progress.

        Returns:
            Name and reason of each image that cannot be decoded.

        Raises:
            UserError: The folder holds something else, or another process packs into it.
        """
        self._check_folder()
        busy = f'another process is packing into {self.out}; wait for it.'
        # The workers of a killed run hold its lock until they detect that their parent has ended.
        with alone(self._work / 'lock', busy, _LOCK_SECONDS):
            remove_leftovers(self.out)
            self._claim()
            shards = self._pack(workers, console)
            found = [(self.names[number], reason) for shard in shards for number, reason in shard.unreadable]
            write_index(self.out, [shard.records for shard in shards], self.names, found, self.storage)
        shutil.rmtree(self._work)
        return found

    def _check_folder(self) -> None:
        if (self.out / HEAD).exists() and not self._work.exists():
            raise UserError(f'{self.out} is a finished pack; name another folder, or remove it first.')
        if self.out.is_dir() and not self._work.exists() and any(self.out.iterdir()):
            raise UserError(f'{self.out} holds other files and no unfinished pack; name an empty or a new folder.')

    def _claim(self) -> None:
        plan = dict(
            images=digest_of_bytes('\0'.join(self.paths).encode(errors='surrogateescape')),
            shard_size=self.shard_size,
            **self.storage._asdict(),
        )
        path = self._work / 'plan.json'
        if path.exists() and json.loads(path.read_text()) != plan:
            raise UserError(
                f'{self.out} holds an unfinished pack of other images or with other settings; repeat its command, or '
                'remove the folder.'
            )
        write_json(path, plan)

    def _pack(self, workers: int, console: Console) -> list[FinishedShard]:
        shards: list[FinishedShard] = []
        while (shard := self._finished(len(shards))) is not None:
            shards.append(shard)
        done = sum(len(shard.records) for shard in shards)
        if done:
            console.print(f'{done} of {len(self.names)} images are done already.')
        with shown_stages(console) as show:

            def reported(images: Iterator[StoredImage]) -> Iterator[StoredImage]:
                for count, image in enumerate(images, done + 1):
                    yield image
                    show('images', count, len(self.names))

            images = Upcoming(reported(_stored(self.paths[done:], self.storage, workers)))
            while images.next is not None:
                shards.append(self._write(len(shards), done, images))
                done += len(shards[-1].records)
        return shards

    def _write(self, number: int, first: int, images: Upcoming) -> FinishedShard:
        path = self.out / shard_name(number)
        shard = FinishedShard(*write_shard(path, first, images, self.shard_size))
        reasons = np.frombuffer(json.dumps(shard.unreadable).encode(), np.uint8)
        write_arrays(self._record(number), records=shard.records, unreadable=reasons, size=path.stat().st_size)
        return shard

    def _finished(self, number: int) -> FinishedShard | None:
        path = self.out / shard_name(number)
        if not (self._record(number).exists() and path.exists()):
            return None
        with np.load(self._record(number), allow_pickle=False) as arrays:
            if path.stat().st_size != int(arrays['size']):
                return None
            unreadable = [(number, reason) for number, reason in json.loads(arrays['unreadable'].tobytes())]
            return FinishedShard(arrays['records'], unreadable)

    def _record(self, number: int) -> Path:
        return self._work / f'{number:06d}.npz'


def _stored(paths: list[str], storage: Storage, workers: int) -> Iterator[StoredImage]:
    """Yields the stored images in order; with several workers, a limited number of images is read ahead."""
    if workers == 1:
        yield from (stored_image(path, storage) for path in paths)
        return
    pending: deque[Future[list[StoredImage]]] = deque()
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        for start in range(0, len(paths), _CHUNK):
            pending.append(pool.submit(store_chunk, paths[start : start + _CHUNK], storage))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(parent: int) -> None:
    start_pool_worker(parent)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def store_chunk(paths: list[str], storage: Storage) -> list[StoredImage]:
    """Returns some images as they are stored; see `stored_image`."""
    return [stored_image(path, storage) for path in paths]
