"""Share of a training step in which the GPU runs no kernel."""

from collections.abc import Callable, Iterable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile


def idle_share(run: Callable[[int], object], steps: int, seconds: float) -> float:
    """Returns 1 - (time with at least one kernel or copy) / (time of a step), in [0, 1].

    The profiler slows the host down, but not the kernels. Therefore only the kernels come from profiled steps; the time
    of a step was measured without the profiler.

    Args:
        run: Runs a number of steps and waits for the device.
        steps: Number of profiled steps.
        seconds: Time of one step without the profiler, above 0.
    """
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run(steps)
        torch.cuda.synchronize()
    events = [event for event in profiler.profiler.kineto_results.events() if event.device_type() == DeviceType.CUDA]
    busy = covered((event.start_ns(), event.start_ns() + event.duration_ns()) for event in events)
    return max(0.0, 1 - busy / 1e9 / steps / seconds)


def covered(intervals: Iterable[tuple[int, int]]) -> int:
    """Returns the length of the union of intervals (begin, end); kernels of several streams may overlap."""
    total, until = 0, None
    for begin, end in sorted(intervals):
        if until is None or begin > until:
            total, until = total + end - begin, end
        elif end > until:
            total, until = total + end - until, end
    return total
