"""What the recipes share: importing an official checkout that expects other libraries and a GPU, and writing JSON."""

import importlib
import json
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

FOLDER = Path(__file__).parent
_OWN_NAMES = ('utils', 'models', 'loader', 'main_ibot', 'models_pretrain', 'util')


def stub(name: str, **contents: object) -> None:
    """Put a module of this name, and its parents, in place of one that is not installed."""
    parts = name.split('.')
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault('.'.join(parts[:end]), types.ModuleType('.'.join(parts[:end])))
    for key, value in contents.items():
        setattr(sys.modules[name], key, value)


def stub_for_ibot() -> None:
    """What both iBOT checkouts import and the golden numbers do not need; color augmentation becomes the identity."""
    stub('timm.models.registry', register_model=lambda function: function)
    stub('timm.models.layers', DropPath=nn.Identity, to_2tuple=None, trunc_normal_=None)
    stub('tensorboardX', SummaryWriter=None)
    stub('evaluation.unsupervised.unsup_cls', eval_pred=lambda *args, **kwargs: (0, 0, 0, 0))
    stub('kornia_transform', aug1=nn.Identity, aug2=nn.Identity)


def official(folder: str, module: str):
    """Import `module` from an official checkout, after forgetting what another checkout left under the same names."""
    for name in [name for name in sys.modules if name.split('.')[0] in _OWN_NAMES]:
        del sys.modules[name]
    sys.path.insert(0, str(Path(folder).resolve()))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop(0)


def one_process(device: str) -> None:
    """A group of one; on the CPU `.cuda()` leaves tensors where they are."""
    warnings.simplefilter('ignore')
    dist.init_process_group('nccl' if device == 'cuda' else 'gloo', store=dist.HashStore(), rank=0, world_size=1)
    np.float = float
    if device == 'cpu':
        Tensor.cuda = nn.Module.cuda = lambda self, *args, **kwargs: self
        torch.cuda.synchronize = lambda *args: None


def one_process_on_the_cpu() -> None:
    """What the golden numbers are made with: one process, one thread."""
    torch.set_num_threads(1)
    one_process('cpu')


def resize_by_size() -> None:
    """Positions are resized by an explicit size, as ours: the official scale factors are 0.1 cells too large."""
    resize = nn.functional.interpolate

    def interpolate(x: Tensor, size: tuple | None = None, scale_factor: tuple | None = None, **kwargs) -> Tensor:
        if scale_factor is not None:
            size = [int(side * factor) for side, factor in zip(x.shape[2:], scale_factor)]
        return resize(x, size=size, **kwargs)

    nn.functional.interpolate = interpolate


def load(module: nn.Module, values: dict[str, Tensor]) -> nn.Module:
    """Go to float64 and fill every parameter that is trained by name."""
    module.double()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(values[name])
    return module


def plain(value: object) -> object:
    """Tensors, arrays and numbers as JSON values with nine significant digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (Tensor, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return float(f'{value:.9g}') if isinstance(value, float) else value


def write(name: str, content: dict) -> None:
    """Write `name`.json beside this file: one entry of the second level a line."""
    lines = []
    for key, value in plain(content).items():
        if isinstance(value, dict):
            inner = ',\n'.join(f'    {json.dumps(k)}: {json.dumps(v)}' for k, v in value.items())
            lines.append(f'  {json.dumps(key)}: {{\n{inner}\n  }}')
        else:
            lines.append(f'  {json.dumps(key)}: {json.dumps(value)}')
    (FOLDER / f'{name}.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n')
