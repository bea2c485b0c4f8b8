"""Kills of a run at all file operations of its saves, and the resumes after them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from file_operations import Kill, kills_of
from folder_states import differences, digest
from killed_runs import ITERATIONS, WINDOWS, Ended, Run, run, said

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from tests.integration.runs import write_case

SAME = 'same bytes'
_SETTINGS = """_base_ = ['../case/{method}.py']
train_dataloader = dict(batch_size={batch})
train_cfg = dict(max_epochs=2)
randomness = dict(seed=5)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
custom_hooks = _base_.custom_hooks + [dict(type='GracefulStopHook', interval=2)]
"""
_SIGKILL = -9


class Cell(NamedTuple):
    """Cell of the matrix.

    Attributes:
        method: Name of a case of `tests/integration/resume_case.py`.
        ranks: Number of processes.
        window: Name of one of `WINDOWS`.
    """

    method: str
    ranks: int
    window: str


class Matrix:
    """Runs of the cells of the matrix in one folder.

    Args:
        out: Folder of the cases, runs and states that did not resume.
        rows: Rows of earlier starts; their kills are not repeated, and their states count as tried.
    """

    def __init__(self, out: Path, rows: list[dict[str, Any]]) -> None:
        self.out = out
        self._rows = rows
        for name in ('case', 'runs'):
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).mkdir(parents=True)
        write_case(out / 'case')

    def run(self, cell: Cell, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Kills a run at all operations of a cell that are not known yet.

        Args:
            cell: What to run.
            most: Largest number of kills, evenly spaced; None for all.

        Yields:
            For each kill: cell, operation, digest of the folder that was left, and outcome of the resume: `same
            bytes`, or what went wrong.

        Raises:
            UserError: An uninterrupted run of the cell fails.
        """
        known = {row['kill']: row for row in self._rows if row['cell'] == list(cell)}
        outcomes = {row['state']: row['outcome'] for row in known.values()}
        listed = self._prepare(cell)
        kills = [kill for rank, lines in enumerate(listed) for kill in kills_of(lines, rank)]
        for kill in kills[:: 1 if most is None else max(1, -(-len(kills) // most))]:
            name = f'rank {kill.rank}, {kill.moment} {kill.number}: {listed[kill.rank][kill.number]}'
            if name in known:
                continue
            state, fault = self._kill(cell, kill, listed[kill.rank])
            resumed = fault is None and state not in outcomes
            if resumed:
                outcomes[state] = self._resume(cell, state)
            yield dict(cell=cell, kill=name, state=state, resumed=resumed, outcome=fault or outcomes[state])

    def _prepare(self, cell: Cell) -> list[list[str]]:
        """Runs a cell without a kill, and returns the operations of each rank in its window."""
        folder, stopped = self._folder(cell), self._stopped(cell)
        whole = self._of(cell, whole=True)
        if not whole.folder.exists():
            self._succeed(whole)
        if WINDOWS[cell.window].resumed and not stopped.exists():
            self._reset(folder, None)
            self._succeed(self._of(cell)._replace(window=WINDOWS['stop'], resume=False, day=0))
            shutil.copytree(folder, stopped)
        self._reset(folder, cell)
        counted = self._of(cell)
        self._succeed(counted)
        return [counted.operations(rank) for rank in range(cell.ranks)]

    def _succeed(self, start: Run) -> None:
        if any(ended.code != 0 for ended in run(start)):
            raise UserError(f'chaos: the run {start.folder} fails without a kill ({"; ".join(said(start))}).')

    def _kill(self, cell: Cell, kill: Kill, lines: list[str]) -> tuple[str, str | None]:
        """Returns the digest of the folder that a kill leaves, and what is wrong with the kill itself."""
        self._reset(self._folder(cell), cell)
        start = self._of(cell)._replace(kill=kill)
        ended: list[Ended] = run(start)
        state = digest(start.folder, [one.process for one in ended])
        if ended[kill.rank].code != _SIGKILL:
            return state, f'the kill did not happen: exit code {ended[kill.rank].code}'
        if start.operations(kill.rank) != lines[: kill.number + 1]:
            return state, f'another operation: {start.operations(kill.rank)[-1]}'
        if any(one.code is None for one in ended):
            return state, 'a rank did not end'
        return state, None

    def _resume(self, cell: Cell, state: str) -> str:
        folder, kept = self._folder(cell), self.out / 'failed' / f'{"_".join(map(str, cell))}_{state}'
        if folder.exists():
            shutil.copytree(folder, kept)
        start = self._of(cell)._replace(window=None, resume=True, day=2)
        codes = [ended.code for ended in run(start)]
        if any(code != 0 for code in codes):
            return f'exit codes {codes}: {"; ".join(said(start))}'[:500]
        found = '; '.join(differences(folder, self._of(cell, whole=True).folder, f'iter_{ITERATIONS}.pth'))[:500]
        if not found:
            shutil.rmtree(kept, ignore_errors=True)
        return found or SAME

    def _of(self, cell: Cell, whole: bool = False) -> Run:
        """Returns the start of a cell's run, or of the run without interruption with which results are compared."""
        config = self.out / 'configs' / f'{cell.method}_{cell.ranks}.py'
        if not config.exists():
            write_text(config, _SETTINGS.format(method=cell.method, batch=4 // cell.ranks))
        window = WINDOWS[cell.window]
        if whole:
            return Run(config, self.out / 'runs' / f'{cell.method}_{cell.ranks}_whole', cell.ranks)
        return Run(
            config, self._folder(cell), cell.ranks, window, resume=window.resumed, day=1 if window.resumed else 0
        )

    def _folder(self, cell: Cell) -> Path:
        return self.out / 'runs' / f'{cell.method}_{cell.ranks}'

    def _stopped(self, cell: Cell) -> Path:
        return self.out / 'runs' / f'{cell.method}_{cell.ranks}_stopped'

    def _reset(self, folder: Path, cell: Cell | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if cell is not None and WINDOWS[cell.window].resumed:
            shutil.copytree(self._stopped(cell), folder)
