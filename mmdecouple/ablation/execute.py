"""Execution of a plan as jobs: each distinct run is trained and measured once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from mmdecouple.runs.jobs import Job
from mmdecouple.runs.launchers import ALONE, Launch
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.files import write_text
from mmdecouple.utils.locks import alone

from .finalize import figures_folder, finish, read_note
from .plan import PlannedRun
from .run_measures import UNTRAINED, write_pieces

_WAIT_SECONDS = 120


def jobs_of(
    runs: Sequence[PlannedRun],
    *,
    launch: Launch = ALONE,
    held_files: Sequence[IO] = (),
    measured: Callable[[], None] | None = None,
) -> list[Job]:
    """Returns jobs for everything that is missing, with the measurement of each run after its training.

    Args:
        runs: Runs of a plan, in its order.
        launch: How the processes of each training are started.
        held_files: See `Job`.
        measured: Called after each measurement.
    """
    jobs, training, measuring = [], {}, set()
    for run in runs:
        if run.key not in training and read_note(run) is None:
            if run.row.untrained:
                finish(run)
            else:
                training[run.key] = f'training {run.name}'
                jobs.append(
                    Job(
                        training[run.key],
                        _training(run, launch),
                        run.folder / 'train.log',
                        [training[key] for key in run.needs if key in training],
                        partial(finish, run, launch.gpus),
                        held_files,
                    )
                )
        # A repeated training invalidates the earlier measurements.
        missing = tuple(
            path
            for path in (piece.file(figures_folder(run)) for piece in run.pieces)
            if run.key in training or not path.is_file()
        )
        if missing and missing not in measuring:
            measuring.add(missing)
            jobs.append(
                Job(
                    f'measuring {run.name}',
                    _measuring(run),
                    run.folder / 'measure.log',
                    [training[key] for key in (run.key, *run.needs) if key in training],
                    measured,
                    held_files,
                )
            )
    return jobs


def _training(run: PlannedRun, launch: Launch) -> list[str]:
    config = _write_config(run, run.folder / 'config' / f'{run.folder.name}.py')
    words = [str(config), '--out', str(run.folder), '--resume']
    return launch.command('mmdecouple.commands.train', words, run.folder.name)


def _measuring(run: PlannedRun) -> list[str]:
    pieces = run.folder / 'config' / f'pieces-{digest_of([piece.stem for piece in run.pieces])[:8]}.json'
    write_pieces(pieces, run.pieces)
    config = _write_config(run, pieces.with_suffix('.py'))
    weights = UNTRAINED if run.row.untrained else str(run.weights)
    words = [str(config), str(pieces), weights, str(run.seed), str(figures_folder(run))]
    return ALONE.command('mmdecouple.ablation.run_measures', words)


def _write_config(run: PlannedRun, path: Path) -> Path:
    # The dump of mmengine formats the text, which takes a second for each of hundreds of configs.
    write_text(path, ''.join(f'{key} = {value!r}\n' for key, value in run.config.to_dict().items()))
    return path


@contextmanager
def alone_in(out: Path, say: Callable[[str], None]) -> Iterator[IO]:
    """Context that holds the lock of a folder of runs; child processes hold it until they have saved.

    Args:
        out: The folder, created if missing.
        say: Called with a line if another process holds the lock.

    Yields:
        The open lock file.

    Raises:
        UserError: Another process still holds the lock after two minutes.
    """
    busy = f'{out}: another ablation uses this folder; wait for it, or choose another with --out.'
    waiting = f'{out}: waiting for processes of an earlier start to save and end.'
    with alone(out / '.lock', busy, _WAIT_SECONDS, lambda: say(waiting)) as lock:
        yield lock
