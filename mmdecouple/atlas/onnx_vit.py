"""A ViT of DINOv2's architecture from an ONNX graph, with timm's names, verified against the graph."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError
from mmdecouple.weights.weight_files import write_weights

from .onnx_weights import Graph, named_weights, packages, read_onnx

# Names of transformers' Dinov2Model -> those of timm and of DINOv2's authors; the same for `weight` and `bias`.
_NAMES = {
    r'embeddings\.cls_token': 'cls_token',
    r'embeddings\.position_embeddings': 'pos_embed',
    r'embeddings\.patch_embeddings\.projection': 'patch_embed.proj',
    r'encoder\.layer\.(\d+)\.norm([12])': r'blocks.\1.norm\2',
    r'encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)': r'blocks.\1.attn.\2',
    r'encoder\.layer\.(\d+)\.attention\.output\.dense': r'blocks.\1.attn.proj',
    r'encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1': r'blocks.\1.ls\2.gamma',
    r'encoder\.layer\.(\d+)\.mlp\.(fc[12])': r'blocks.\1.mlp.\2',
    r'layernorm': 'norm',
}
_TOLERANCE = 1e-4


def vit_state(graph: Graph) -> dict[str, Tensor]:
    """Returns the weights of a ViT with DINOv2's names (`blocks.0.attn.qkv.weight`, ...), which timm reads.

    The graph may come from transformers' `Dinov2Model`, below any prefix, or from a model that has these names already.
    Position embeddings that the exporter cut into those of the class token and of the patches are joined again.

    Args:
        graph: The graph.

    Raises:
        UserError: The graph holds no such ViT.
    """
    found = _renamed(named_weights(graph))
    if 'cls_token' not in found or 'patch_embed.proj.weight' not in found:
        raise UserError('ONNX: the graph has no class token and patch embedding with the names of a ViT.')
    if 'pos_embed' not in found:
        found['pos_embed'] = _positions(graph, found['cls_token'].shape[-1])
    for block in sorted({name.rpartition('.query.')[0] for name in found if '.query.' in name}):
        for kind in ('weight', 'bias'):
            parts = [found.pop(f'{block}.{part}.{kind}', None) for part in ('query', 'key', 'value')]
            if any(part is None for part in parts):
                raise UserError(f'ONNX: {block} lacks the {kind} of query, key or value.')
            found[f'{block}.qkv.{kind}'] = np.concatenate(parts)
    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in found.items()}


def write_vit(source: Path, target: Path, model: torch.nn.Module) -> float:
    """Writes the ViT of an ONNX file as a weight file, after comparing its features with those of the graph.

    Args:
        source: ONNX file.
        target: `.safetensors` file, replaced if it exists.
        model: Model of timm with this architecture, `forward_features` and `patch_embed`. Its weights are replaced.

    Returns:
        The largest absolute difference from the graph's tokens after the final norm, divided by the largest value (at
        least 1), for random images of the size at which position embeddings are not resampled.

    Raises:
        UserError: The weights do not fit the model, or the difference exceeds 1e-4.
    """
    proto = read_onnx(source)
    graph = Graph(proto)
    state = vit_state(graph)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'{source}: its ViT does not fit {type(model).__name__} ({reason}).') from error
    side = round((state['pos_embed'].shape[1] - 1) ** 0.5) * state['patch_embed.proj.weight'].shape[-1]
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.no_grad():
        expected = torch.from_numpy(graph_tokens(proto, graph, images.numpy()))
        tokens = model.eval().forward_features(images)
    difference = float((tokens - expected).abs().max() / max(1.0, float(expected.abs().max())))
    if not difference <= _TOLERANCE:
        raise UserError(f'{source}: the features of the ViT that was read differ from the graph by {difference:.2g}.')
    write_weights(str(target), state)
    return difference


def graph_tokens(proto: Any, graph: Graph, images: np.ndarray) -> np.ndarray:
    """Returns the tokens after the final norm of the ViT in a graph, which are made its only output.

    Args:
        proto: `ModelProto` of the graph; a copy is changed.
        graph: The graph.
        images: Normalized images `(B, 3, H, W)`, of any size that the graph can process.

    Returns:
        `(B, 1 + h * w, C)`.
    """
    onnx, onnxruntime = packages()
    bias = next(name for name in graph.constants if re.search(r'(^|\.)(layernorm|norm)\.bias$', name))
    node = (*graph.consumers(bias, 'Add'), *graph.consumers(bias, 'LayerNormalization'))[0]
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.output[:], copy.graph.value_info[:]
    copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    for axis, name in ((0, 'batch'), (2, 'height'), (3, 'width')):
        copy.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=['CPUExecutionProvider'])
    return session.run(None, {copy.graph.input[0].name: images.astype(np.float32)})[0]


def _renamed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    end = r'embeddings.cls_token'
    prefix = next((name.removesuffix(end) for name in weights if name.endswith(end)), None)
    if prefix is None:
        end = 'cls_token'
        prefix = next((name.removesuffix(end) for name in weights if name.endswith(end)), '')
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    found = {}
    for name, value in weights.items():
        for theirs, ours in _NAMES.items():
            match = re.fullmatch(rf'{re.escape(prefix)}{theirs}(\.weight|\.bias)?', name)
            if match:
                end = '.weight' if name.endswith('.weight') else '.bias' if name.endswith('.bias') else ''
                found[f'{match.expand(ours)}{end}'] = value
    return found


def _positions(graph: Graph, width: int) -> np.ndarray:
    """Returns the position embeddings `(1, 1 + n, width)`: the first constants of this width that are added."""
    for node in graph.nodes:
        for name in node.input if node.op_type == 'Add' else ():
            found = [graph.constants[part] for part in graph.constants_of(name)] if graph.is_constant(name) else []
            parts = [_as_tokens(value, width) for value in found if value.ndim in (3, 4) and width in value.shape[1:]]
            if parts:
                return np.concatenate(parts, axis=1)
    raise UserError('ONNX: the graph adds no position embeddings to its tokens.')


def _as_tokens(value: np.ndarray, width: int) -> np.ndarray:
    """Returns `(1, n, width)` for tokens, or for a grid with the channels first or last, as exporters fold it."""
    if value.shape[-1] != width:
        value = np.moveaxis(value, 1, -1)
    return value.reshape(1, -1, width)
