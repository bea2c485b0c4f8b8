"""Fills a table: runs what is missing and writes what has been measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from mmdecouple.runs.jobs import JobFailed, run_jobs
from mmdecouple.runs.launch import cores
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.files import write_text

from .execute import alone_in, jobs_of
from .figure import write_figures
from .plan import PlannedRun, check_batch, plan_runs
from .render import markdown
from .rows import raw_rows, read_seeds, write_rows
from .table import Table


@dataclass
class Filling:
    """A table at one scale.

    Attributes:
        table: The table.
        scale: One of `SCALES`.
        out: Folder of all runs and results.
        options: More overrides for every run.
        whole: All runs of the table, also those of earlier commands with other seeds; set by `plan`.
    """

    table: Table
    scale: str
    out: Path
    options: Mapping[str, Any]
    whole: list[PlannedRun] = field(default_factory=list, init=False)

    def plan(self, seeds: Sequence[int] | None, rows: Sequence[str], settings: Sequence[str]) -> list[PlannedRun]:
        """The runs that are asked for; see `plan_runs`."""
        runs = plan_runs(
            self.table, self.scale, self.out, seeds=seeds, rows=rows, settings=settings, options=self.options
        )
        # What is written holds all that has been measured of the table, also by earlier commands.
        known = {*self.table.seeds, *(seeds or ()), *read_seeds(self._results(self.out) / 'rows.jsonl')}
        self.whole = plan_runs(self.table, self.scale, self.out, seeds=sorted(known), options=self.options)
        return runs

    def fill(
        self, runs: Sequence[PlannedRun], slots: int, threads: int | None, gpus: int, console: Console
    ) -> list[JobFailed]:
        """Trains and measures what is missing.

        Args:
            runs: Of `plan`.
            slots: Jobs at a time.
            threads: Of each job; None shares the cores out.
            gpus: Processes that each training is spread over.
            console: Where progress is shown.

        Returns:
            The failures.

        Raises:
            UserError: Another command works in the folder, or the batch does not fit the learning rate.
            KeyboardInterrupt: It was stopped; every run has saved.
        """
        check_batch(runs, gpus)
        with alone_in(self.out, console.print) as lock:
            jobs = jobs_of(runs, gpus=gpus, held_files=[lock], measured=lambda: self.write(self.out))
            console.print(f'{self.table.name}: {len(runs)} rows to fill, {len(jobs)} jobs to do.', highlight=False)
            return run_jobs(self.table.name, jobs, slots, threads or max(1, cores() // slots), console, keep_going=True)

    def write(self, out: Path) -> tuple[list[dict[str, Any]], Path]:
        """Writes raw rows, table and figures of what has been measured into a folder.

        Returns:
            The raw rows, and the table's file.
        """
        folder = self._results(out)
        rows = raw_rows(self.table, self.scale, self.whole)
        write_rows(folder / 'rows.jsonl', rows)
        write_text(folder / 'table.md', markdown(self.table, rows, self.scale))
        write_figures(self.table, rows, self.scale, folder)
        return rows, folder / 'table.md'

    def _results(self, out: Path) -> Path:
        """`TABLE/SCALE`, or one of its own for other overrides."""
        changed = f'-{digest_of(self.options)[:8]}' if self.options else ''
        return out / self.table.name / f'{self.scale}{changed}'
