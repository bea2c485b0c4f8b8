"""Transfer of a pre-trained checkpoint to a downstream task, up to a row of the table of results."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdecouple.configuration import check_config
from mmdecouple.datasets.scenes import SceneSpec
from mmdecouple.datasets.scenes.export import export
from mmdecouple.networks.trained import weight_file
from mmdecouple.runs.changes import scale_lr, use_amp
from mmdecouple.runs.launchers import ALONE, Launch
from mmdecouple.runs.stamp import Stamp
from mmdecouple.utils.configs import apply_overrides
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.locks import alone
from mmdecouple.utils.versions import installed_versions
from mmdecouple.version import __version__
from mmdecouple.weights.source import describe

from .pretrained_backbone import PretrainedBackbone
from .results import append_row, find_row
from .smoke import SIDE
from .tasks import (
    TASKS,
    check_annotations,
    check_arch,
    check_data,
    config_name,
    set_data,
    set_data_root,
    task_config,
    use_faster_coco_eval,
)

_CONFIG, _METRICS = 'transfer_config.py', 'metrics.json'


@dataclass
class Transfer:
    """Transfer of one checkpoint to one task, which `prepare` checks and `run` executes.

    Args:
        network: Specification of a network with pre-trained weights, see `weight_file`.
        task: Key of `TASKS`.
        smoke: Key of `SMOKES`; None for the protocol.
        arch: Key of `ARCHS`; None for the network of the protocol.
        method: Name of the method in the table; None for the method recorded in the checkpoint.
        role: `student`, `teacher`, or `auto` for the network that the authors of the method transfer.
        data: Data of the kind that the task uses; None for those of the config.
        options: Overrides of the config with dotted keys.
        seed: Seed of the run.
        launch: How the processes are started, among which the total batch of the protocol is divided.
        out: Folder of all runs, with the table `results.jsonl` and `results.md`.
        device: `auto`, `cpu` or `cuda`.
        precision: `bf16`, `fp16` or `fp32` for training; None for that of the protocol. Tests always use fp32.
        amp: Whether to train in mixed precision, see `use_amp`.
        auto_scale_lr: Whether the learning rate follows the batch size; None for True, unless `options` disable it.
        faster_coco_eval: Whether to score COCO with the package of this name, with the same results.
        allow_pickle: Whether to trust the checkpoint and unpickle all of its content.
        command: Command line of the user, for the table.
    """

    network: str
    task: str
    smoke: str | None = None
    arch: str | None = None
    method: str | None = None
    role: str = 'auto'
    data: DataSpec | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    launch: Launch = ALONE
    out: Path = Path('work_dirs/transfer')
    device: str = 'auto'
    precision: str | None = None
    amp: bool = False
    auto_scale_lr: bool | None = None
    faster_coco_eval: bool = False
    allow_pickle: bool = False
    command: Sequence[str] = ()

    def prepare(self) -> None:
        """Reads checkpoint and config and checks them, before any device is used.

        Raises:
            MissingFile: The checkpoint, the data folder or a part of it is missing.
            UserError: The checkpoint has another architecture, the config is invalid, or the batch cannot be divided
                among the processes.
        """
        self.checkpoint = str(weight_file(self.network))
        self.source = describe(self.checkpoint, self.role, self.allow_pickle, self.method)
        if self.smoke == 'overfit' and self.data is not None:
            raise UserError('transfer: --smoke overfit renders its own scenes; omit --data.')
        self.own = any(key.startswith('model.backbone') for key in self.options)
        check_arch(self.source['architecture'], self.task, self.arch, repr(self.checkpoint), self.own)
        self.config = task_config(self.task, self.smoke, self.arch, self.seed)
        apply_overrides(self.config, self.options)
        check_config(self.config, self.options)
        if self.data is not None:
            set_data(self.config, self.task, self.smoke, self.data)
        if self.smoke != 'overfit':
            check_data(self.config, self.task, self.smoke)
        if self.faster_coco_eval:
            use_faster_coco_eval(self.config)
        self.config.model.init_cfg.update(
            checkpoint=os.path.abspath(self.checkpoint), role=self.role, allow_pickle=self.allow_pickle
        )
        scaled = self.options.get('auto_scale_lr.enable', True) if self.auto_scale_lr is None else self.auto_scale_lr
        self.config.merge_from_dict({'randomness.seed': self.seed, 'auto_scale_lr.enable': scaled})
        if self.auto_scale_lr:
            scale_lr(self.config, self.options)
        if self.amp:
            use_amp(self.config, self.options)
        if self.precision is not None:
            self.config.optim_wrapper.update(type='mmdecouple.PrecisionOptimWrapper', precision=self.precision)
        self._divide_batch()
        self._check_weights()
        facts = [self.task, self.smoke, self.source['sha256'], self.source['role'], _without_paths(self.config)]
        self.identity = digest_of(facts)[:12]
        kind = '-'.join(filter(None, (self.task, self.arch, self.smoke)))
        self.folder = self.out / kind / f'{Path(self.checkpoint).stem}-{self.identity}'
        if self.smoke == 'overfit':
            set_data_root(self.config, str(self.folder / 'scenes'))
        self.table = self.out / 'results.jsonl'

    def run(self) -> dict[str, Any]:
        """Trains, tests and adds the row; finished parts of an earlier start are not repeated.

        Returns:
            The row.

        Raises:
            UserError: Training or testing failed, another process uses the folder, the folder holds another run, or an
                annotation file is invalid.
        """
        if (row := find_row(self.table, self.identity)) is not None:
            return row
        with alone(
            self.folder / '.lock', f'transfer: another process uses {self.folder}; wait for it, or end it.', wait=0
        ) as lock:
            stamp = Stamp(self.folder, self.identity)
            stamp.claim('choose another --out')
            if self.smoke == 'overfit' and not (self.folder / 'scenes').is_dir():
                export(self.folder / 'scenes', SceneSpec(size=SIDE), dict(train=8, val=1))
            self.config.dump(self.folder / _CONFIG)
            started = time.time()
            if stamp.finished() is None:
                check_annotations(self.config)
                resume = ['--resume'] if (self.folder / 'last_checkpoint').is_file() else []
                self._call('train', resume, lock)
                stamp.finish(checkpoint=self._last_checkpoint().name)
            last = self._last_checkpoint()
            self._call('test', [str(last)], lock)
            row = self._row(last, time.time() - started)
            append_row(self.table, row)
        return row

    def _check_weights(self) -> None:
        with DefaultScope.overwrite_default_scope(self.config.default_scope):
            model = MODELS.build(self.config.model)
        PretrainedBackbone(self.checkpoint, self.role, self.allow_pickle).check(model)

    def _divide_batch(self) -> None:
        """Divides the total batch of the protocol among the processes, unless an option sets the batch size."""
        gpus = self.launch.gpus
        total, key = self.config.auto_scale_lr.base_batch_size, 'train_dataloader.batch_size'
        if key not in self.options:
            if total % gpus:
                raise UserError(
                    f'transfer: a total batch of {total} cannot be divided among {gpus} processes; '
                    f'choose another --gpus, or set --cfg-options {key} (the learning rate follows).'
                )
            self.config.merge_from_dict({key: total // gpus})
        self.batch = f'{gpus} x {self.config.train_dataloader.batch_size}'

    def _last_checkpoint(self) -> Path:
        return self.folder / Path((self.folder / 'last_checkpoint').read_text().strip()).name

    def _call(self, program: str, arguments: list[str], lock: IO) -> None:
        """Trains or tests; the processes inherit the lock, which is held until the last of them has ended."""
        config, folder = str(self.folder / _CONFIG), str(self.folder)
        words = [config, *arguments, '--out', folder, '--device', self.device]
        command = self.launch.command(f'mmdecouple.commands.{program}', words, f'transfer-{self.task}')
        code = subprocess.run(command, pass_fds=[lock.fileno()]).returncode
        # mmengine's runner has overwritten this file, with its own state such as `load_from`.
        self.config.dump(config)
        if code:
            raise UserError(
                f'transfer: the {program}ing ended with exit code {code}; see the log in {folder}; the same '
                'command continues from the last checkpoint.'
            )

    def _row(self, last: Path, seconds: float) -> dict[str, Any]:
        metrics = json.loads((self.folder / _METRICS).read_text())
        versions = {name: providers[0][1] for name, providers in installed_versions().items() if providers}
        return dict(
            identity=self.identity,
            task=f'{self.task} ({self.smoke}, a smoke run)' if self.smoke else self.task,
            metrics={key: value for key, value in metrics.items() if _is_metric(key, value)},
            **self.source | dict(checkpoint=self._relative(Path(self.checkpoint))),
            seed=self.seed,
            batch=self.batch,
            arch='own' if self.own else self.arch or TASKS[self.task].arch,
            precision=self.config.optim_wrapper.get('precision', 'fp32'),
            config=config_name(self.task),
            options={key: str(value) for key, value in self.options.items()},
            date=time.strftime('%Y-%m-%d %H:%M'),
            seconds=round(seconds),
            command=shlex.join(self.command),
            trained=self._relative(last),
            trained_config=self._relative(self.folder / _CONFIG),
            versions=dict(mmdecouple=__version__, **versions),
            device=torch.cuda.get_device_name() if torch.cuda.is_available() and self.device != 'cpu' else 'cpu',
        )

    def _relative(self, path: Path) -> str:
        """Returns a path relative to the folder of the table, which may be moved together with its runs."""
        return os.path.relpath(path, self.out)


def _is_metric(key: str, value: Any) -> bool:
    return isinstance(value, int | float) and value == value and not key.endswith('time')


def _without_paths(config: Config) -> str:
    """Returns a config as text, without the path of the checkpoint, which is identified by its digest."""
    content = config.to_dict()
    content['model']['init_cfg'].pop('checkpoint')
    return json.dumps(content, sort_keys=True, default=str)
