"""Measures time, peak memory and operations of the training steps of one variant, in this process."""

import argparse
import resource
import statistics

import torch
from idle import idle_share
from torch.utils.flop_counter import FlopCounterMode
from training_steps import OurSteps, official_steps

from mmdecouple.engine.step_cost import attention_counters

# Dense bf16 peak in TFLOP/s from the vendor's data sheets; the first name that the name of the device contains is used.
PEAK_TFLOPS = {'H100 PCIe': 756, 'H100': 989, 'H200': 989, 'A100': 312}


def measure(variant: str, args: argparse.Namespace) -> dict[str, float]:
    """Run one variant.

    Returns:
        Median `seconds` per step after warm-up; `samples_per_second`; `peak_mib` of this process, or of the GPU;
        `tflop` of one step; on a GPU also `idle`, the share of the step in which it runs no kernel, and, if its peak is
        known, `mfu`, the achieved share of that peak.
    """
    torch.manual_seed(0)
    # torch compiles again for the second and third number of masked patches.
    warmup = 4 if args.compile else 1
    steps = official_steps(args, 1 + warmup + args.steps) if variant == 'official' else OurSteps(variant, args)
    # The draws depend on the step, not on the variant, so the operations are counted with the same masks.
    with FlopCounterMode(display=False, custom_mapping=attention_counters()) as counter:
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
        seconds=seconds,
        samples_per_second=args.batch_size / seconds,
        peak_mib=peak,
        tflop=counter.get_total_flops() / 1e12,
    )
    if cuda and variant != 'official':
        found['idle'] = idle_share(lambda count: steps.run(1 + warmup + args.steps, count), 2, seconds)
    tflops = _peak_tflops(args)
    return found if tflops is None else {**found, 'mfu': found['tflop'] / seconds / tflops}


def _peak_tflops(args: argparse.Namespace) -> float | None:
    if args.peak_tflops is not None or args.device == 'cpu':
        return args.peak_tflops
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
