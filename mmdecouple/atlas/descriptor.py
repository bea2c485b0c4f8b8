"""A descriptor of whole images that an ONNX file computes, with the interface of a network with dense maps."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmdecouple.networks.foreign import ForeignNetwork
from mmdecouple.networks.network import Network
from mmdecouple.utils.digests import digest_of_file

from .onnx_weights import packages

_CELL = 16


class OnnxDescriptor(nn.Module):
    """Output of an ONNX graph as a map with the same vector at every position.

    The feature of an object is then the descriptor of the whole image, wherever the object is: measures of context show
    which values they reach for features without any locality.

    Args:
        path: ONNX file with one input of images `(B, H, W, 3)`, uint8 RGB, and one output `(B, C)`. It is run as it is.

    Attributes:
        stride: Pixels of an image per position of the map.
    """

    stride = _CELL

    def __init__(self, path: Path) -> None:
        super().__init__()
        _, onnxruntime = packages()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        # Part of the fingerprint of a network, which has no parameters.
        self.sha256 = digest_of_file(path)

    def dense_map(self, images: Tensor) -> Tensor:
        """Returns the descriptor of images at every position.

        Args:
            images: RGB in [0, 255], not normalized, `(B, 3, H, W)`.

        Returns:
            `(B, C, H / 16, W / 16)`.
        """
        pixels = images.permute(0, 2, 3, 1).round().clamp(0, 255).to('cpu', torch.uint8)
        (found,) = self._session.run(None, {self._session.get_inputs()[0].name: np.ascontiguousarray(pixels.numpy())})
        height, width = (side // self.stride for side in images.shape[-2:])
        return torch.from_numpy(found).to(images.device)[..., None, None].expand(-1, -1, height, width)


def descriptor_network(name: str, path: Path) -> Network:
    """Returns the network of an ONNX descriptor, see `OnnxDescriptor`."""
    model = ForeignNetwork(OnnxDescriptor(path), mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(name, model.eval(), _CELL, None, path)
