"""Kills of a run at all file operations of its saves, and the resumes after them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chaos_windows import ITERATIONS, SAME, WINDOWS
from file_operations import Kill, kills_of
from folder_states import differences, keep, put
from killed_runs import Run, resumed_from, run, said

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from tests.integration.runs import write_case

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


class Death(NamedTuple):
    """Death of a run.

    Attributes:
        kill: The kill that was planned.
        code: Exit code of the rank to be killed; None if a rank did not end.
        operations: Number of operations that were counted.
        state: Digest of the folder that the run left.
    """

    kill: Kill
    code: int | None
    operations: int
    state: str

    def fault(self) -> str | None:
        """Returns what is wrong with the kill itself, if anything."""
        if self.code != _SIGKILL:
            return f'the kill did not happen: exit code {self.code}'
        if self.operations != self.kill.number + 1 and self.kill.moment != 'beside':
            return f'the kill happened at operation {self.operations - 1}'
        return None


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
        start = self._start(cell)
        known = {row['kill']: row for row in self._rows if row['cell'] == list(cell)}
        outcomes = {row['state']: row['outcome'] for row in known.values() if row['resumed']}
        names = {
            kill: f'rank {kill.rank}, {kill.moment} {kill.number}: {line}'
            for kill, line in kills_of(self._listed(cell, start)).items()
        }
        kills = list(names)[:: 1 if most is None else max(1, -(-len(names) // most))]
        shutil.rmtree(start.states, ignore_errors=True)
        for death in self._deaths(cell, start, [kill for kill in kills if names[kill] not in known]):
            if death.kill.moment == 'beside' and death.code == 0:
                # The rank had ended before rank 0 arrived there.
                continue
            fault = death.fault()
            resumed = fault is None and death.state not in outcomes
            if resumed:
                outcomes[death.state] = self._resume(cell, start, death.state)
            yield dict(
                cell=cell,
                kill=names[death.kill],
                state=death.state,
                resumed=resumed,
                outcome=fault or outcomes[death.state],
            )

    def _listed(self, cell: Cell, start: Run) -> list[list[str]]:
        """Runs a cell without a kill, and returns the operations of each rank in its window."""
        if not self._whole(cell).exists():
            self._succeed(start._replace(folder=self._whole(cell), window=None, resume=False, day=0))
        if start.resume and not self._stopped(cell).exists():
            put(self.out / 'absent', start.folder)
            self._succeed(start._replace(window=WINDOWS['stop'], resume=False, day=0))
            put(start.folder, self._stopped(cell))
        self._prepare(cell, start)
        self._succeed(start)
        return [start.operations(rank) for rank in range(cell.ranks)]

    def _deaths(self, cell: Cell, start: Run, kills: list[Kill]) -> Iterator[Death]:
        """Yields the death of the run at each kill; `start.states` holds the folders that they leave."""
        # Processes that are connected cannot be forked.
        if cell.ranks == 1 and start.window.begin is not None and kills:
            self._prepare(cell, start)
            run(start._replace(kills=tuple(kills)))
            lines = start.deaths.read_text().splitlines()
            if len(lines) < len(kills):
                raise UserError(f'chaos: {start.folder} ended after {len(lines)} of {len(kills)} kills.')
            for line in lines:
                kill, code, operations, state = json.loads(line)
                yield Death(Kill(*kill), code, operations, state)
            return
        for kill in kills:
            self._prepare(cell, start)
            ended = run(start._replace(kill=kill))
            state = keep(start.folder, start.states, [one.process for one in ended])
            hung = any(one.code is None for one in ended)
            yield Death(kill, None if hung else ended[kill.rank].code, len(start.operations(kill.counted_by)), state)

    def _resume(self, cell: Cell, start: Run, state: str) -> str:
        """Resumes the run from a state; returns `same bytes`, or what differs from the uninterrupted run."""
        put(start.states / state, start.folder)
        ended = run(start._replace(window=None, resume=True, day=2))
        codes = [one.code for one in ended]
        if any(code != 0 for code in codes):
            outcome = f'exit codes {codes}: {"; ".join(said(start))}'[:500]
        elif resumed_from(start) < WINDOWS[cell.window].saved:
            outcome = f'continued from iteration {resumed_from(start)}, not {WINDOWS[cell.window].saved} or later'
        else:
            found = differences(start.folder, self._whole(cell), f'iter_{ITERATIONS}.pth')
            outcome = '; '.join(found)[:500] or SAME
        if outcome != SAME:
            put(start.states / state, self.out / 'failed' / f'{"_".join(map(str, cell))}_{state}')
        return outcome

    def _start(self, cell: Cell) -> Run:
        config, window = self.out / 'configs' / f'{cell.method}_{cell.ranks}.py', WINDOWS[cell.window]
        write_text(config, _SETTINGS.format(method=cell.method, batch=4 // cell.ranks))
        folder = self.out / 'runs' / f'{cell.method}_{cell.ranks}'
        return Run(config, folder, cell.ranks, window, resume=window.resumed, day=int(window.resumed))

    def _prepare(self, cell: Cell, start: Run) -> None:
        put(self._stopped(cell) if start.resume else self.out / 'absent', start.folder)

    def _succeed(self, start: Run) -> None:
        if any(ended.code != 0 for ended in run(start)):
            raise UserError(f'chaos: the run {start.folder} fails without a kill ({"; ".join(said(start))}).')

    def _whole(self, cell: Cell) -> Path:
        return self.out / 'runs' / f'{cell.method}_{cell.ranks}_whole'

    def _stopped(self, cell: Cell) -> Path:
        return self.out / 'runs' / f'{cell.method}_{cell.ranks}_stopped'
