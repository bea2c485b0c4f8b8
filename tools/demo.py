"""The whole story on built-in data: pre-train, de-couple, control, measure, show (`make demo`).

Trains small networks of one method from one seed, a few at a time, measures them and the untrained network, and
writes `report.html`. A run that is finished is not trained again, an interrupted one goes on where it stopped.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mmdecouple.networks.network import UNTRAINED
from mmdecouple.utils.arguments import seed
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.errors import UserError, one_line_errors
from mmdecouple.utils.files import check_writable, write_json
from mmdecouple.utils.jobs import Job, JobFailed, run_jobs, training_progress
from mmdecouple.utils.run_folders import newest_checkpoint, read_run
from mmdecouple.visualization.comparison import compare, figures_file, is_measured

TOOLS = Path(__file__).resolve().parent
STAMP = 'demo.json'
QUICK_TRAINING = ['train_cfg.max_epochs=2', 'train_dataloader.dataset.num_images=64']
QUICK_MEASURING = ['--limit', '40']


@dataclass(frozen=True)
class Story:
    """What the demo of one method trains and says.

    Args:
        runs: Name in the report -> config in `configs/demo/`, the base method first.
        notes: What the runs are to each other.
        report: Folder of the report, below that of the runs.
        teacher: Config of the run that teaches the others and is trained before them.
        start: Config of the run whose backbone the others go on from; trained before them, and it stands before them in
            the report, as its untrained network is theirs.
    """

    runs: dict[str, str]
    notes: str
    report: str
    teacher: str | None = None
    start: str | None = None


DENSECL = Story(
    {
        'DenseCL': 'densecl_resnet-demo_scenes.py',
        'DenseCL-D': 'densecl-d_resnet-demo_scenes.py',
        'Control': 'densecl-same_resnet-demo_scenes.py',
    },
    'DenseCL-D is DenseCL plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): '
    'what DenseCL-D gains over Control comes from the foreign background, what Control gains over DenseCL comes from '
    'the extra loss at the same positions.', report='')
IBOT = Story(
    {
        'iBOT': 'ibot_vit-demo_scenes.py',
        'iBOT-D': 'ibot-d_vit-demo_scenes.py',
        'Control': 'ibot-same_vit-demo_scenes.py',
    },
    'iBOT-D is iBOT plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): what '
    'iBOT-D gains over Control comes from the foreign background, what Control gains over iBOT comes from a loss on '
    'visible tokens, which iBOT lacks.', report='ibot')
MASKALIGN = Story(
    {
        'MaskAlign': 'maskalign_vit-demo_scenes.py',
        'MaskAlign-D': 'maskalign-d_vit-demo_scenes.py',
    },
    'MaskAlign-D is MaskAlign plus the de-coupling branch. Teacher is the iBOT of the demo, which stays as it is while '
    'it teaches both; on real images MaskAlign takes CLIP.',
    report='maskalign', teacher=IBOT.runs['iBOT'])
SOCO = Story(
    {
        'SoCo': 'soco_resnet-demo_scenes.py',
        'SoCo-D': 'soco-d_resnet-demo_scenes.py',
        'Control': 'soco-same_resnet-demo_scenes.py',
    },
    "SoCo-D is SoCo plus the de-coupling branch on proposals, with RCC instead of SoCo's cutout. Control is the same "
    'with nothing mixed in (Xᴰ = X): what SoCo-D gains over Control comes from the foreign background. The proposals '
    'are random boxes.', report='soco')
LEOPART = Story(
    {
        'Leopart': 'leopart_vit-demo_scenes.py',
        'Leopart-D': 'leopart-d_vit-demo_scenes.py',
    },
    'Leopart-D is Leopart plus the de-coupling branch. Start is the iBOT of the demo, which both go on from; on real '
    'images Leopart goes on from DINO.',
    report='leopart', start=IBOT.runs['iBOT'])
STORIES = {'densecl': DENSECL, 'ibot': IBOT, 'maskalign': MASKALIGN, 'soco': SOCO, 'leopart': LEOPART}
CAUTION = ('One seed, small networks, minutes of training on synthetic scenes: this shows the machinery and the '
           'direction of strong effects, not the numbers of the paper.')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--method', choices=STORIES, default='densecl', help='whose runs (default: densecl)')
    parser.add_argument('--seed', type=seed, default=0, help='seed of all runs (default: 0)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'),
                        help='folder of the runs and, for another method than densecl in a folder of its name, of the '
                        'report (default: work_dirs/demo)')
    parser.add_argument('--fresh', action='store_true', help='train again what is finished')
    parser.add_argument('--quick', action='store_true', help='a few steps: tries the machinery, teaches nothing')
    return parser.parse_args()


def train(runs: dict[str, str], args: argparse.Namespace, threads: int, console: Console,
          options: Sequence[str] = ()) -> dict[str, Path]:
    """Train what is not trained yet, several at a time.

    Args:
        runs: Name -> config in `configs/demo/`.
        args: Of the command line.
        threads: OpenMP threads of each run.
        console: Where progress is shown.
        options: More `--cfg-options`.

    Returns:
        Name -> run folder.
    """
    options = [*options, *(QUICK_TRAINING if args.quick else [])]
    folders = {name: args.out / Path(config).stem for name, config in runs.items()}
    jobs = {name: training_job(name, config, folders[name], options, args) for name, config in runs.items()}
    due = [job for job in jobs.values() if job is not None]
    if len(due) < len(jobs):
        kept = ', '.join(name for name, job in jobs.items() if job is None)
        console.print(f'Already trained, kept: {kept} (--fresh trains again).', highlight=False)
    # Three equal runs on two cores end sooner side by side than as a pair and a straggler.
    run_jobs('Training', due, len(runs) if cores() > 1 else 1, threads, console)
    for job in due:
        finish(folders[job.name])
    return folders


def training_job(name: str, config_name: str, folder: Path, options: Sequence[str],
                 args: argparse.Namespace) -> Job | None:
    """Job that trains one network to its end, or None if that has been done."""
    path = configs_folder() / 'demo' / config_name
    config = load_config(str(path))
    facts = json.dumps([config.to_dict(), options, args.seed], sort_keys=True, default=str)
    key = hashlib.sha256(facts.encode()).hexdigest()
    stamp = folder / STAMP
    if args.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    known = json.loads(stamp.read_text()) if stamp.is_file() else None
    if known and known['key'] != key:
        sys.exit(f'demo: {folder} holds a run of another seed or config; add --fresh to train it again, '
                 'or choose another folder with --out.')
    if known and known['finished']:
        return None
    write_json(stamp, dict(key=key, finished=False))
    command = [sys.executable, str(TOOLS / 'train.py'), str(path), '--work-dir', str(folder), '--resume',
               '--seed', str(args.seed)]
    command += ['--cfg-options', *options] if options else []
    epochs = 2 if args.quick else config.train_cfg.max_epochs
    return Job(name, command, folder / 'train.log', training_progress(epochs))


def finish(folder: Path) -> None:
    """Mark a run as finished, if its last checkpoint is there."""
    checkpoint, config = read_run(folder)
    if checkpoint.name != f'epoch_{config.train_cfg.max_epochs}.pth':
        sys.exit(f'demo: the run in {folder} was stopped before its end; run the same command to go on.')
    stamp = json.loads((folder / STAMP).read_text())
    write_json(folder / STAMP, {**stamp, 'finished': True})


def measuring_jobs(folders: dict[str, Path], quick: bool) -> list[Job]:
    """Jobs that measure every run, and the untrained network of the first, where not done yet."""
    runs = {name: (folder, *read_run(folder)) for name, folder in folders.items()}
    first, start, config = next(iter(runs.values()))
    targets = [('Untrained', first, None, config, f'{UNTRAINED}{start}')]
    targets += [(name, folder, checkpoint, config, str(checkpoint))
                for name, (folder, checkpoint, config) in runs.items()]
    jobs = []
    for name, folder, checkpoint, config, network in targets:
        out = figures_file(folder, checkpoint)
        if is_measured(out, config, checkpoint):
            continue
        command = [sys.executable, str(TOOLS / 'analysis_tools' / 'coupling.py'), network, '--json', str(out)]
        command += QUICK_MEASURING if quick else []
        jobs.append(Job(name, command, out.with_suffix('.log'), measuring_progress))
    return jobs


def measuring_progress(line: str) -> tuple[int, int] | None:
    """Reads the progress lines of coupling.py, `probes 320/1000`."""
    found = re.search(r'probes\s+(\d+)\s*/\s*(\d+)', line)
    return found and (int(found[1]), int(found[2]))


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def main() -> None:
    args = parse_args()
    story = STORIES[args.method]
    console, start = Console(), time.monotonic()
    threads = max(1, cores() // len(story.runs))
    with one_line_errors():
        check_writable(args.out / story.report / 'report.html')
        try:
            before, options = {}, []
            for name, config, key in (('Teacher', story.teacher, 'model.teacher.checkpoint'),
                                      ('Start', story.start, 'model.backbone.weights')):
                if config:
                    before = train({name: config}, args, cores(), console)
                    options = [f'{key}={newest_checkpoint(before[name])}']
            folders = train(story.runs, args, threads, console, options)
            folders = before | folders if story.start else folders | before
            run_jobs('Measuring', measuring_jobs(folders, args.quick), min(cores(), 4), threads, console)
        except JobFailed as error:
            console.print('\n'.join(error.tail), style='dim', markup=False, highlight=False)
            sys.exit(f'demo: {error}')
        except KeyboardInterrupt:
            console.print('Stopped; every run has saved. The same command goes on from there.')
            sys.exit(130)
        compare(list(folders.values()), list(folders), args.out / story.report, never_measure, untrained=True,
                title=f'{next(iter(story.runs))} with and without de-coupling', notes=[story.notes, CAUTION],
                console=console)
    console.print(f'Done in {(time.monotonic() - start) / 60:.1f} min.', highlight=False)


def never_measure(network: str, out: Path) -> None:
    """Stands where `compare` would measure: the demo has done it before, several at a time."""
    raise UserError(f'{out} should hold the figures of {network} by now.')


if __name__ == '__main__':
    main()
