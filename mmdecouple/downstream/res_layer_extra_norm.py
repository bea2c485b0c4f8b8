"""conv5 of a ResNet as the shared head of a C4 detector, followed by a norm layer."""

from mmcv.cnn import build_norm_layer
from mmdet.models.backbones import ResNet
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch import Tensor

from mmdecouple.registry import MODELS


@MODELS.register_module()
class ResLayerExtraNorm(ResLayer):
    """mmdet's `ResLayer` (module `layer4`) followed by a newly initialized norm of its output (module `norm`).

    The scale of these features differs between pre-trained networks; the norm makes them comparable.

    Args:
        depth: Depth of the ResNet.
        stage: Index of the stage, from 0.
        style: `pytorch` for the stride in the 3 x 3 convolution of a block, as in all pre-training of this package;
            `caffe` for the stride in the first 1 x 1 convolution.
        norm_cfg: Config of all norms, including the additional one; None for synchronized batch norm.
        norm_eval: Whether batch norms keep their statistics in training.
        **kwargs: Arguments of mmdet's class: `stride`, `dilation`, `with_cp`, `init_cfg`.

    Source: `Res5ROIHeadsExtraNorm` in `facebookresearch/moco` `detection/train_net.py`.
    """

    def __init__(
        self,
        depth: int,
        stage: int = 3,
        style: str = 'pytorch',
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        **kwargs,
    ) -> None:
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        super().__init__(depth, stage=stage, style=style, norm_cfg=norm_cfg, norm_eval=norm_eval, **kwargs)
        self.style = style
        self.norm = build_norm_layer(norm_cfg, 64 * 2**stage * ResNet.arch_settings[depth][0].expansion)[1]

    def forward(self, regions: Tensor) -> Tensor:
        """Maps features of regions on conv4 `(N, C, h, w)` to `(N, C', h / stride, w / stride)`."""
        return self.norm(super().forward(regions))
