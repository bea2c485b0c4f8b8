"""Selective search over a data set in resumable chunks."""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from mmdecouple.datasets.proposals import ProposalFile, write_proposals
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.selective_search import filter_proposals, selective_search
from mmdecouple.utils.digests import digest_of_bytes
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json
from mmdecouple.utils.locks import alone
from mmdecouple.utils.progress import shown_stages

from .processes import start_pool_worker

_CHUNK = 16
_LOCK_SECONDS = 5


class ProposalSearch:
    """Selective search over a data set, which resumes from finished chunks in a hidden folder beside `out`.

    Args:
        out: Proposal file that is written at the end.
        images: Folder of the images.
        names: Names of the images, relative to `images`.
        dataset: Name of the data set.
        search: Keyword arguments of `selective_search`.
        keep: Keyword arguments of `filter_proposals`.
    """

    def __init__(self, out: Path, images: str, names: list[str], dataset: str, search: dict, keep: dict) -> None:
        self.out, self.images, self.names, self.dataset = out, images, names, dataset
        self.search, self.keep = search, keep
        self.folder = out.with_name(f'.{out.name}.partial')
        self.chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]

    def run(self, workers: int, console: Console, restart: bool = False) -> dict[str, Any]:
        """Searches the images that no earlier run has finished, writes the file, and returns its header.

        Args:
            workers: Number of processes.
            console: Console of the progress.
            restart: Whether to discard chunks of a search with other images or parameters.

        Raises:
            UserError: Another process writes the same file, or, without `restart`, the folder holds chunks of a search
                with other images or parameters.
        """
        # The workers of a killed run hold its lock until they detect that their parent has ended.
        with alone(self.folder / 'lock', f'another process is writing {self.out}; wait for it.', _LOCK_SECONDS):
            self._claim(restart)
            self._search(workers, console)
            header = self._join()
        shutil.rmtree(self.folder)
        return header

    def _claim(self, restart: bool) -> None:
        plan = dict(
            images=digest_of_bytes('\0'.join(self.names).encode()),
            folder=os.path.abspath(self.images),
            chunk=_CHUNK,
            **self.search,
            **self.keep,
        )
        path = self.folder / 'plan.json'
        if path.exists() and json.loads(path.read_text()) != plan:
            if not restart:
                raise UserError(
                    f'{self.folder} holds an unfinished search with other images or parameters; '
                    'repeat its command, or discard it with --force.'
                )
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
        with ProcessPoolExecutor(
            min(workers, len(missing)), initializer=_start_worker, initargs=(os.getpid(),)
        ) as pool:
            futures = {
                pool.submit(
                    search_chunk, self._chunk_path(number), self.images, self.chunks[number], self.search, self.keep
                ): number
                for number in missing
            }
            try:
                with shown_stages(console) as show:
                    for future in as_completed(futures):
                        for name, reason in future.result():
                            console.print(
                                f'{name} cannot be read ({reason}) and has no boxes.', highlight=False, soft_wrap=True
                            )
                        done += len(self.chunks[futures[future]])
                        show('images', done, len(self.names))
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


def _start_worker(parent: int) -> None:
    start_pool_worker(parent)
    cv2.setNumThreads(0)


def search_chunk(path: Path, images: str, names: list[str], search: dict, keep: dict) -> list[tuple[str, str]]:
    """Writes the proposals of some images to one file.

    Args:
        path: File of the chunk.
        images: Folder of the images.
        names: Names of the images, relative to `images`.
        search: Keyword arguments of `selective_search`.
        keep: Keyword arguments of `filter_proposals`.

    Returns:
        Pairs (name, reason) of the images that cannot be read.
    """
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
