"""Runs of a plan as jobs: train what is not trained, measure what is not measured, nothing twice."""
import fcntl
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable, write_bytes
from mmdecouple.utils.jobs import Job, training_progress

from .finishing import figures_folder, finish, read_note
from .measuring import UNTRAINED, figures_files
from .plan import Run

_WAIT_SECONDS = 120


def jobs_of(runs: Sequence[Run], train_tool: Path, *, gpus: int = 1, held_files: Sequence[IO] = (),
            measured: Callable[[], None] | None = None) -> list[Job]:
    """Jobs for all that is missing, each run's measuring right behind its training.

    Args:
        runs: Of a plan, in its order.
        train_tool: `tools/train.py`.
        gpus: Processes a training is spread over; 1 starts no launcher.
        held_files: See `Job`.
        measured: Called after each measuring.
    """
    jobs, training, measuring = [], {}, set()
    for run in runs:
        if run.key not in training and read_note(run) is None:
            if run.row.untrained:
                finish(run)
            else:
                training[run.key] = f'training {run.name}'
                jobs.append(Job(
                    training[run.key], _training(run, train_tool, gpus), run.folder / 'train.log',
                    training_progress(run.config.train_cfg.max_epochs),
                    [training[key] for key in run.needs if key in training],
                    partial(finish, run, gpus), held_files))
        # A training that is done anew takes its old figures away.
        missing = tuple(path for path in figures_files(run.probe, figures_folder(run))
                        if run.key in training or not path.is_file())
        if missing and missing not in measuring:
            measuring.add(missing)
            jobs.append(Job(
                f'measuring {run.name}', _measuring(run), run.folder / 'measure.log', _measuring_progress,
                [training[key] for key in (run.key, *run.needs) if key in training], measured, held_files))
    return jobs


def _training(run: Run, train_tool: Path, gpus: int) -> list[str]:
    config = _write_config(run, run.folder / 'config' / f'{run.folder.name}.py')
    program = [sys.executable]
    if gpus > 1:
        program += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={gpus}']
    program += [str(train_tool), str(config), '--work-dir', str(run.folder), '--resume']
    return [*program, '--launcher', 'pytorch'] if gpus > 1 else program


def _measuring(run: Run) -> list[str]:
    folder = figures_folder(run)
    stems = [path.stem.rpartition('-')[2] for path in figures_files(run.probe, folder)]
    config = _write_config(run, folder / f'probes-{"".join(stem[:4] for stem in stems)}.py')
    weights = UNTRAINED if run.row.untrained else str(run.weights)
    return [sys.executable, '-m', 'mmdecouple.ablation.measuring', str(config), weights, str(run.seed), str(folder)]


def _write_config(run: Run, path: Path) -> Path:
    # mmengine's own dump formats it nicely, which takes a second for each of hundreds.
    write_bytes(path, ''.join(f'{key} = {value!r}\n' for key, value in run.config.to_dict().items()).encode())
    return path


def _measuring_progress(line: str) -> tuple[int, int] | None:
    found = re.search(r'measured (\d+)/(\d+)', line)
    return found and (int(found[1]), int(found[2]))


@contextmanager
def alone_in(out: Path, say: Callable[[str], None]) -> Iterator[IO]:
    """Hold the lock of a folder of runs, which children that outlive us hold on to until they have saved.

    Args:
        out: The folder; made if need be.
        say: Told once if there is somebody to wait for.

    Raises:
        RuntimeError: Somebody else still works there after two minutes.
    """
    check_writable(out / '.lock')
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _WAIT_SECONDS
    with (out / '.lock').open('w') as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(f'{out}: another ablation works in this folder; wait for it, or take another '
                                    'with --out.') from None
                if say:
                    say(f'{out}: waiting for processes of an earlier start to save and end.')
                    say = None
                time.sleep(0.5)
        yield lock
