"""Random overrides of the demo's configs: short trainings with a misspelt key or a wrong value."""

import random
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from keys_and_values import VALUES, as_word, dotted_keys, misspell
from trial_process import Accepted

# Imported here, because the child processes inherit these modules.
import mmdecouple.engine
import mmdecouple.evaluation
import mmdecouple.models
import mmdecouple.visualization  # noqa: F401
from mmdecouple.utils.configs import configs_folder, load_config

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'
# Two steps with a few small images.
SHORT = [
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=4',
    'default_hooks.checkpoint.interval=1',
    'randomness.seed=0',
    'train_dataloader.dataset.num_images=8',
]
# Variables of the config files, whose values are copied to where they are used, so that an override has no effect.
VARIABLES = (
    'scenes',
    'colors',
    'crop',
    'view',
    'first_end',
    'second_end',
    'global_crop',
    'local_crop',
    'mlp',
    'arch',
    'decoupling',
)


class Override(NamedTuple):
    """One run.

    Attributes:
        config: Config of the demo.
        words: Arguments of `--cfg-options`.
        unread: Whether no code reads their key.
    """

    config: str
    words: list[str]
    unread: bool


def mutants(count: int, start: int) -> Iterator[Override]:
    """Yields `count` runs over all configs of the demo in turn, the same for equal `start`."""
    rng = random.Random(start)
    configs = sorted((configs_folder() / 'demo').glob('*scenes.py'))
    leaves = {path: list(dotted_keys(load_config(str(path)).to_dict())) for path in configs}
    for number in range(count):
        path = configs[number % len(configs)]
        # Models and optimizers have few keys, but most of the mistakes.
        front = rng.choice(['model', 'model', 'train', 'optim', ''])
        keys = [key for key in leaves[path] if key.startswith(front)]
        key = rng.choice(keys)
        misspelt = rng.random() < 0.3
        if misspelt:
            key = misspell(rng, key)
        yield Override(
            str(path), [f'{key}={as_word(rng.choice(VALUES))}'], misspelt or key.partition('.')[0] in VARIABLES
        )


def trials(count: int, start: int, folder: Path) -> tuple[Callable[[Override], None], Iterator[Override]]:
    """Returns the call and its payloads for `run_trials`."""

    def train(run: Override) -> None:
        work = folder / 'run'
        shutil.rmtree(work, ignore_errors=True)
        sys.argv = [
            'train.py',
            run.config,
            '--device',
            'cpu',
            '--work-dir',
            str(work),
            '--cfg-options',
            *SHORT,
            *run.words,
        ]
        end = 0
        try:
            runpy.run_path(str(TRAIN), run_name='__main__')
        except SystemExit as stop:
            end = stop.code or 0
        if end:
            raise SystemExit(end)
        # A run that reports success must have written weights, and must have read the override.
        if run.unread or not any(work.glob('*.pth')):
            raise Accepted(
                f'{Path(run.config).stem} trained with {run.words}, checkpoints: {len([*work.glob("*.pth")])}'
            )

    return train, mutants(count, start)
