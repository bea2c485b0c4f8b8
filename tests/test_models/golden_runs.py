"""Whole runs of our runner under shipped configs, in float64, on the batches of the golden runs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from mmdecouple.engine import PretrainRunner
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

from .golden import formula
from .golden.track import Track

CONFIGS = Path(__file__).parents[2] / 'configs'


class Epochs(Sampler):
    """Indices of an epoch's images, which go on from one epoch to the next."""

    def __init__(self, images: int) -> None:
        self._images, self._epoch = images, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._images

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * self._images, (self._epoch + 1) * self._images))


def images_of(batch: dict) -> list[dict]:
    """The images of a batch, each with its views and its sample."""
    samples = batch['data_samples'] or [None] * len(batch['inputs'][0])
    return [
        dict(inputs=list(views), data_samples=sample)
        for views, sample in zip(zip(*batch['inputs'], strict=True), samples, strict=True)
    ]


def collate(images: list[dict]) -> dict:
    """The batch of some images."""
    return dict(
        inputs=[torch.stack(views) for views in zip(*(image['inputs'] for image in images))],
        data_samples=[image['data_samples'] for image in images],
    )


class Record(Hook):
    """Notes each step: its loss terms, and the tensors after optimizer and teacher have moved."""

    priority = 'LOWEST'

    def __init__(self, state: Callable[[], dict[str, Tensor]]) -> None:
        self._state, self.terms = state, []

    def before_train(self, runner) -> None:
        self.track = Track(self._state)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.terms.append(dict(outputs))
        self.track.note()


class GoldenRun:
    """A golden run, repeated by our runner under a shipped config.

    Args:
        golden: The golden run.
        config: Path of the config below `configs`.
        changes: What makes it as small and short as the golden run.
        own_name: Our name of an official parameter.
        batch: Batch of a step, from 0: normalized float32 views, and samples of the images or None.
        prepare: Replaces in the model what is drawn at random, or by a foreign network.
        start: What the run starts from beside the official parameters, or instead of them, by our names.
        state: Tensors beside parameters to compare, by the golden run's names.
    """

    def __init__(
        self,
        golden: dict,
        config: str,
        changes: dict,
        own_name: Callable[[str], str],
        batch: Callable[[int], dict],
        prepare: Callable[[Any], None] = lambda model: None,
        start: dict[str, Tensor] | None = None,
        state: Callable[[Any], dict[str, Tensor]] = lambda model: {},
    ) -> None:
        self.golden, self.batch, self.prepare, self.state = golden, batch, prepare, state
        self.config = load_config(
            str(CONFIGS / config),
            {
                'optim_wrapper.precision': 'fp32',
                'model.data_preprocessor.mean': [0.0, 0.0, 0.0],
                'model.data_preprocessor.std': [1.0, 1.0, 1.0],
                **changes,
            },
        )
        self.names = {
            f'{owner} {name}': ('teacher.' if owner == 'teacher' else '') + own_name(name)
            for owner in ('student', 'teacher')
            for name in golden['weights']
        }
        weights = {
            self.names[f'{owner} {name}']: value
            for owner in ('student', 'teacher')
            for name, value in formula.weights(
                golden['starts'].get(owner, owner), golden['weights'], golden['flat positions']
            ).items()
        }
        self.start = {**weights, **(start or {})}

    def train(self, work_dir: Path) -> Record:
        """Run it; what was noted."""
        schedule = self.golden['schedule']
        images = [
            image
            for step in range(schedule['epochs'] * schedule['iterations'])
            for image in images_of(self.batch(step))
        ]
        with pytest.MonkeyPatch.context() as patch:
            # Our code asks for float32 where mixed precision is not enough; here that is double precision.
            patch.setattr(Tensor, 'float', Tensor.double)
            model = MODELS.build(self.config.model).double()
            model.init_weights()
            self.prepare(model)
            start = {name: self.start.get(name, value) for name, value in model.state_dict().items()}
            torch.save(start, work_dir / 'start.pth')
            parameters = dict(model.named_parameters())
            record = Record(
                lambda: {
                    **{name: parameters[ours] for name, ours in self.names.items() if ours in parameters},
                    **self.state(model),
                }
            )
            self.runner(model, images, work_dir, record).train()
        return record

    def runner(self, model: Any, images: list[dict], work_dir: Path, record: Record) -> PretrainRunner:
        """The runner of the config, without its data."""
        config, schedule = self.config, self.golden['schedule']
        epoch = len(images) // schedule['epochs']
        return PretrainRunner(
            model=model,
            work_dir=str(work_dir),
            train_cfg=dict(max_epochs=schedule['epochs']),
            train_dataloader=DataLoader(
                images, batch_size=epoch // schedule['iterations'], sampler=Epochs(epoch), collate_fn=collate
            ),
            optim_wrapper=config.optim_wrapper,
            param_scheduler=config.param_scheduler,
            default_hooks=dict(
                checkpoint=dict(type='DurableCheckpointHook', interval=100, save_last=False), sampler_seed=None
            ),
            custom_hooks=[*config.get('custom_hooks', ()), record],
            default_scope='mmdecouple',
            randomness=dict(seed=0),
            load_from=str(work_dir / 'start.pth'),
            experiment_name=str(work_dir).replace('/', '_'),
        )

    def check(self, record: Record, terms: dict[str, str], rel: float = 2e-7) -> None:
        """Compare with the golden run.

        Args:
            record: What `train` gave.
            terms: Our name of each official term.
            rel: Largest relative deviation of a term, and of a tensor's change, of the whole change.
        """
        for step, (found, expected) in enumerate(zip(record.terms, self.golden['terms'], strict=True)):
            for theirs, ours in terms.items():
                assert found[ours] == pytest.approx(expected[theirs], rel=rel), (step, theirs)
        norms, projections = record.track.norms, record.track.projections
        for name, expected in self.golden['norms'].items():
            torch.testing.assert_close(
                torch.tensor(norms[name]),
                torch.tensor(expected),
                rtol=rel,
                atol=1e-12,
                msg=lambda text, name=name: f'{name}: {text}',
            )
            for step, (norm, ours, theirs) in enumerate(
                zip(expected, projections[name], self.golden['projections'][name], strict=True)
            ):
                assert ours == pytest.approx(theirs, abs=rel * norm + 1e-12), (name, step)
