"""Measures time, peak memory and operations of the training steps of one variant, in this process."""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from variants import build, samples_of, views_of

# Dense bf16 peak in TFLOP/s from the vendor's data sheets; the first name that the name of the device contains is used.
PEAK_TFLOPS = {'H100 PCIe': 756, 'H100': 989, 'H200': 989, 'A100': 312}


def clock_of(args: argparse.Namespace) -> Callable[[], float]:
    """Returns the clock: wall time, or the processor time of this process."""
    return time.process_time if args.cpu_time else time.perf_counter


class OurSteps:
    """Training steps as in the runner: preprocessing, losses, backward pass, clipping, optimizer and teacher."""

    def __init__(self, variant: str, args: argparse.Namespace) -> None:
        self.model, self.optimizer = build(variant, args)
        self.batch = dict(inputs=views_of(variant, args), data_samples=samples_of(variant, args))
        self.ours = variant != 'mmpretrain'
        self.cuda = args.device == 'cuda'
        self.clock = clock_of(args)

    def run(self, first: int, count: int) -> list[float]:
        """Runs `count` steps with the draws of the steps from `first` on, and returns the seconds of each."""
        seconds = []
        for step in range(first, first + count):
            begin = self.clock()
            if self.ours:
                self.model.data_preprocessor.set_step(0, 0, step)
            self.model.train_step(self.batch, self.optimizer)
            if self.ours:
                self.model.update_teacher(step, 1000)
            if self.cuda:
                torch.cuda.synchronize()
            seconds.append(self.clock() - begin)
        return seconds

    def compile(self) -> None:
        """Compiles the model as in the runner with `compile=True`."""
        self.model.forward = torch.compile(self.model.forward)


def measure(variant: str, args: argparse.Namespace) -> dict[str, float]:
    """Run one variant.

    Returns:
        Median `seconds` per step after warm-up; `samples_per_second`; `peak_mib` of this process, or of the GPU;
        `tflop` of one step; on a GPU with known peak also `mfu`, the achieved share of that peak.
    """
    torch.manual_seed(0)
    # torch compiles again for the second and third number of masked patches.
    warmup = 4 if args.compile else 1
    steps = _official(args, 1 + warmup + args.steps) if variant == 'official' else OurSteps(variant, args)
    # The draws depend on the step, not on the variant, so the operations are counted with the same masks.
    with FlopCounterMode(display=False, custom_mapping=_fused_attention()) as counter:
        steps.run(0, 1)
    if args.compile and variant != 'official':
        steps.compile()
    steps.run(1, warmup)
    cuda = args.device == 'cuda'
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(steps.run(1 + warmup, args.steps))
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    found = dict(
        seconds=seconds, samples_per_second=args.batch / seconds, peak_mib=peak, tflop=counter.get_total_flops() / 1e12
    )
    tflops = _peak_tflops(args)
    return found if tflops is None else {**found, 'mfu': found['tflop'] / seconds / tflops}


def _official(args: argparse.Namespace, count: int):
    from official_ibot import OfficialIBOT

    ours = argparse.Namespace(**{**vars(args), 'arch': 'deit-tiny', 'prototypes': 1, 'device': 'cpu'})
    model = build('ibot', ours)[0]
    views, masks = views_of('official', args), []
    for step in range(count):
        model.data_preprocessor.set_step(0, 0, step)
        begun = model.begin(**model.data_preprocessor(dict(inputs=views), training=True))
        masks.append(begun.extras.mask)
    return OfficialIBOT(args, begun.views, masks, clock_of(args))


def _fused_attention() -> dict:
    """Returns counters of two products in the forward and four in the backward pass of every fused attention.

    torch counts no fused attention on the CPU, and on the GPU also the product that the backward pass repeats. With
    these counters, fused attention and the plain attention of the official code have equal numbers of operations.
    """

    def forward(query, key, value, *args, **kwargs) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(gradient, query, key, value, *args, **kwargs) -> int:
        return 2 * sdpa_flop_count(query, key, value)

    names = [
        f'_scaled_dot_product_{kind}_attention{rest}'
        for kind, rest in (('flash', '_for_cpu'), ('flash', ''), ('efficient', ''), ('cudnn', ''))
    ]
    aten = torch.ops.aten
    return {
        **{getattr(aten, name): forward for name in names},
        **{getattr(aten, f'{name}_backward'): backward for name in names},
    }


def _peak_tflops(args: argparse.Namespace) -> float | None:
    if args.peak_tflops is not None or args.device == 'cpu':
        return args.peak_tflops
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
