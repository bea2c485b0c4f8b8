"""Filling of an ablation table: executes missing runs and writes the measured rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from mmdecouple.runs.jobs import JobFailed, run_jobs
from mmdecouple.runs.launch import cores
from mmdecouple.runs.launchers import Launch
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.files import write_text
from mmdecouple.utils.locks import alone

from .execute import alone_in, jobs_of
from .figure import write_figures
from .plan import PlannedRun, check_batch, plan_runs
from .publish import with_published
from .rows import raw_rows, read_seeds, write_rows
from .table import Table
from .table_text import markdown


@dataclass
class Filling:
    """Filling of a table at one scale.

    Attributes:
        table: The table.
        scale: One of `SCALES`.
        out: Folder of all runs and results.
        options: Additional overrides for every run.
        whole: All runs of the table, including those of earlier commands with other seeds; set by `plan`.
    """

    table: Table
    scale: str
    out: Path
    options: Mapping[str, Any]
    whole: list[PlannedRun] = field(default_factory=list, init=False)

    def plan(
        self, seeds: Sequence[int] | None, rows: Sequence[str], settings: Sequence[str], published: Path | None = None
    ) -> list[PlannedRun]:
        """Returns the requested runs, see `plan_runs`.

        Args:
            seeds: Seeds; None for those of the table.
            rows: Patterns of rows; empty for all.
            settings: Settings; empty for all.
            published: Folder of published results, whose seeds are also part of the whole table.
        """
        runs = plan_runs(
            self.table, self.scale, self.out, seeds=seeds, rows=rows, settings=settings, options=self.options
        )
        # The written table includes everything that earlier commands have measured.
        known = {*self.table.seeds, *(seeds or ())}
        for out in filter(None, (self.out, published)):
            known |= read_seeds(self._results(out) / 'rows.jsonl')
        self.whole = plan_runs(self.table, self.scale, self.out, seeds=sorted(known), options=self.options)
        return runs

    def fill(
        self, runs: Sequence[PlannedRun], slots: int, threads: int | None, launch: Launch, console: Console
    ) -> list[JobFailed]:
        """Trains and measures the missing runs.

        Args:
            runs: Result of `plan`.
            slots: Maximum number of jobs at a time.
            threads: Threads of each job; None divides the cores among the jobs.
            launch: How the processes of each training are started.
            console: Console of the progress.

        Returns:
            The failures.

        Raises:
            UserError: Another command uses the folder, or the batch size does not match the learning rate.
            KeyboardInterrupt: The process was interrupted; every run has saved.
        """
        check_batch(runs, launch.gpus)
        with alone_in(self.out, console.print) as lock:
            jobs = jobs_of(runs, launch=launch, held_files=[lock], measured=lambda: self.write(self.out))
            console.print(f'{self.table.name}: {len(runs)} rows to fill, {len(jobs)} jobs to do.', highlight=False)
            return run_jobs(self.table.name, jobs, slots, threads or max(1, cores() // slots), console, keep_going=True)

    def write(self, out: Path) -> tuple[list[dict[str, Any]], Path]:
        """Writes raw rows, table and figures of all measured runs.

        Args:
            out: Folder of the results. Any other than `self.out` is one of published results, whose rows of runs on
                other machines are kept.

        Returns:
            The raw rows, and the path of the table.

        Raises:
            UserError: See `raw_rows` and `with_published`, or another command writes the same results.
        """
        folder = self._results(out)
        rows = raw_rows(self.table, self.scale, self.whole)
        busy = f'{folder}: another command has been writing this table for a minute; try again, or use another folder.'
        with alone(folder / 'rows.lock', busy, wait=60):
            if out != self.out:
                rows = with_published(rows, folder / 'rows.jsonl', self.whole)
            write_rows(folder / 'rows.jsonl', rows)
            write_text(folder / 'table.md', markdown(self.table, rows, self.scale))
            write_figures(self.table, rows, self.scale, folder)
        return rows, folder / 'table.md'

    def _results(self, out: Path) -> Path:
        """Returns the folder `TABLE/SCALE`, or a separate folder for other overrides."""
        changed = f'-{digest_of(self.options)[:8]}' if self.options else ''
        return out / self.table.name / f'{self.scale}{changed}'
