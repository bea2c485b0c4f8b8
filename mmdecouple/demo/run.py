"""Trains and measures the missing runs of a demo, and writes the report."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mmdecouple.networks.network import UNTRAINED
from mmdecouple.runs.contents import newest_checkpoint, read_run
from mmdecouple.runs.jobs import Job, run_jobs
from mmdecouple.runs.launch import cores
from mmdecouple.runs.launchers import ALONE
from mmdecouple.runs.stamp import Stamp
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization.comparison import compare, figures_file, is_measured, measured_runs

from .progress import Overall, Stage
from .stories import CAUTION, Story

_TRAINING, _MEASURING, _REPORT = 'training', 'measuring', 'report'
# Set by `make demo`, which sets up the environment first.
_SET_UP = 'MMDECOUPLE_SET_UP'
_QUICK_TRAINING = ['train_cfg.max_epochs=2', 'train_dataloader.dataset.num_images=64']
_QUICK_MEASURING = ['--limit', '40']


@dataclass(frozen=True)
class Demo:
    """Demo of one method.

    Args:
        story: Runs of the method.
        out: Folder of the runs and, below it, of the report.
        seed: Seed of all runs.
        fresh: Whether to repeat finished trainings.
        quick: Whether to take only a few steps, which tests the programs but trains nothing useful.
        console: Console of the progress.
    """

    story: Story
    out: Path
    seed: int
    fresh: bool
    quick: bool
    console: Console

    def run(self) -> None:
        """Executes the missing runs and writes the report.

        Raises:
            JobFailed: A training or a measurement failed.
            KeyboardInterrupt: The process was interrupted; every run has saved.
        """
        story, before, options = self.story, {}, []
        overall = self._overall()
        threads = max(1, cores() // len(story.runs))
        for name, config, key in (
            ('Teacher', story.teacher, 'model.teacher.checkpoint'),
            ('Start', story.start, 'model.backbone.weights'),
        ):
            if config:
                overall.begin(name.lower())
                before = self._train({name: config}, cores(), overall)
                options = [f'{key}={newest_checkpoint(before[name])}']
        overall.begin(_TRAINING)
        folders = self._train(story.runs, threads, overall, options)
        folders = before | folders if story.start else folders | before
        overall.begin(_MEASURING)
        run_jobs('Measuring', self._measuring_jobs(folders), min(cores(), 4), threads, self.console, overall=overall)
        overall.begin(_REPORT)
        self.console.print(overall.headline(), highlight=False, markup=False)
        compare(
            measured_runs(folders),
            self.out / story.report,
            title=f'{next(iter(story.runs))} with and without de-coupling',
            notes=[story.notes, CAUTION],
            console=self.console,
        )
        self.console.print(f'Done in {overall.minutes():.1f} min.', highlight=False)

    def _overall(self) -> Overall:
        """Returns the progress over all stages, with the minutes that they take on two cores.

        `make demo` counts the set-up as the first stage.
        """
        training, measuring, report = (1.0, 3.0, 0.5) if self.quick else (5.0, 3.0, 0.5)
        stages = [Stage(name, training / 3) for name in ('teacher', 'start') if getattr(self.story, name)]
        stages += [Stage(_TRAINING, training), Stage(_MEASURING, measuring), Stage(_REPORT, report)]
        return Overall(stages, int(os.environ.get(_SET_UP) == '1'))

    def _train(
        self, runs: dict[str, str], threads: int, overall: Overall, options: Sequence[str] = ()
    ) -> dict[str, Path]:
        """Trains the runs that are not trained yet, several at a time.

        Args:
            runs: Name -> config in `configs/demo/`.
            threads: OpenMP threads of each run.
            overall: Progress of the demo.
            options: Additional `--cfg-options`.

        Returns:
            Name -> run folder.
        """
        options = [*options, *(_QUICK_TRAINING if self.quick else [])]
        folders = {name: self.out / Path(config).stem for name, config in runs.items()}
        jobs = {name: self._training_job(name, config, folders[name], options) for name, config in runs.items()}
        due = [job for job in jobs.values() if job is not None]
        if len(due) < len(jobs):
            trained = ', '.join(name for name, job in jobs.items() if job is None)
            self.console.print(f'Already trained, reused: {trained} (--fresh trains again).', highlight=False)
        # Three equal runs on two cores finish sooner in parallel than as a pair followed by a single run.
        slots = len(runs) if cores() > 1 else 1
        run_jobs('Training', due, slots, threads, self.console, overall=overall)
        return folders

    def _training_job(self, name: str, config_name: str, folder: Path, options: Sequence[str]) -> Job | None:
        """Returns the job that trains one network to its end; None if the training has finished."""
        path = configs_folder() / 'demo' / config_name
        stamp = Stamp(folder, digest_of([load_config(str(path)).to_dict(), options, self.seed]))
        if self.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        stamp.claim('add --fresh to train it again, or choose another folder with --out')
        if stamp.finished() is not None:
            return None
        arguments = [str(path), '--out', str(folder), '--resume', '--seed', str(self.seed)]
        arguments += ['--cfg-options', *options] if options else []
        return Job(
            name,
            ALONE.command('mmdecouple.commands.train', arguments),
            folder / 'train.log',
            done=lambda: _finish(stamp),
        )

    def _measuring_jobs(self, folders: dict[str, Path]) -> list[Job]:
        """Returns jobs that measure every run and the untrained network of the first, as far as they are missing."""
        runs = {name: (folder, *read_run(folder)) for name, folder in folders.items()}
        first, start, config = next(iter(runs.values()))
        targets = [('Untrained', first, None, config, f'{UNTRAINED}{start}')]
        targets += [
            (name, folder, checkpoint, config, str(checkpoint)) for name, (folder, checkpoint, config) in runs.items()
        ]
        jobs = []
        for name, folder, checkpoint, config, network in targets:
            out = figures_file(folder, checkpoint)
            if not is_measured(out, config, checkpoint):
                arguments = [network, str(out), *(_QUICK_MEASURING if self.quick else [])]
                jobs.append(
                    Job(name, ALONE.command('mmdecouple.visualization.coupling', arguments), out.with_suffix('.log'))
                )
        return jobs


def _finish(stamp: Stamp) -> None:
    """Records that a run has finished, if its last checkpoint exists."""
    checkpoint, config = read_run(stamp.folder)
    if checkpoint.name != f'epoch_{config.train_cfg.max_epochs}.pth':
        raise UserError(f'the run in {stamp.folder} was stopped before its end; run the same command to continue.')
    stamp.finish()
