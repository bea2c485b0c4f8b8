"""ReSim: contrastive learning of pooled views and of windows that show the same part of the image in two views."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.backbones import measured_stride
from mmdecouple.models.layers import NegativeQueue
from mmdecouple.models.losses import SharedNegatives, info_nce, negatives_of
from mmdecouple.models.windows import WindowPairs, pair_windows, sliding_windows, window_loss
from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import gathered
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .checks import check_positions
from .step import Step, ViewFlow


@MODELS.register_module()
class ReSim(DenseAlgorithm):
    """Region similarity: L_base = L_global + L_region + L_fine, each an InfoNCE loss.

    L_region slides a window over the query view. The windows that the key view shows completely are pooled from the
    projected maps of both views, and L_region is their mean loss over the batch; the negatives are the means of all
    3 x 3 neighborhoods in the key maps of all processes. L_fine is the same on a finer map, with negatives from the key
    maps of the own process only. If the key views show no window of a batch, both terms are zero.

    The de-coupled variant is not part of the publication: it compares single positions of the coarsest map, with the
    negatives of L_region.

    Args:
        queue_length: Number of keys Q in the queue of L_global, at least 1.
        channels: Channels C of the global projection, at least 1.
        temperature: Temperature of all terms, above 0.
        windows: Side and stride of the windows in pixels of the view, one pair per map of the neck, coarsest first.
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is a `ReSimNeck` with one or two maps.

    Raises:
        SettingError: A value is out of range, or the neck is of another class.

    Source: arXiv 2103.12902; `Tete-Xiao/ReSim moco/builder.py`, `moco/datasets.py`.
    """

    flow = ViewFlow(on_geometry=True, returns_map=True)

    def __init__(
        self,
        queue_length: int = 65536,
        channels: int = 128,
        temperature: float = 0.2,
        windows: Sequence[Sequence[int]] = ((48, 32), (32, 24)),
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.number('queue_length', queue_length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        check.number('temperature', temperature, above=0)
        super().__init__(**kwargs)
        self._require('neck', 'a ReSimNeck', 'laterals')
        maps = len(self.neck.outputs)
        if maps > 2 or not isinstance(windows, (list, tuple)) or len(windows) != maps:
            check.refuse('windows', f'must have a (side, stride) for each of the one or two maps of the neck ({maps})')
        for index, pair in enumerate(windows):
            check.numbers(f'windows[{index}]', pair, 2, minimum=1, whole=True)
        if kwargs.get('dense_stride') is None:
            self.dense_stride = measured_stride(self.backbone)
        self.queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature
        self.windows = windows

    def prepare(self, step: Step, generator: torch.Generator) -> list[WindowPairs]:
        """Returns the windows of each map; computed on the CPU, so that the host knows how many have a counterpart."""
        sizes = [view.shape[-2:] for view in step.views]
        check, geometry = Settings(self, 'model'), step.samples.geometry(type(self).__name__)
        if min(self.dense_size(sizes[1])) < 3:
            check.refuse('dense_stride', 'must give at least 3 positions along each side of a view; enlarge the views')
        for index, (side, _) in enumerate(self.windows):
            if side >= min(sizes[0]):
                check.refuse(f'windows[{index}]', f'must be smaller than a view, {min(sizes[0])} pixels, got {side}')
        pairs = [pair_windows(sliding_windows(sizes[0], *window), geometry, *sizes) for window in self.windows]
        return [pair.to(step.views[0].device) for pair in pairs]

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of one network.

        Returns:
            `global`, the normalized projection, (N, C); `dense`, the coarsest map of the neck, (N, P, C'); with two
            maps also `fine`, the finer one, (N, C', h, w).
        """
        features = backbone(images)
        projection, (dense, *fine) = neck(features)
        outputs = {'global': F.normalize(projection.float(), dim=1), 'dense': dense.flatten(2).transpose(1, 2).float()}
        if self.terms.read_map:
            outputs['map'] = features[-1].flatten(2).transpose(1, 2)
        return {**outputs, 'fine': fine[0].float()} if fine else outputs

    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns the outputs of `encode`, and `negatives` from the `dense` maps of all processes, (Q', C')."""
        outputs = super().teacher_forward(step)
        return {**outputs, 'negatives': gathered(negatives_of(self._maps(step, outputs)[0]))}

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_global`, `loss_region`, `loss_fine`, and for the log `shown_share` of the windows."""
        loss_global = info_nce(step.student['global'], step.teacher['global'], self.queue.keys, self.temperature)
        student, teacher = (self._maps(step, outputs) for outputs in (step.student, step.teacher))
        objectives = [self.objective(step)]
        objectives += [SharedNegatives(negatives_of(fine), self.temperature) for fine in teacher[1:]]
        regions = [window_loss(*parts) for parts in zip(student, teacher, step.extras, objectives)]
        share = sum(len(pairs.shown) for pairs in step.extras) / sum(pairs.key[..., 0].numel() for pairs in step.extras)
        return dict(
            loss_global=loss_global.mean(),
            **dict(zip(('loss_region', 'loss_fine'), regions)),
            shown_share=loss_global.new_tensor(share),
        )

    def objective(self, step: Step) -> SharedNegatives:
        """Returns InfoNCE with the negatives of this step."""
        return SharedNegatives(step.teacher['negatives'], self.temperature)

    def update_memory(self, step: Step) -> None:
        """Enqueues the global keys of this step."""
        self.queue.enqueue(step.teacher['global'])

    def _maps(self, step: Step, outputs: dict[str, Tensor]) -> list[Tensor]:
        """Returns the maps of one network, each (B, C', h, w), coarsest first."""
        grid = self.dense_size(step.views[0].shape[-2:])
        check_positions(self, outputs['dense'], grid[0] * grid[1])
        dense = outputs['dense'].transpose(1, 2).unflatten(2, grid)
        return [dense, outputs['fine']] if 'fine' in outputs else [dense]
