"""Writing of a converted network into a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable, write_json, write_text
from mmdecouple.weights.conversion import FORMATS
from mmdecouple.weights.readers.numpy_pickles import write_numpy_pickle
from mmdecouple.weights.weight_files import write_weights

from .features import Features
from .folders import huggingface_config, preprocessor_config, timm_config
from .onnx_file import write_onnx
from .provenance import model_card
from .vit_folders import differing_functions, is_scaled

ONNX = 'onnx'
ALL_FORMATS = (*FORMATS, ONNX)
# Formats with a config or a graph, which are made from the opened network.
OPENED = ('timm', 'huggingface', ONNX)
_CARD = 'README.md'
_FILES = dict(
    **dict.fromkeys(('dino', 'dinov2', 'dinov3', 'torchvision'), ('backbone.pth',)),
    detectron2=('backbone.pkl',),
    timm=('model.safetensors', 'config.json', _CARD),
    huggingface=('model.safetensors', 'config.json', 'preprocessor_config.json', _CARD),
    onnx=('model.onnx', _CARD),
)
_TIMM_LOADING = """
import timm
from transformers import AutoModel

model = timm.create_model('local-dir:FOLDER', pretrained=True)
model = AutoModel.from_pretrained('FOLDER')    # the same network through transformers
"""
_VIT_LOADING = """
from transformers import AutoImageProcessor, ViTModel

processor = AutoImageProcessor.from_pretrained('FOLDER')
model = ViTModel.from_pretrained('FOLDER', add_pooling_layer=False)
tokens = model(**processor(image, return_tensors='pt')).last_hidden_state    # the class token first
"""
_DINO_LOADING = """
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained('FOLDER')
model = AutoModel.from_pretrained('FOLDER')
tokens = model(**processor(image, return_tensors='pt')).last_hidden_state    # class token, register tokens, patches
"""
_RESNET_LOADING = """
from transformers import AutoImageProcessor, ResNetBackbone, ResNetModel

processor = AutoImageProcessor.from_pretrained('FOLDER')
model = ResNetModel.from_pretrained('FOLDER')
backbone = ResNetBackbone.from_pretrained('FOLDER', out_indices=(1, 2, 3, 4))    # the maps of all stages
"""
_ONNX_LOADING = """
import onnxruntime

session = onnxruntime.InferenceSession('FOLDER/model.onnx')
OUTPUTS = session.run(None, {'images': images})    # RGB, float32 (B, 3, H, W) in [0, 1]
"""


def files_of(format: str, folder: Path) -> list[Path]:
    """Returns the files that a format has in a folder; the first holds the weights."""
    return [folder / name for name in _FILES.get(format, ('checkpoint.pth',))]


def check_target(format: str, folder: Path, force: bool) -> None:
    """Checks that the files of a format can be written to a folder.

    Args:
        format: One of `ALL_FORMATS`.
        folder: Target, which need not exist.
        force: Whether files may be replaced.

    Raises:
        UserError: A file exists and may not be replaced, or cannot be written.
    """
    for path in files_of(format, folder):
        check_writable(path)
        if path.exists() and not force:
            raise UserError(f'{path} exists; name another folder (--out), or replace it with --force.')


def write_named(format: str, folder: Path, content: dict[str, Any]) -> None:
    """Writes the file of a format that consists of tensors only."""
    (path,) = files_of(format, folder)
    (write_numpy_pickle if format == 'detectron2' else write_weights)(str(path), content)


def write_opened(
    format: str, folder: Path, network: Network, state: dict[str, Any] | None, facts: Mapping[str, str]
) -> str:
    """Writes a network in one of the formats in `OPENED`.

    Args:
        format: One of `OPENED`.
        folder: Target.
        network: The opened network.
        state: Its tensors by the names of the format; None for `onnx`.
        facts: Result of `provenance`.

    Returns:
        A line about the network for the user; empty for none.

    Raises:
        UserError: The format cannot hold the network; see `write_onnx`, `huggingface_config` and `timm_config`.
    """
    features = Features(Network(network.name, network.model.cpu(), network.cell))
    weights = files_of(format, folder)[0]
    card = folder / _CARD
    if format == ONNX:
        difference = write_onnx(features, weights, dict(facts))
        loading = _ONNX_LOADING.replace('OUTPUTS', ', '.join(features.outputs) + (',' * (len(features.outputs) == 1)))
        write_text(card, model_card(network.name, facts, loading, _onnx_notes(features)))
        return f'Outputs: {", ".join(features.outputs)}; largest difference from torch: {difference:.1g}.'
    timm = format == 'timm'
    config = (timm_config if timm else huggingface_config)(features)
    write_weights(str(weights), state)
    if not timm:
        write_json(folder / 'preprocessor_config.json', preprocessor_config(features), indent=2)
    write_json(folder / 'config.json', config, indent=2)
    plain = _VIT_LOADING if config.get('model_type') == 'vit' else _DINO_LOADING
    loading = _TIMM_LOADING if timm else plain if features.kind == 'ViT' else _RESNET_LOADING
    library = 'timm' if timm else 'transformers'
    write_text(card, model_card(network.name, facts, loading, _folder_notes(features, timm), library))
    return ''


def _onnx_notes(features: Features) -> str:
    size = f'multiples of {features.multiple}' if features.multiple > 1 else 'any numbers'
    return (
        f'Batch, height and width are dynamic; height and width are {size} of pixels. The graph normalizes the images '
        'with the mean and std in its metadata, and interpolates position embeddings for the size of the images.'
    )


def _folder_notes(features: Features, timm: bool) -> str:
    mean, std = (
        ', '.join(f'{value:.4g}' for value in values.flatten().tolist()) for values in (features.mean, features.std)
    )
    notes = f'A backbone without classifier. It takes RGB in [0, 1], normalized with mean ({mean}) and std ({std}).'
    if features.kind != 'ViT':
        return notes
    backbone = features.backbone
    if not timm and backbone.rope is None and not is_scaled(backbone):
        notes += ' For images of another size than that of the config, call it with `interpolate_pos_encoding=True`.'
    return notes + differing_functions(backbone, timm)
