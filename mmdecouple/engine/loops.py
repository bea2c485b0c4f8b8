"""Training loop that can start and stop inside an epoch."""

import torch
from mmengine.runner import EpochBasedTrainLoop

from mmdecouple.registry import LOOPS
from mmdecouple.utils.errors import UserError


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Epoch loop that continues at the iteration of a checkpoint with the same samples.

    The arguments are those of mmengine's `EpochBasedTrainLoop`.

    Attributes:
        interrupted: Set by a hook to end the run after the current iteration, without the hooks and the validation at
            the end of an epoch.
    """

    interrupted = False

    def run(self) -> torch.nn.Module:
        """Trains until the last epoch or an interruption, and returns the model."""
        self.runner.call_hook('before_train')
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            if self.interrupted:
                return self.runner.model
            self._decide_current_val_interval()
            if (
                self.runner.val_loop is not None
                and self._epoch >= self.val_begin
                and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
            ):
                self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Trains the remaining iterations of the current epoch."""
        done = self._iterations_done()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        sampler = self.dataloader.batch_sampler.sampler
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(self._epoch)
        if done < len(self.dataloader):
            if done:
                sampler.skip(done * self.dataloader.batch_sampler.batch_size)
            for index, data_batch in enumerate(self.dataloader, start=done):
                self.run_iter(index, data_batch)
                if self.interrupted:
                    return
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _iterations_done(self) -> int:
        """Returns the number of iterations of the current epoch that a resumed run has already done."""
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        if not 0 <= done <= length:
            raise UserError(
                f'Cannot resume at epoch {self._epoch}, iteration {self._iter}: an epoch has {length} iterations now. '
                'Resume with the batch size, number of processes and data set of the checkpoint, or start a new run '
                'from its weights (load_from without resume).'
            )
        if done and not hasattr(self.dataloader.batch_sampler.sampler, 'skip'):
            raise UserError(
                'Cannot resume inside an epoch: the sampler does not support skip(); use '
                "train_dataloader.sampler=dict(type='EpochSampler')."
            )
        return done
