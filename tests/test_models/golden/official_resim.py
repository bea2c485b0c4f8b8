"""The official code of ReSim, from a checkout of `Tete-Xiao/ReSim`, on the CPU in float64."""

import contextlib
import ctypes
import math
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor

from . import recipe

# The kernels in C++: each index is a separate thread. The `extern "C"` functions replace the launching functions.
_SHIM = """
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
using std::max; using std::min;
#define float double
#define floorf floor
#define ceilf ceil
#define __device__
#define __global__
struct Place {{ int x; }};
static Place blockIdx, blockDim{{1}}, threadIdx{{0}}, gridDim;
static void atomicAdd(float *at, float value) {{ *at += value; }}
#define F_DEVPTR_IN const float *
#define F_DEVPTR_OUT float *
{kernels}
extern "C" void forward(int n, const float *maps, const float *rois, float *top, int c, int h, int w, float scale) {{
    gridDim.x = n;
    for (blockIdx.x = 0; blockIdx.x < n; ++blockIdx.x)
        PrRoIPoolingForward(n, maps, rois, top, c, h, w, 1, 1, scale);
}}
extern "C" void backward(int n, const float *rois, const float *diff, float *maps, int c, int h, int w, float scale) {{
    gridDim.x = n;
    for (blockIdx.x = 0; blockIdx.x < n; ++blockIdx.x)
        PrRoIPoolingBackward(n, rois, diff, maps, c, h, w, 1, 1, scale);
}}
"""


def compiled(folder: str) -> ctypes.CDLL:
    """The official CUDA kernels of precise RoI pooling, compiled for the CPU with double instead of float."""
    source = (Path(folder) / 'lib/prroi_pool/src/prroi_pooling_gpu_impl.cu').read_text()
    kernels = source[source.index('#define CUDA_KERNEL_LOOP') : source.index('#ifdef __cplusplus')]
    place = Path(tempfile.mkdtemp())
    (place / 'kernels.cpp').write_text(_SHIM.format(kernels=kernels))
    subprocess.run(
        ['g++', '-w', '-O2', '-shared', '-fPIC', str(place / 'kernels.cpp'), '-o', str(place / 'kernels.so')],
        check=True,
    )
    return ctypes.CDLL(str(place / 'kernels.so'))


def pooling(kernels: ctypes.CDLL) -> Any:
    """Returns the replacement of `prroi_pool2d`, for one bin."""

    def pointer(tensor: Tensor) -> ctypes.c_void_p:
        assert tensor.dtype == torch.float64 and tensor.is_contiguous()
        return ctypes.c_void_p(tensor.data_ptr())

    class Pool(torch.autograd.Function):
        @staticmethod
        def forward(ctx, maps, rois, height, width, scale):
            maps, rois = maps.contiguous(), rois.contiguous()
            _, c, h, w = maps.shape
            out = maps.new_zeros(len(rois), c, height, width)
            kernels.forward(out.numel(), pointer(maps), pointer(rois), pointer(out), c, h, w, ctypes.c_double(scale))
            ctx.save_for_backward(rois)
            ctx.shape, ctx.scale = maps.shape, scale
            return out

        @staticmethod
        def backward(ctx, diff):
            (rois,) = ctx.saved_tensors
            diff, maps = diff.contiguous(), diff.new_zeros(ctx.shape)
            _, c, h, w = ctx.shape
            kernels.backward(
                diff.numel(), pointer(rois), pointer(diff), pointer(maps), c, h, w, ctypes.c_double(ctx.scale)
            )
            return maps, None, None, None, None

    return Pool.apply


def code(folder: str) -> Any:
    """The official `main_moco`, with its pooling on the CPU."""
    transforms = torchvision.transforms.transforms
    transforms.Image, transforms.math, transforms.random = Image, math, random
    transforms._pil_interpolation_to_str = transforms._get_image_size = None
    recipe.stub('torchvision.models.utils', load_state_dict_from_url=None)
    main = recipe.official(folder, 'main_moco')
    main.moco.builder.prroi_pool2d = pooling(compiled(folder))
    # The logged accuracy does not run on current versions of torch.
    main.accuracy = lambda *args, **kwargs: [torch.zeros(())]
    return main


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Lets `.float()` keep double precision."""
    kept, Tensor.float = Tensor.float, Tensor.double
    try:
        yield
    finally:
        Tensor.float = kept
