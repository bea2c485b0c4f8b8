"""Batch normalization in virtual groups, so that one device behaves like several."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class SplitBN(nn.BatchNorm2d):
    """Batch norm that normalizes interleaved groups of the batch, each by its own statistics.

    MoCo's shuffled batch norm gives the query and its key different batch statistics by shuffling between devices. On
    one device, a large batch is instead split into the groups that several devices would have had: the largest number
    of equal groups of at least `group_size` images. A batch below twice that size, as on each device of a usual run, is
    normalized as by plain batch norm, and so is every batch in evaluation. Row `n` belongs to group `n % groups`, so
    that rows appended to a batch (decoupled views) are distributed evenly over all groups.

    Args:
        num_features: Channels C.
        group_size: Smallest number of images in a group, at least 1; 32 is the usual batch per device.
        **kwargs: Arguments of `torch.nn.BatchNorm2d`.

    Raises:
        SettingError: The group size is out of range.

    Source: the single-device demo of facebookresearch/moco (`colab/moco_cifar10_demo.ipynb`) for the idea.
    """

    def __init__(self, num_features: int, group_size: int = 32, **kwargs) -> None:
        super().__init__(num_features, **kwargs)
        Settings(self, 'model.backbone.norm_cfg').number('group_size', group_size, 1, whole=True)
        self.group_size = group_size

    def groups_of(self, batch_size: int) -> int:
        """Returns the number of equal groups for a batch."""
        max_groups = max(batch_size // self.group_size, 1)
        return next(groups for groups in range(max_groups, 0, -1) if batch_size % groups == 0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes a batch: (N, C, H, W) -> (N, C, H, W)."""
        n, c, h, w = x.shape
        splits = self.groups_of(n)
        if not self.training or splits == 1:
            return super().forward(x)
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        if channels_last:
            grouped = x.permute(0, 2, 3, 1).reshape(n // splits, splits, h, w, c)
            grouped = grouped.permute(0, 2, 3, 1, 4).reshape(n // splits, h, w, splits * c)
            grouped = grouped.permute(0, 3, 1, 2)
        else:
            grouped = x.reshape(n // splits, splits * c, h, w)
        mean, var = self.running_mean.repeat(splits), self.running_var.repeat(splits)
        out = F.batch_norm(
            grouped, mean, var, self.weight.repeat(splits), self.bias.repeat(splits), True, self.momentum, self.eps
        )
        with torch.no_grad():
            self.running_mean.copy_(mean.view(splits, c).mean(0))
            self.running_var.copy_(var.view(splits, c).mean(0))
            self.num_batches_tracked.add_(1)
        # Activation checkpointing first runs a block without gradients, and does not accept a view of another tensor.
        if not channels_last:
            return torch.ops.aten._unsafe_view(out, x.shape)
        out = out.permute(0, 2, 3, 1).reshape(n // splits, h, w, splits, c).permute(0, 3, 4, 1, 2)
        if torch.is_grad_enabled():
            return out.permute(0, 1, 3, 4, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
        plain = torch.empty_like(x, dtype=out.dtype)
        plain.unflatten(0, (-1, splits)).copy_(out)
        return plain

    def extra_repr(self) -> str:
        """Returns the settings for `print(module)`."""
        return f'{super().extra_repr()}, group_size={self.group_size}'
