"""One screen: what is installed, what works, and the exact command that fixes what does not.

Pre-training is tried: two steps of a tiny network, whose checkpoints are written and read. Exit code 0 when that works,
1 otherwise.
"""
import argparse
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from mmdecouple import __version__
from mmdecouple.utils.versions import REQUIRED, SUPPORTED, installed_versions, setup_command

# Seconds that a probe may take; on an idle machine none takes more than fifteen.
LONGEST = 300
PIP = f'{sys.executable} -m pip'
BUILD_OPS = (
    f'CFLAGS="-O2 -g0 -DNDEBUG" {PIP} install --no-deps --no-build-isolation --no-cache-dir '
    '--force-reinstall --no-binary onedl-mmcv onedl-mmcv==2.3.6')


@dataclass(frozen=True)
class Ability:
    """Something to be done; `probe` is a program that prints a note, or fails when it cannot."""

    name: str
    probe: str
    remedy: str
    needs_ops: bool = False


COMPILED_OPS = Ability(
    'compiled mmcv ops',
    'import torch, mmcv.ops as o; o.nms(torch.tensor([[0., 0, 1, 1]]), torch.ones(1), 0.5); '
    'print("CUDA " + o.get_compiling_cuda_version())',
    BUILD_OPS)
ABILITIES = (
    Ability(
        'pre-training',
        'from mmdecouple.utils.versions import check_versions; check_versions(); '
        'from mmdecouple.utils.trial import try_training; print(try_training())',
        setup_command()),
    Ability(
        'torchvision ops (RoIAlign, measures)',
        'import torch, torchvision; boxes = torch.tensor([[0., 0, 0, 2, 2]]); '
        'torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 1); print("ready")',
        f"{PIP} install --force-reinstall 'torch===2.11.0' 'torchvision===0.26.0'"),
    Ability(
        'COCO evaluation (pycocotools)',
        'import numpy, pycocotools.mask as m; '
        'm.area(m.encode(numpy.ones((2, 2), "uint8", order="F"))); print("ready")',
        f'{PIP} install pycocotools'),
    COMPILED_OPS,
    Ability(
        'mmdet (detection transfer)', 'import mmdet.models; print("ready")',
        f'{PIP} install onedl-mmdetection==3.5.1', needs_ops=True),
    Ability(
        'mmseg (segmentation transfer)', 'import mmseg.models; print("ready")',
        f'{PIP} install onedl-mmsegmentation==1.4.2 ftfy regex', needs_ops=True),
    Ability(
        'GPU',
        'import torch, sys; torch.cuda.is_available() or sys.exit("no CUDA device: CPU only"); '
        'print(torch.cuda.get_device_name())',
        'nvidia-smi   (a driver is needed; without one use --device cpu)'),
)


def examine(ability: Ability) -> tuple[bool, str]:
    """Runs a probe in a process of its own, so that a crash is an answer too.

    Returns:
        Whether it works, and its last line of output.
    """
    try:
        result = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', ability.probe], capture_output=True, text=True, timeout=LONGEST,
            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    except subprocess.TimeoutExpired:
        return False, f'no answer within {LONGEST} seconds'
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines()
    return result.returncode == 0, lines[-1] if lines else f'exit code {result.returncode}'


def installed_table() -> Table:
    """What is installed, beside what this package supports."""
    python = platform.python_version()
    table = Table(title=f'mmdecouple {__version__}, Python {python}, {platform.platform()}')
    for column in ('package', 'installed', 'supported', 'needed for'):
        table.add_column(column)
    for module, providers in installed_versions().items():
        installed = ', '.join(f'{name} {number}' for name, number in providers)
        purpose = 'pre-training' if module in REQUIRED else 'transfer'
        table.add_row(module, installed or '[red]missing[/red]', SUPPORTED[module], purpose)
    return table


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    console = Console()
    console.print(installed_table())
    with console.status('trying things out'), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(examine, ABILITIES))
    table = Table(title='what works')
    for column in ('', 'ability', 'note'):
        table.add_column(column, overflow='fold')
    for ability, (works, note) in zip(ABILITIES, results):
        table.add_row('[green]yes[/green]' if works else '[red]no[/red]', ability.name, note)
    console.print(table)
    broken = [ability for ability, (works, _) in zip(ABILITIES, results) if not works]
    for ability in broken:
        waits = COMPILED_OPS in broken and ability.needs_ops
        after = f' (after {COMPILED_OPS.name})' if waits else ''
        console.print(f'to fix {ability.name}{after}: {ability.remedy}', markup=False, highlight=False, soft_wrap=True)
    return 0 if results[0][0] else 1


if __name__ == '__main__':
    sys.exit(main())
