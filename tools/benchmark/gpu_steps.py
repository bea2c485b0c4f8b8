"""Training steps of all methods on one device, eager and compiled, with the required speeds."""

import argparse
import gc
import time
from collections.abc import Callable, Iterator

import torch
from comparing import VARIANTS
from step import parse as step_options
from training_steps import OurSteps

# Samples per second of a bf16 step with 224 pixels on an H100 or H200: what is required, and what is aimed at.
REQUIRED = {'ibot-d': 1500}
AIMED = {'ibot-d': 3300, 'densecl-d': 2200}
_COMPILED = 'ibot-d', 'densecl-d'
_TINY = '--size 96 --depth 18 --queue 64 --prototypes 64 --locals 2 --local-size 32 --steps 1'
# The neck of MaskAlign is for twelve blocks; the time of compilation grows with their number.
_TINY_VIT = dict(embed_dims=64, num_layers=12, num_heads=2, feedforward_channels=128)
_TINY_COMPILED = dict(_TINY_VIT, num_layers=2)
_SHOWN = 'samples_per_second', 'mfu', 'peak_mib', 'idle'


def eager_steps(args: argparse.Namespace) -> Iterator[dict]:
    """Measures the steps of every variant in bf16."""
    # Imported here, because `measuring` imports the models.
    from measuring import measure

    options = options_of(args, 'bf16')
    for variant in VARIANTS:
        if variant not in ('official', 'mmpretrain'):
            yield guarded(variant, lambda: speeds(variant, measure(variant, options), args))


def compiled_steps(args: argparse.Namespace) -> Iterator[dict]:
    """Compares the losses of compiled steps in fp32 with eager ones, then measures compiled steps in bf16.

    Tiny sizes have no speed, so that only the losses of one method are compared, which takes one compilation.
    """
    from measuring import measure

    for variant in _COMPILED[: 1 if args.tiny else None]:
        options = options_of(args, 'fp32')
        if args.tiny:
            options.arch = _TINY_COMPILED
        yield guarded(f'{variant}: losses', lambda: same_losses(variant, options))
        torch.compiler.reset()
        if args.tiny:
            return
        options = options_of(args, 'bf16', '--compile')
        yield guarded(f'{variant}: speed', lambda: speeds(variant, measure(variant, options), args))
        torch.compiler.reset()


def options_of(args: argparse.Namespace, precision: str, *words: str) -> argparse.Namespace:
    """Returns the options of the step benchmark."""
    sizes = _TINY.split() if args.tiny else ['--steps', '8', '--channels-last']
    given = ['--device', args.device, '--batch-size', str(args.batch_size), '--precision', precision, *sizes, *words]
    options = step_options([*given, '--threads', str(args.threads)])
    if args.tiny:
        options.arch = options.teacher = _TINY_VIT
    return options


def guarded(name: str, run: Callable[[], dict]) -> dict:
    """Returns the row of a call; a call that fails gives a row with the error instead of ending the part."""
    begin = time.perf_counter()
    try:
        row = run()
    except Exception as error:
        row = dict(
            passed=False, note=f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'[:300]
        )
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return dict(name=name, **row, seconds=time.perf_counter() - begin)


def speeds(variant: str, found: dict[str, float], args: argparse.Namespace) -> dict:
    """Returns a row, which fails if a Hopper GPU is slower than required."""
    row = dict(passed=True, values={key: found[key] for key in _SHOWN if key in found}, note='')
    if args.device == 'cpu' or args.tiny or not any(name in torch.cuda.get_device_name() for name in ('H100', 'H200')):
        return row
    speed, required, aimed = found['samples_per_second'], REQUIRED.get(variant, 0), AIMED.get(variant)
    note = '' if aimed is None else f'aim {aimed} samples/s: ' + ('reached' if speed >= aimed else 'not reached')
    return dict(row, passed=speed >= required, note=note + (f', at least {required} required' if required else ''))


def same_losses(variant: str, options: argparse.Namespace) -> dict:
    """Returns a row that passes if compiled steps have the losses of eager ones to 1e-3, relatively."""
    losses: list[list[float]] = []
    for compiled in (False, True):
        torch.manual_seed(0)
        steps = OurSteps(variant, options)
        if compiled:
            # On a CPU, the default backend compiles for many minutes.
            steps.compile('inductor' if options.device == 'cuda' else 'aot_eager')
        begin = time.perf_counter()
        losses.append([])
        for step in range(3):
            steps.run(step, 1)
            losses[-1].append(float(steps.terms['loss']))
        seconds = time.perf_counter() - begin
    apart = max(abs(ours / expected - 1) for expected, ours in zip(*losses))
    return dict(passed=apart <= 1e-3, values=dict(largest_difference=apart, compile_seconds=seconds), note='')
