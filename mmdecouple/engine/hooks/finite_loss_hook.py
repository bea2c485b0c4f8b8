"""Hook that stops a run whose loss or gradient is not finite, before weights are changed."""

import math
import os.path as osp
from functools import wraps
from typing import Any, NamedTuple

import torch
from mmengine.dist import get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from mmdecouple.engine.async_copy import AsyncCopy
from mmdecouple.engine.gradients import CollapsedScale, GradientWatch, NonFiniteGradient, with_gradient
from mmdecouple.engine.hooks.unwrapping import bare_model, bare_wrappers
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json
from mmdecouple.weights.finite import first_nonfinite

_REMEDY = 'a lower optim_wrapper.optimizer.lr or fp32'


class NonFiniteLoss(UserError, FloatingPointError):
    """The loss is NaN or infinite."""


class _Place(NamedTuple):
    """One iteration.

    Attributes:
        epoch: Epoch, from 0.
        iteration: Iteration, from 0.
        terms: Loss terms of the iteration.
        samples: Samples of the batches since the last step.
    """

    epoch: int
    iteration: int
    terms: '_Terms'
    samples: list[Any]


class _Terms:
    """The loss terms of one iteration, copied to the host asynchronously.

    Attributes:
        names: Names of the terms.
        values: Values of the terms, followed by a flag that is 1 if a loss of any process is not finite; None before
            the forward pass.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: AsyncCopy | None = None

    def read(self) -> dict[str, float]:
        """Returns the terms by name."""
        return dict(zip(self.names, self.values.read()[:-1].tolist())) if self.values is not None else {}

    def bad(self) -> bool:
        """Returns whether a loss of any process is not finite."""
        return self.values is not None and bool(self.values.read()[-1] > 0)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Checks the loss terms after the forward pass and the gradients before the step, and stops all processes.

    On a GPU, the terms are copied to the host on a separate stream during the backward pass, so that the check does not
    wait for the device; the loggers receive the host values. The optimizer wrapper checks the gradients
    (`GradientWatch`), and this hook adds the iteration to the report. The inputs of the step are written to
    `nonfinite_loss_rank<r>.json`, `nonfinite_gradient_rank<r>.json` or `collapsed_scale_rank<r>.json` in the work dir.

    Occasional steps that fp16 skips are not an error; `PrecisionOptimWrapper` counts them.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Wraps the model's `parse_losses` and registers checks with every optimizer.

        Raises:
            UserError: The optimizer wrapper is mmengine's `AmpOptimWrapper`, which skips steps silently.
        """
        self._runner = runner
        self._terms = _Terms()
        self._place: _Place | None = None
        self._stepped = False
        self._stream: torch.cuda.Stream | None = None
        self._watches = [self._watch(wrapper) for wrapper in bare_wrappers(runner)]
        model = bare_model(runner)
        parse_losses = model.parse_losses

        @wraps(parse_losses)
        def watched(losses: dict) -> tuple[Tensor, dict]:
            loss, terms = parse_losses(losses)
            self._send(terms)
            return loss, terms

        model.parse_losses = watched

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Stores the data of the current iteration for a report."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        earlier = [] if self._place is None or self._stepped else self._place.samples
        self._stepped, self._terms = False, _Terms()
        self._place = _Place(runner.epoch, runner.iter, self._terms, [*earlier, *(samples or [])])
        for watch in self._watches:
            watch.place = self._place

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Checks iterations without a step, and passes the host values to the loggers."""
        self._check_loss()
        if outputs is not None:
            outputs.update(self._terms.read())

    def after_train(self, runner: Runner) -> None:
        """Reads the result of the gradient check of the last step."""
        for watch in self._watches:
            watch.settle()

    def _watch(self, wrapper: OptimWrapper) -> GradientWatch:
        optimizer = wrapper.optimizer
        if isinstance(wrapper, PrecisionOptimWrapper):
            watch = wrapper.watch
        elif isinstance(wrapper, AmpOptimWrapper):
            raise UserError(
                "FiniteLossHook: AmpOptimWrapper skips steps silently; use type='PrecisionOptimWrapper' with a "
                'precision (config key optim_wrapper.type).'
            )
        else:
            watch = GradientWatch()
            optimizer.register_step_pre_hook(lambda *_: watch.check(with_gradient(optimizer), False))
        watch.report, watch.collapsed = self._of_gradient, self._of_scale
        optimizer.register_step_pre_hook(self._before_step)
        return watch

    @torch.compiler.disable
    @torch.no_grad()
    def _send(self, terms: dict[str, Tensor]) -> None:
        """Starts the copy of the terms, and of one flag for all processes, to the host."""
        self._terms.names = list(terms)
        values = torch.stack([value.detach().float().reshape(()) for value in terms.values()])
        if not values.is_cuda:
            self._terms.values = AsyncCopy(self._with_flag(values))
            return
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            values.record_stream(self._stream)
            self._terms.values = AsyncCopy(self._with_flag(values))

    def _with_flag(self, values: Tensor) -> Tensor:
        losses = values[[index for index, name in enumerate(self._terms.names) if 'loss' in name]]
        flag = (~torch.isfinite(losses)).any().float().reshape(1)
        if is_distributed():
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return torch.cat([values, flag])

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        self._stepped = True
        self._check_loss()

    def _check_loss(self) -> None:
        if self._terms.bad():
            raise self._of_loss()

    def _of_loss(self) -> NonFiniteLoss:
        bad = [name for name, value in self._terms.read().items() if 'loss' in name and not math.isfinite(value)]
        # The sum comes last, because a single term is more informative.
        bad.sort(key='loss'.__eq__)
        what = f'{_some(bad)} not finite' if bad else 'the loss of another process not finite'
        return NonFiniteLoss(self._report('nonfinite_loss', what, self._place))

    def _of_gradient(self, parameters: list[nn.Parameter], place: _Place) -> Exception:
        # The gradient of a loss that is not finite is not finite either: the loss is the cause.
        if place is self._place and self._terms.bad():
            return self._of_loss()
        owned = {id(parameter): name for name, parameter in bare_model(self._runner).named_parameters()}
        bad = [owned.get(id(parameter), 'a parameter') for parameter in parameters]
        what = f'gradient of {_some(bad)} not finite' if bad else 'norm of all gradients not finite'
        return NonFiniteGradient(self._report('nonfinite_gradient', what, place, parameters=bad))

    def _of_scale(self, scale: float, skips: int) -> CollapsedScale:
        what = f'{skips} consecutive steps skipped, loss scale {scale:g}'
        return CollapsedScale(
            self._report('collapsed_scale', what, self._place, 'precision=bf16', scale=scale, skips=skips)
        )

    def _report(self, kind: str, what: str, place: _Place, remedy: str = _REMEDY, **details: Any) -> str:
        """Writes the inputs of the step to a file, and returns the error message."""
        runner, rank = self._runner, get_rank()
        capture = osp.join(runner.work_dir, f'{kind}_rank{rank}.json')
        write_json(
            capture,
            dict(
                epoch=place.epoch,
                iteration=place.iteration,
                rank=rank,
                terms={key: str(value) for key, value in place.terms.read().items()},
                **details,
                images=[getattr(sample, 'img_path', None) for sample in place.samples],
            ),
            indent=1,
        )
        weight = first_nonfinite(dict(bare_model(runner).named_parameters()))
        state = 'no weight was changed' if weight is None else f'weight {weight} was already not finite'
        good = getattr(runner, 'last_good_checkpoint', None)
        if good and osp.dirname(good) == runner.work_dir:
            good = osp.basename(good)
        goal = f'resume {good} with {remedy}' if good else f'no good checkpoint yet; use {remedy}'
        return (
            f'FiniteLossHook: {what} at epoch {place.epoch}, iteration {place.iteration}, rank {rank}; {state}. '
            f'See {_near(capture)}; {goal}.'
        )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f'{names[0]} and {len(names) - 1} more'


def _near(path: str) -> str:
    """Returns a path relative to the current folder if it lies inside it."""
    near = osp.relpath(path)
    return path if near.startswith('..') else near
