"""Runner with exact resumption, one seed for all draws, and atomic checkpoints."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.dist import all_gather_object, master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from mmdecouple.engine.batch_check import warn_of_unscaled_batch
from mmdecouple.engine.device_views import move_to_device
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.engine.loaders import seeded_loader
from mmdecouple.engine.own_hooks import own_hooks, unsaved
from mmdecouple.engine.run_logging import RunLogging
from mmdecouple.engine.saving import OTHER_RANKS, first_nonfinite_of, gather_other_ranks, restore_rank
from mmdecouple.engine.sharding import gather_state
from mmdecouple.registry import RUNNERS
from mmdecouple.runs.folder import hold_folder, release_folder
from mmdecouple.runs.processes import lost_peer, on_main_process
from mmdecouple.runs.ranks import first_start
from mmdecouple.runs.record import check_resume, record_of
from mmdecouple.runs.resumable import RUN_NAME, find_resumable, read_resumable
from mmdecouple.runs.startup import prepare_process
from mmdecouple.runs.steps import check_batches, check_length
from mmdecouple.runs.watchdog import stop_watching
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from mmdecouple.weights.checkpoint import read_checkpoint, weights_only_loading
from mmdecouple.weights.loading import load_weights


@RUNNERS.register_module()
class PretrainRunner(RunLogging):
    """mmengine's runner with resumption that continues an interrupted run exactly.

    The seed of the run is that of the config or of the resumed checkpoint, or a new one, which is logged. It determines
    the initialization of the model, the sampler and the draws of the data sets. The config key
    `allow_pickle_checkpoint` (default False) decides whether checkpoints may be unpickled without restrictions. The
    arguments are those of mmengine's `Runner`.

    Attributes:
        last_good_checkpoint: Newest checkpoint that this run saved or resumed, with finite values only; None before
            the first one.
    """

    last_good_checkpoint: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        prepare_process()
        self._resume_request = kwargs.get('resume', False), kwargs.get('load_from')
        self._scope = kwargs.get('default_scope', 'mmengine')
        self._resume_file: str | None = None
        self._resuming = False
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            release_folder(self.work_dir)
            raise
        if self._resume_request[0] and self._resume_file is None:
            self.logger.info(f'Found no checkpoint to resume in {self.work_dir}: a new run starts.')
        self.logger.info(f'Seed of this run: {self.seed}')

    def setup_env(self, env_cfg: dict) -> None:
        """Initializes the processes; a training run also locks its folder and searches for a checkpoint to resume."""
        super().setup_env(env_cfg)
        if self._train_loop is None:
            return
        on_main_process(lambda: hold_folder(self.work_dir))
        if self._resume_request[0]:
            self._resume_file = self._resume_request[1] or on_main_process(lambda: find_resumable(self.work_dir))
        elif (begun := first_start()) is not None:
            # The first start of this command began the run anew; this one continues it.
            self._resume_file = on_main_process(lambda: find_resumable(self.work_dir, begun))

    def set_randomness(self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
        """Seeds the run, with the seed of the checkpoint if it is resumed, and checks that it can train or continue.

        The check is here because mmengine writes the first files to the work dir directly afterwards.
        """
        if diff_rank_seed:
            raise UserError(
                'PretrainRunner: remove the config key randomness.diff_rank_seed; the draws of each process differ '
                'without it.'
            )
        meta = None
        if self._resume_file is not None:
            meta = read_resumable(self._resume_file, self._trusts_pickles)['meta']
            seed = meta.get('seed', seed)
        super().set_randomness(seed, False, deterministic)
        if self._train_loop is not None and self._record is None:
            self._prepare_training(meta)
            # Data sets may have used the generators while they were built.
            super().set_randomness(self.seed, False, deterministic)

    def _prepare_training(self, resumed: dict[str, Any] | None) -> None:
        loop = self._train_loop if isinstance(self._train_loop, dict) else {}
        if loop:
            check_length(loop)
        with DefaultScope.overwrite_default_scope(self._scope):
            if isinstance(self._train_dataloader, dict):
                self._train_dataloader = self.build_dataloader(self._train_dataloader, seed=self.seed)
            move_to_device(self._train_dataloader, self.cfg)
        check_batches(self._train_dataloader, 'train_dataloader', self.world_size)
        self._record = record_of(self._train_dataloader, self.optim_wrapper, loop, self.world_size, self.seed)
        self._record['run'] = f'{self.timestamp}-{secrets.token_hex(4)}'
        if resumed is not None:
            stored = resumed.get('record')
            self._record['run'] = (stored if isinstance(stored, dict) else {}).get('run')
            self._resumed_iterations = resumed.get('iter', 0)
            for line in check_resume(resumed, self._record, self.cfg, self._resume_file):
                print_log(line, 'current', logging.WARNING)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Builds a data loader whose data sets derive their draws from the seed of the run."""
        return seeded_loader(dataloader, seed, diff_rank_seed)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the training loop, a `ResumableEpochLoop` unless the config names another class."""
        if isinstance(loop, dict) and loop.get('type') in (None, 'EpochBasedTrainLoop') and loop.get('by_epoch', True):
            loop = {key: value for key, value in loop.items() if key != 'by_epoch'}
            loop['type'] = 'ResumableEpochLoop'
        return super().build_train_loop(loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the validation loop; raises an error if it has no batch."""
        loop = super().build_val_loop(loop)
        check_batches(loop.dataloader, 'val_dataloader', self.world_size)
        return loop

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the test loop; raises an error if it has no batch."""
        loop = super().build_test_loop(loop)
        check_batches(loop.dataloader, 'test_dataloader', self.world_size)
        return loop

    def register_hooks(
        self, default_hooks: dict[str, Hook | dict | None] | None = None, custom_hooks: list[Hook | dict] | None = None
    ) -> None:
        """Registers the hooks that every run has, and those of the config; see `own_hooks`."""
        defaults, custom = own_hooks(default_hooks, custom_hooks)
        super().register_hooks(defaults, custom)
        for line in unsaved(defaults['checkpoint'], self._record or {}):
            self.logger.warning(line)

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scales the learning rate if the config enables it, and otherwise warns if the batch size differs."""
        super().scale_lr(optim_wrapper, auto_scale_lr)
        warn_of_unscaled_batch(self)

    def load_or_resume(self) -> None:
        """Resumes from the checkpoint that was found at the start, or loads initial weights."""
        if self._has_loaded:
            return
        if self._resume_file is not None:
            self.resume(self._resume_file)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        if self._record is not None:
            self._begin_record()

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'cpu',
    ) -> None:
        """Restores the complete state of a checkpoint; keys that do not match raise an error."""
        self._resuming = True
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        except (ValueError, KeyError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f'{filename!r} cannot be resumed: its optimizer or schedule does not fit the config ({error}); restore '
                'optim_wrapper and param_scheduler, or start a new run from its weights (load_from, no --resume).'
            ) from error
        self._resuming = False
        self.last_good_checkpoint = filename

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module.', ''),),
    ) -> dict:
        """Loads weights; see `read_checkpoint` and `load_weights` for the errors they raise."""
        checkpoint = read_checkpoint(filename, map_location, self._trusts_pickles)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = bare_model(self)
        load_weights(model, checkpoint, filename, strict or self._resuming, revise_keys)
        if self._resuming:
            restore_rank(model, checkpoint['meta'], filename)
        elif hasattr(model, 'start_terms'):
            model.start_terms()
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        *args: Any,
        meta: dict | None = None,
        backend_args: dict | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves a checkpoint; local files are written atomically.

        Raises:
            UserError: A tensor is not finite. The error is raised on all processes, and nothing is written.
        """
        bad = next(filter(None, all_gather_object(first_nonfinite_of(self))), None)
        if bad:
            raise UserError(
                f'PretrainRunner: {bad} is not finite after iteration {self.iter + 1}; {filename} was '
                f'not written. Last good checkpoint: {self.last_good_checkpoint or "none"}; resume it '
                'with a lower optim_wrapper.optimizer.lr.'
            )
        if backend_args is None and '://' not in out_dir:
            backend_args = dict(backend='atomic')
        if self._record is not None:
            # The folder may have been deleted and locked by another run in the meantime.
            on_main_process(lambda: hold_folder(self.work_dir))
        others = gather_other_ranks(bare_model(self))
        if kwargs.get('save_optimizer', True):
            gather_state(self.optim_wrapper)
        meta = dict(meta or {}, saved_at=time.time(), record=self._record, **({OTHER_RANKS: others} if others else {}))
        super().save_checkpoint(out_dir, filename, *args, meta=meta, backend_args=backend_args, **kwargs)
        self.last_good_checkpoint = os.path.join(out_dir, filename)

    def dump_config(self) -> None:
        """Does nothing, so that a start that fails later leaves no config; see `_begin_record`."""

    @master_only
    def _begin_record(self) -> None:
        """Writes the config and the id of the run to the work dir.

        The file is named after the start time of the run: `mim` searches a checkout by file name and would otherwise
        find the config twice.
        """
        write_text(os.path.join(self.work_dir, f'{self.experiment_name}.py'), self.cfg.pretty_text)
        write_text(os.path.join(self.work_dir, RUN_NAME), f'{self._record["run"]}\n')

    def train(self) -> torch.nn.Module:
        """Trains and unlocks the folder; an interrupted run ends the program with exit code 0."""
        try:
            on_main_process(lambda: hold_folder(self.work_dir))
            model = super().train()
        except RuntimeError as error:
            lost = lost_peer(error)
            if lost is None:
                raise
            raise lost from error
        finally:
            stop_watching()
            release_folder(self.work_dir)
        if getattr(self.train_loop, 'interrupted', False):
            raise SystemExit(0)
        return model

    @property
    def _trusts_pickles(self) -> bool:
        return self.cfg.get('allow_pickle_checkpoint', False)

    def _init_model_weights(self) -> None:
        with nullcontext() if self._trusts_pickles else weights_only_loading():
            super()._init_model_weights()
