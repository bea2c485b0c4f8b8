"""Frozen vision transformer as teacher, such as CLIP or DINO, from a local file in its published format."""

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdecouple.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import before_load_state_dict, leave_out_of_state_dict
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

CLIP_MEAN = (122.7709383, 116.7460125, 104.09373615)
CLIP_STD = (68.5005327, 66.6321579, 70.32316305)
_STATISTICS = dict(imagenet=(IMAGENET_MEAN, IMAGENET_STD), clip=(CLIP_MEAN, CLIP_STD))


@MODELS.register_module()
class FrozenViT(nn.Module):
    """Whitened outputs of the last blocks of a frozen ViT, and the attention of its class token.

    The network is neither trained nor updated from the student, and it is not part of checkpoints: its file is read
    again when a run starts.

    Args:
        backbone: Config of a `DenseViT`.
        checkpoint: Local file in any format that `DenseViT.load_file` supports, or `random` for tests. `load` reads it
            before training, so that a model can be built and measured without the file.
        levels: Number of blocks to return, counted from the last, at least 1.
        statistics: Channel statistics that the teacher expects: `imagenet` or `clip`.
        input_size: Side in pixels to which views are resized (bicubic); None does not resize them.

    Raises:
        SettingError: A value is out of range.

    Source: `OpenDriveLab/maskalign models_pretrain.py` (`forward_clip`, `forward_dino`, `get_teacher`).
    """

    def __init__(
        self,
        backbone: dict,
        checkpoint: str | None = None,
        levels: int = 5,
        statistics: str = 'imagenet',
        input_size: int | None = None,
    ) -> None:
        check = Settings(self, 'model.teacher')
        check.block('backbone', backbone)
        check.text('checkpoint', checkpoint, optional=True)
        check.number('levels', levels, 1, whole=True)
        check.choice('statistics', statistics, tuple(_STATISTICS))
        check.number('input_size', input_size, 1, whole=True, optional=True)
        super().__init__()
        self.backbone = MODELS.build(backbone).requires_grad_(False)
        self.checkpoint = checkpoint
        self.levels = levels
        self.input_size = input_size
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in _STATISTICS[statistics])
        own_mean, own_std = (torch.tensor(values).view(3, 1, 1) for values in _STATISTICS['imagenet'])
        self.register_buffer('scale', own_std / std, persistent=False)
        self.register_buffer('shift', (own_mean - mean) / std, persistent=False)
        leave_out_of_state_dict(self)
        before_load_state_dict(self, _keep_own)

    def train(self, mode: bool = True) -> 'FrozenViT':
        """Keeps the network in evaluation mode."""
        return super().train(False)

    def load(self) -> None:
        """Loads the weights of the teacher.

        Raises:
            MissingFile: The file does not exist.
            UserError: No file is configured, or it does not fit the network.
        """
        if self.checkpoint == 'random':
            print_log('FrozenViT: the teacher has random weights, which are for tests only.', 'current')
            self.backbone.init_weights()
            return
        if self.checkpoint is None:
            raise UserError(
                'FrozenViT: no weight file is configured; download the weights of the teacher and set the config key '
                'model.teacher.checkpoint to the file.'
            )
        self.backbone.load_file(self.checkpoint, 'model.teacher.checkpoint')

    def reset(self, student: dict[str, nn.Module]) -> None:
        """Does nothing, as the teacher does not depend on the student."""

    def update(self, student: dict[str, nn.Module], iteration: int, max_iterations: int) -> None:
        """Does nothing, as the teacher is frozen."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the whitened levels and the attention.

        Args:
            images: Views normalized by the statistics of ImageNet, (N, 3, H, W).

        Returns:
            Outputs of the last blocks before the final norm, where each token is layer-normalized without affine
            parameters, float32 (N, 1 + R + P, levels, C), and the attention of the class token to the patches in the
            last block, averaged over heads, (N, P).
        """
        images = images * self.scale + self.shift
        if self.input_size is not None:
            images = F.interpolate(images, (self.input_size,) * 2, mode='bicubic', align_corners=False)
        tokens, grid = self.backbone.tokens(images)
        rotation = self.backbone.rotation(grid)
        blocks = self.backbone.blocks(tokens, rotation=rotation)
        levels = torch.stack(blocks[-self.levels :], dim=2)
        attention = self.backbone.class_attention(blocks[-2], rotation).mean(1)
        return F.layer_norm(levels.float(), levels.shape[-1:]), attention


def _keep_own(module: FrozenViT, state: dict, prefix: str, *_) -> None:
    for name, value in module.named_parameters():
        state.setdefault(prefix + name, value.detach())
