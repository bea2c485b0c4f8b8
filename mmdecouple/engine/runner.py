"""The runner that loses no work: one seed for everything, safe and atomic checkpoints."""
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmdecouple.datasets.seeded import SeededDataset
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.registry import RUNNERS
from mmdecouple.utils.checkpoint import find_resumable, read_checkpoint, weights_only_loading
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.finite import first_nonfinite
from mmdecouple.utils.weights import load_weights


@RUNNERS.register_module()
class PretrainRunner(Runner):
    """mmengine's runner with resumes that continue the very run that was cut off.

    The run's seed (of the config, or of the checkpoint it resumes, or a fresh one that is logged)
    reaches the model's initialization, the sampler and the data sets. Config key
    ``allow_pickle_checkpoint`` (default False): whether to unpickle whatever a checkpoint holds.

    Args: see mmengine's ``Runner``.

    Attributes:
        last_good_checkpoint: Newest checkpoint that this run saved or resumed, all of it finite; None before the first.
    """

    last_good_checkpoint: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._resume_request = kwargs.get('resume', False), kwargs.get('load_from')
        self._resume_file: str | None = None
        self._resuming = False
        super().__init__(*args, **kwargs)
        if self._resume_request[0] and self._resume_file is None:
            self.logger.info(f'There is nothing to resume in {self.work_dir}: the run starts anew.')
        self.logger.info(f'Seed of this run: {self.seed}')

    def set_randomness(self,
                       seed: int | None,
                       diff_rank_seed: bool = False,
                       deterministic: bool = False) -> None:
        """Seeds the run; a resumed one takes the seed of its checkpoint."""
        if diff_rank_seed:
            raise UserError('PretrainRunner: remove the config key randomness.diff_rank_seed; '
                            'the draws of each process differ already.')
        if self._resume_request[0] and self._resume_file is None:
            self._resume_file = self._find_resume_file()
        if self._resume_file is not None:
            stored = read_checkpoint(self._resume_file, allow_pickle=self._trusts_pickles)
            seed = stored['meta'].get('seed', seed)
        super().set_randomness(seed, False, deterministic)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict,
                         seed: int | None = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """Builds a data loader whose data sets draw from the run's seed."""
        if isinstance(dataloader, dict) and isinstance(dataloader.get('collate_fn'), dict):
            # mmengine marks the blocks of a package's base with a scope, and hands this mark on to the function.
            dataloader = deepcopy(dataloader)
            dataloader['collate_fn'].pop('_scope_', None)
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        for dataset in _walk(loader.dataset):
            if isinstance(dataset, SeededDataset) and dataset.seed is None:
                dataset.seed = seed
        loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the training loop, ``ResumableEpochLoop`` unless the config names another."""
        if isinstance(loop, dict) and 'type' not in loop and loop.get('by_epoch', True):
            loop = {key: value for key, value in loop.items() if key != 'by_epoch'}
            loop['type'] = 'ResumableEpochLoop'
        return super().build_train_loop(loop)

    def load_or_resume(self) -> None:
        """Continues the run of the checkpoint found at the start, or loads initial weights."""
        if self._has_loaded:
            return
        if self._resume_file is not None:
            self.resume(self._resume_file)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: str | Callable = 'cpu') -> None:
        """Restores everything a checkpoint holds; keys that do not match and numbers that are none are an error."""
        self._resuming = True
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        self._resuming = False
        bad = self._first_nonfinite()
        if bad:
            raise UserError(f'The checkpoint {filename!r} is poisoned: {bad} is not finite; resume an earlier one '
                            '(config key load_from with resume).')
        self.last_good_checkpoint = filename

    def load_checkpoint(self,
                        filename: str,
                        map_location: str | Callable = 'cpu',
                        strict: bool = False,
                        revise_keys: list = [(r'^module.', '')]) -> dict:
        """Loads weights; see ``read_checkpoint`` and ``load_weights`` for what is refused."""
        checkpoint = read_checkpoint(filename, map_location, self._trusts_pickles)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_weights(bare_model(self), checkpoint, filename, strict or self._resuming, revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def save_checkpoint(self,
                        out_dir: str,
                        filename: str,
                        *args: Any,
                        meta: dict | None = None,
                        backend_args: dict | None = None,
                        **kwargs: Any) -> None:
        """Saves a checkpoint; a local file appears whole or not at all.

        Raises:
            UserError: On all processes, if a tensor of it is not finite; then nothing is written.
        """
        bad = [self._first_nonfinite()]
        broadcast_object_list(bad)
        if bad[0]:
            raise UserError(f'PretrainRunner: {bad[0]} is not finite after iteration {self.iter + 1}; {filename} was not '
                            f'written. Last good checkpoint: {self.last_good_checkpoint or "none"}; resume it with a '
                            'lower optim_wrapper.optimizer.lr.')
        if backend_args is None and '://' not in out_dir:
            backend_args = dict(backend='atomic')
        meta = dict(meta or {}, saved_at=time.time())
        super().save_checkpoint(
            out_dir, filename, *args, meta=meta, backend_args=backend_args, **kwargs)
        self.last_good_checkpoint = os.path.join(out_dir, filename)

    def dump_config(self) -> None:
        """Writes the config into the work dir under the name of this start of the run.

        Under its own name ``mim``, which searches a checkout by name, would find it twice.
        """
        self.cfg.dump(os.path.join(self.work_dir, f'{self.experiment_name}.py'))

    def train(self) -> torch.nn.Module:
        """Trains; an interrupted run ends the program with exit code 0."""
        model = super().train()
        if getattr(self.train_loop, 'interrupted', False):
            raise SystemExit(0)
        return model

    @property
    def _trusts_pickles(self) -> bool:
        return self.cfg.get('allow_pickle_checkpoint', False)

    def _first_nonfinite(self) -> str | None:
        """What would poison a checkpoint; the verdict on the last step is read first."""
        state = dict(state_dict=bare_model(self).state_dict())
        if isinstance(self.optim_wrapper, (OptimWrapper, OptimWrapperDict)):
            state['optimizer'] = self.optim_wrapper.state_dict()
        return first_nonfinite(state)

    def _init_model_weights(self) -> None:
        if self._trusts_pickles:
            super()._init_model_weights()
        else:
            with weights_only_loading():
                super()._init_model_weights()

    def _find_resume_file(self) -> str | None:
        found = [self._resume_request[1]]
        if found[0] is None:
            found = [find_resumable(self.work_dir) if is_main_process() else None]
            broadcast_object_list(found)
        return found[0]


def _walk(dataset: Any) -> Iterator[Any]:
    """A data set and those it wraps."""
    yield dataset
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for wrapped in inner:
        if wrapped is not None:
            yield from _walk(wrapped)


def _start_worker(inner: Callable | None, worker_id: int) -> None:
    """Lets the main process decide what a signal to the whole group means.

    A worker obeys SIGTERM from its parent only, which is how data loaders end their workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, args=(os.getppid(), ), daemon=True).start()
    if inner is not None:
        inner(worker_id)


def _obey_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
