"""Weights of a file for a vision transformer, with a check of the architecture."""

from pathlib import Path

from torch import Tensor

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.weights.formats.vit import read_vit
from mmdecouple.weights.formats.vit_arch import setting_differences
from mmdecouple.weights.origins import origin_of


def weights_for(own: dict[str, Tensor], path: str, key: str) -> dict[str, Tensor]:
    """Returns the weights of a file by the names of a network; a mask token and periods may be missing.

    Args:
        own: State dict of the network.
        path: File in any format that `read_vit` supports.
        key: Config key of the path, for messages.

    Raises:
        MissingFile: The file does not exist.
        UserError: The network of the file has another architecture; the message names the settings.
    """
    if not Path(path).is_file():
        raise MissingFile(
            f'DenseViT: the weight file {path!r} does not exist; download it{origin_of(path)} and set the config key '
            f'{key} to its path.'
        )
    weights = read_vit(path).backbone
    differing = setting_differences(own, weights)
    if differing:
        raise UserError(
            f'DenseViT: {path} does not fit the network; its weights require the settings {", ".join(differing)} of '
            f'the backbone (config key {key}).'
        )
    return {name: weights[name] for name in own if name in weights}
