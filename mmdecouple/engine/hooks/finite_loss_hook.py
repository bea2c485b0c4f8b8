"""A loss that is not finite stops the run before it reaches the weights."""
import json
import math
import os.path as osp
from functools import wraps
from typing import Any

import torch
from mmengine.dist import get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.engine.hooks.unwrapping import bare_model, bare_optimizers
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError


class NonFiniteLoss(UserError, FloatingPointError):
    """The loss became NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Checks every loss term after the forward pass and stops all processes before the step.

    On a GPU the terms travel to the host on a stream of their own while the backward pass runs,
    so that the check costs no waiting; the loggers then get those host values. Infinite gradients
    that fp16 loss scaling skips are no error. What the step was fed is written to
    ``nonfinite_loss_rank<r>.json`` in the work dir.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Wraps the model's ``parse_losses`` and the optimizers' step."""
        self._runner = runner
        self._names: list[str] = []
        self._values: torch.Tensor | None = None
        self._arrived: torch.cuda.Event | None = None
        self._stream: torch.cuda.Stream | None = None
        model = bare_model(runner)
        parse_losses = model.parse_losses

        @wraps(parse_losses)
        def watched(losses: dict) -> tuple[torch.Tensor, dict]:
            loss, terms = parse_losses(losses)
            self._send(terms)
            return loss, terms

        model.parse_losses = watched
        for optimizer in bare_optimizers(runner):
            optimizer.register_step_pre_hook(self._check)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keeps the batch at hand for the report."""
        self._batch = data_batch

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Checks iterations that took no step, and hands the host values to the loggers."""
        self._check()
        if outputs is not None and self._values is not None:
            outputs.update(zip(self._names, self._values[:-1].tolist()))
        self._batch, self._values = None, None

    @torch.compiler.disable
    @torch.no_grad()
    def _send(self, terms: dict[str, torch.Tensor]) -> None:
        """Starts the way of the terms, and of one flag for all processes, to the host."""
        self._names = list(terms)
        values = torch.stack([value.detach().float().reshape(()) for value in terms.values()])
        if not values.is_cuda:
            self._values = self._with_flag(values)
            return
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            flagged = self._with_flag(values)
            values.record_stream(self._stream)
            self._values = torch.empty(flagged.shape, pin_memory=True)
            self._values.copy_(flagged, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(self._stream)

    def _with_flag(self, values: torch.Tensor) -> torch.Tensor:
        judged = values[[index for index, name in enumerate(self._names) if 'loss' in name]]
        flag = (~torch.isfinite(judged)).any().float().reshape(1)
        if is_distributed():
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return torch.cat([values, flag])

    def _check(self, *_: Any) -> None:
        if self._values is None:
            return
        if self._arrived is not None:
            self._arrived.synchronize()
        if self._values[-1] > 0:
            raise NonFiniteLoss(self._report(dict(zip(self._names, self._values[:-1].tolist()))))

    def _report(self, terms: dict[str, float]) -> str:
        runner, rank = self._runner, get_rank()
        samples = self._batch.get('data_samples') if isinstance(self._batch, dict) else None
        paths = [getattr(sample, 'img_path', None) for sample in samples or []]
        place = dict(epoch=runner.epoch, iteration=runner.iter, rank=rank)
        capture = osp.join(runner.work_dir, f'nonfinite_loss_rank{rank}.json')
        with open(capture, 'w') as file:
            json.dump(dict(**place, terms={key: str(value) for key, value in terms.items()},
                           images=paths), file, indent=1)
        bad = [name for name, value in terms.items() if 'loss' in name and not math.isfinite(value)]
        what = f'{", ".join(bad)} not finite' if bad else 'the loss of another process not finite'
        saved = runner.message_hub.runtime_info.get('last_ckpt', 'none yet')
        return (f'FiniteLossHook: {what} at epoch {place["epoch"]}, iteration {place["iteration"]}, rank {rank}; no '
                f'weight was changed. Terms and images: {capture}. Last good checkpoint: {saved}; resume it with a '
                'lower optim_wrapper.optimizer.lr or precision fp32.')
