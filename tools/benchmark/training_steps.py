"""Training steps of this package and of the official iBOT code, as the benchmark runs them."""

import argparse
import time
from collections.abc import Callable

import torch
from model_and_batch import build, samples_of, views_of


def clock_of(args: argparse.Namespace) -> Callable[[], float]:
    """Returns the clock: wall time, or the processor time of this process."""
    return time.process_time if args.cpu_time else time.perf_counter


class OurSteps:
    """Training steps as in the runner: preprocessing, losses, backward pass, clipping, optimizer and teacher.

    Attributes:
        terms: Loss terms of the last step.
    """

    def __init__(self, variant: str, args: argparse.Namespace) -> None:
        self.model, self.optimizer = build(variant, args)
        self.batch = dict(inputs=views_of(variant, args), data_samples=samples_of(variant, args))
        self.ours = variant != 'mmpretrain'
        self.cuda = args.device == 'cuda'
        self.clock = clock_of(args)
        self.terms: dict[str, torch.Tensor] = {}

    def run(self, first: int, count: int) -> list[float]:
        """Runs `count` steps with the draws of the steps from `first` on, and returns the seconds of each."""
        seconds = []
        for step in range(first, first + count):
            begin = self.clock()
            if self.ours:
                self.model.data_preprocessor.set_step(0, 0, step)
            self.terms = self.model.train_step(self.batch, self.optimizer)
            if self.ours:
                self.model.update_teacher(step, 1000)
            if self.cuda:
                torch.cuda.synchronize()
            seconds.append(self.clock() - begin)
        return seconds

    def compile(self, backend: str = 'inductor') -> None:
        """Compiles the model as in the runner with `compile=True`, or with another backend."""
        self.model.forward = torch.compile(self.model.forward, backend=backend)


def official_steps(args: argparse.Namespace, count: int):
    """Returns the steps of the official code, with the masks that our iBOT draws in `count` steps."""
    from official_ibot import OfficialIBOT

    ours = argparse.Namespace(**{**vars(args), 'arch': 'deit-tiny', 'prototypes': 2, 'device': 'cpu'})
    model = build('ibot', ours)[0]
    views, masks = views_of('official', args), []
    for step in range(count):
        model.data_preprocessor.set_step(0, 0, step)
        begun = model.begin(**model.data_preprocessor(dict(inputs=views), training=True))
        masks.append(begun.extras.mask)
    return OfficialIBOT(args, begun.views, masks, clock_of(args))
