"""The training loop that can start and stop inside an epoch."""

import torch
from mmengine.runner import EpochBasedTrainLoop

from mmdecouple.registry import LOOPS
from mmdecouple.utils.errors import UserError


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Epochs that continue at the iteration a checkpoint was saved at, with the same samples.

    A hook that sets ``interrupted`` ends the run after the iteration, without the hooks and the
    validation that end an epoch.

    Args: see mmengine's ``EpochBasedTrainLoop``.
    """

    interrupted = False

    def run(self) -> torch.nn.Module:
        """Trains up to the last epoch or to an interruption."""
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
        """Trains what is left of the current epoch."""
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
        """Iterations of the current epoch that lie behind a resumed run."""
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        if not 0 <= done <= length:
            raise UserError(
                f'Cannot resume at epoch {self._epoch}, iteration {self._iter}: an epoch has '
                f'{length} iterations now. Resume with the batch size, number of processes and '
                'data set of the checkpoint, or start anew from its weights (load_from without '
                'resume).'
            )
        if done and not hasattr(self.dataloader.batch_sampler.sampler, 'skip'):
            raise UserError(
                'Cannot resume inside an epoch: the sampler cannot skip; use '
                "train_dataloader.sampler=dict(type='EpochSampler')."
            )
        return done
