"""Operations and memory of a training step from shapes alone: nothing is computed, and no data or weights are read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import OPTIMIZERS, DefaultScope
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.engine.scaling import IBOTSizes, activations_of, largest_share
from mmdecouple.registry import MODELS, TRANSFORMS

_FLOAT = 4
_SOURCE = 480, 640
# Different samples of a batch: windows and boxes affect how many positions a loss reads.
_SAMPLES = 8


@dataclass(frozen=True)
class StepCost:
    """Cost of a training step on one GPU.

    Attributes:
        parameters: Number of trained parameters.
        flop: Floating-point operations per image: forward and backward passes of the student, forward passes of the
            teacher, losses.
        memory: Bytes by purpose: `weights`, `gradients`, `optimizer`, `teacher` (all other parameters and buffers, such
            as queues), `stored` (tensors that the backward pass reads); if blocks are recomputed, also `recomputation`
            (one block, and the weights in the precision of the products).
    """

    parameters: int
    flop: float
    memory: dict[str, float]


def step_cost(config: Config, processes: int) -> StepCost:
    """Returns the cost of a step with the batch size and the precision of a config.

    Tensors of the networks have a shape and a type, but no content. Random draws are real, since their number of masked
    positions determines the size of what follows. The stored tensors are those of the CPU under autocast. Temporary
    tensors, fragmentation, the buffers of cuBLAS and NCCL, and the CUDA context are not included.

    Args:
        config: Config of a pre-training run.
        processes: Number of GPUs.
    """
    images = config.train_dataloader.batch_size
    model = _without_content(_build(config.model))
    model.train().data_preprocessor.set_step(0, 0, 0)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    count = sum(parameter.numel() for parameter in trained)
    others = [p for p in model.parameters() if not p.requires_grad] + list(model.buffers())
    precision = dict(bf16=torch.bfloat16, fp16=torch.float16).get(config.optim_wrapper.get('precision', 'bf16'))
    with FlopCounterMode(display=False, custom_mapping=attention_counters()) as counter, _stored(model) as stored:
        with torch.autocast('cpu', precision or torch.bfloat16, enabled=precision is not None):
            losses = model(**model.data_preprocessor(_batch(config, images), training=True), mode='loss')
        stored_bytes = sum(tensor.untyped_storage().nbytes() for tensor in stored.values())
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    sizes = [parameter.numel() for parameter in trained]
    state = largest_share([sizes], processes) if config.optim_wrapper.get('sharded') else count
    one_copy = processes == 1 or config.get('model_wrapper_cfg', {}).get('gradient_as_bucket_view')
    memory = dict(
        weights=_FLOAT * count,
        gradients=_FLOAT * count * (1 if one_copy else 2),
        optimizer=_FLOAT * state * _numbers_per_parameter(config.optim_wrapper.optimizer),
        teacher=sum(tensor.untyped_storage().nbytes() for tensor in others),
        stored=stored_bytes,
    )
    if config.model.backbone.get('with_cp'):
        parts = activations_of(IBOTSizes.of(config.model), images, rows=0)
        memory['recomputation'] = parts['recomputation'] + parts['casts']
    return StepCost(count, counter.get_total_flops() / images, memory)


def attention_counters() -> dict[Any, Callable[..., int]]:
    """Returns counters of attention for `FlopCounterMode`: two products forward, four backward.

    torch counts no fused attention on the CPU, and on the GPU also the product that the backward pass repeats. With
    these counters, fused and plain attention have equal numbers of operations.
    """

    def forward(query, key, value, *args, **kwargs) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(gradient, query, key, value, *args, **kwargs) -> int:
        return 2 * sdpa_flop_count(query, key, value)

    aten = torch.ops.aten
    kinds = (('flash', '_for_cpu'), ('flash', ''), ('efficient', ''), ('cudnn', ''))
    counters = {f'_scaled_dot_product_{kind}_attention{rest}': forward for kind, rest in kinds}
    counters.update({f'{name}_backward': backward for name in counters})
    # Each version of torch has some of them.
    return {getattr(aten, name): counter for name, counter in counters.items() if hasattr(aten, name)}


class _OnMeta(TorchFunctionMode):
    """Creates parameters on the meta device; `torch.device('meta')` would do so with values that constructors read."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs['device'] = 'meta'
        return func(*args, **kwargs)


def _build(config: dict[str, Any]) -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmdecouple'), _OnMeta():
        return MODELS.build(config)


def _without_content(model: nn.Module) -> nn.Module:
    """Replaces the parameters and buffers of a model by tensors of the CPU that have no content."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def fake(tensor: Tensor) -> Tensor:
        return FakeTensor(mode, tensor.detach().to('meta'), torch.device('cpu'))

    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(fake(parameter), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = fake(buffer)
    return model


@contextmanager
def _stored(model: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Collects the tensors that are stored for the backward pass, one for each storage, without those of the model."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    found: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            found[storage] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def _batch(config: Config, images: int) -> dict[str, Any]:
    """Returns a batch of the pipeline of a config, from gray images; random boxes stand for those of a file."""
    steps = [
        dict(type='GridProposals') if step['type'] == 'LoadProposals' else step
        for step in config.train_dataloader.dataset.pipeline
    ]
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    samples = []
    for index in range(_SAMPLES):
        image = np.full((*_SOURCE, 3), 128, np.uint8)
        with sample_rng(0, 0, index):
            samples.append(pipeline(dict(img=image, img_path='', sample_idx=index, ori_shape=_SOURCE)))
    return default_collate([samples[index % _SAMPLES] for index in range(images)])


def _numbers_per_parameter(config: dict[str, Any]) -> int:
    """Returns how many numbers an optimizer stores for each parameter, from a step with one small parameter."""
    parameter = nn.Parameter(torch.ones(2, 3))
    parameter.grad = torch.ones_like(parameter)
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        optimizer = OPTIMIZERS.build(dict(config, params=[parameter]))
    optimizer.step()
    state = optimizer.state[parameter].values()
    return sum(prod(value.shape) for value in state if isinstance(value, Tensor) and value.ndim) // parameter.numel()
