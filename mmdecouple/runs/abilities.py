"""Capabilities of an installation, each tested in a separate process."""

import os
import subprocess
import sys
from dataclasses import dataclass

from mmdecouple.utils.versions import opencv_distributions, setup_command, tested_version

# Time limit of a probe in seconds; on an idle machine, none takes more than fifteen.
LONGEST = 300
PIP = f'{sys.executable} -m pip'
BUILD_OPS = (
    f'MMCV_WITH_OPS=1 CFLAGS="-O2 -g0 -DNDEBUG" {PIP} install --no-deps --no-build-isolation --no-cache-dir '
    f'--force-reinstall --no-binary :all: {tested_version("mmcv")}'
)
ONE_OPENCV = f'{PIP} uninstall -y {" ".join(opencv_distributions())} && {PIP} install --no-deps opencv-python-headless'


@dataclass(frozen=True)
class Ability:
    """Capability of an installation.

    Args:
        name: Name in the printed list.
        probe: Program that prints a note if the capability works, and fails otherwise.
        remedy: Command that provides the capability.
        needs_ops: Whether it requires the compiled operators of mmcv.
    """

    name: str
    probe: str
    remedy: str
    needs_ops: bool = False


COMPILED_OPS = Ability(
    'compiled mmcv ops',
    'import torch, mmcv.ops as o; o.nms(torch.tensor([[0., 0, 1, 1]]), torch.ones(1), 0.5); '
    'print("CUDA " + o.get_compiling_cuda_version())',
    BUILD_OPS,
)
ABILITIES = (
    Ability(
        'pre-training',
        'from mmdecouple.utils.versions import check_versions, stack; check_versions(); '
        'from mmdecouple.runs.trial import try_training; print(f"{try_training()} (OpenMMLab packages: {stack()})")',
        setup_command(),
    ),
    Ability(
        'torchvision ops (RoIAlign, measures)',
        'import torch, torchvision; boxes = torch.tensor([[0., 0, 0, 2, 2]]); '
        'torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 1); print("ready")',
        setup_command(),
    ),
    Ability(
        'one OpenCV',
        'import sys, cv2; from mmdecouple.utils.versions import opencv_distributions as found; '
        'sys.exit(" and ".join(found()) + " overwrite each other") if len(found()) > 1 else print(cv2.__version__)',
        ONE_OPENCV,
    ),
    Ability(
        'COCO evaluation (pycocotools)',
        'import numpy, pycocotools.mask as m; m.area(m.encode(numpy.ones((2, 2), "uint8", order="F"))); print("ready")',
        f'{PIP} install pycocotools',
    ),
    COMPILED_OPS,
    Ability(
        'mmdet (detection transfer)',
        'import mmdet.models; print("ready")',
        f'{PIP} install {tested_version("mmdet")}',
        needs_ops=True,
    ),
    Ability(
        'mmseg (segmentation transfer)',
        'import mmseg.models; print("ready")',
        f'{PIP} install {tested_version("mmseg")} ftfy regex',
        needs_ops=True,
    ),
    Ability(
        'GPU',
        'import torch, sys; torch.cuda.is_available() or sys.exit("no CUDA device: CPU only"); '
        'print(torch.cuda.get_device_name())',
        'nvidia-smi   (requires a driver; without one, use --device cpu)',
    ),
)


def examine(ability: Ability) -> tuple[bool, str]:
    """Runs a probe in a separate process, which may crash.

    Returns:
        Whether the capability works, and the last line of output.
    """
    try:
        result = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', ability.probe],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
        )
    except subprocess.TimeoutExpired:
        return False, f'no result within {LONGEST} seconds'
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines()
    return result.returncode == 0, lines[-1] if lines else f'exit code {result.returncode}'
