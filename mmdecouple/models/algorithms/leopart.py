"""Leopart: clustering of foreground patches, with cluster assignments predicted between overlapping crops."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.decoupling import PositionSet
from mmdecouple.models.attention_mask import attention_mask
from mmdecouple.models.layers import EmbeddingQueue
from mmdecouple.models.losses import sinkhorn
from mmdecouple.models.overlap import align, common_window
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class Leopart(DenseAlgorithm):
    """Dense clustering on overlaps: L_base = 1/2 sum_j 1 / (V - 1) sum_{v != j} L_jv over the two global views j.

    The teacher's patches of a global view j are assigned to prototypes by Sinkhorn, with a queue of earlier foreground
    patches. On the overlap of views v and j, assignments and student scores are resampled to a common grid by RoIAlign.
    L_jv is their cross-entropy, averaged over the bins of a batch that lie entirely in the foreground of j. The
    foreground is the region that the teacher's class token attends to.

    Args:
        local_views: Number L of views of another size, after the two global views.
        temperature: Temperature of the student's softmax, above 0.
        epsilon: Temperature of Sinkhorn, above 0.
        iterations: Iterations of Sinkhorn, at least 1.
        queue_length: Rows of each of the two queues on this process (4096 on each of two for 8192); 0 for no queue.
        queue_share: Rows stored in each step per image of the batch, at least 1.
        attention_mass: Fraction of the attention that is foreground, in (0, 1].
        roi_size: Side of the common grid in bins, at least 1.
        measured: See `DenseAlgorithm`; the published numbers of Leopart are those of the student.
        **kwargs: Arguments of `DenseAlgorithm`: a `DenseViT` and a `PrototypeHead`.

    Raises:
        SettingError: A value is out of range, or the backbone or neck is of another class.

    Source: arXiv 2204.13101; `MkuuWaUjinga/leopart src/leopart.py`. The de-coupled form is eq. 18 and 19 of the
        paper: on global views, on the foreground of both masks, with the assignments of the clean view.
    """

    flow = ViewFlow(
        student=(0, 1), teacher=(0, 1), shuffle=False, linear_in_target=True, on_geometry=True, returns_map=True
    )

    def __init__(
        self,
        local_views: int = 4,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue_length: int = 4096,
        queue_share: int = 10,
        attention_mass: float = 0.6,
        roi_size: int = 7,
        measured: str = 'student',
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        for key, value, minimum in (
            ('local_views', local_views, 0),
            ('iterations', iterations, 1),
            ('queue_length', queue_length, 0),
            ('queue_share', queue_share, 1),
            ('roi_size', roi_size, 1),
        ):
            check.number(key, value, minimum, whole=True)
        check.number('temperature', temperature, above=0)
        check.number('epsilon', epsilon, above=0)
        check.number('attention_mass', attention_mass, above=0, maximum=1)
        super().__init__(measured=measured, **kwargs)
        self._require('neck', 'a PrototypeHead', 'prototypes')
        self._require('backbone', 'a DenseViT', 'class_attention')
        self.local_views = local_views
        self.temperature = temperature
        self.epsilon = epsilon
        self.iterations = iterations
        self.queue_share = queue_share
        self.attention_mass = attention_mass
        self.roi_size = roi_size
        self.queues = nn.ModuleList(EmbeddingQueue(queue_length, self.neck.out_channels) for _ in range(2))

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns `embedding` (2 * B, P, C_e), `mask` (2 * B, h, w) and the assignments `dense` (2 * B, P, K)."""
        self.neck.normalize_prototypes()
        self.teacher.neck.normalize_prototypes()
        network = self.teacher.backbone
        tokens, grid = network.tokens(step.stacked(self.flow.teacher))
        rotation = network.rotation(grid)
        blocks = network.blocks(tokens, rotation=rotation)
        embedding = self.teacher.neck.embed(network.ln1(blocks[-1])[:, network.num_extra_tokens :])
        attention = network.class_attention(blocks[-2], rotation).mean(1).unflatten(1, grid)
        assignments = [self._assign(part.flatten(0, 1), queue) for part, queue in zip(embedding.chunk(2), self.queues)]
        return {
            'embedding': embedding,
            'mask': attention_mask(attention, self.attention_mass),
            'dense': torch.cat(assignments).view(*embedding.shape[:2], -1),
        }

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Runs the student once on the global and decoupled views, and once on the local views.

        Returns:
            `scores` (2 * B, P, K), `map` (2 * B, P, C) and `local_scores` (L * B, P', K), and the patch tokens of the
            decoupled views, (D, P, C), or None.
        """
        outputs, dense = step.split({'dense': self._patches(step.joint(self.flow.student))})
        student = {'scores': self.neck(outputs['dense']), 'map': outputs['dense']}
        if self.local_views:
            student['local_scores'] = self.neck(self._patches(torch.cat(step.views[2:])))
        return student, dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_cluster`, and for the log `attended_share`, the foreground fraction of the global views."""
        names = [name for name in ('scores', 'local_scores') if name in step.student]
        scores = [part for name in names for part in step.student[name].split(len(step.views[0]))]
        maps = [
            score.transpose(1, 2).unflatten(2, self.dense_size(view.shape[-2:]))
            for score, view in zip(scores, step.views)
        ]
        geometry, teacher = step.geometry, step.teacher
        assignments = teacher['dense'].transpose(1, 2).unflatten(2, maps[0].shape[-2:]).chunk(2)
        masks = teacher['mask'][:, None].chunk(2)
        total = 0
        for j in range(2):
            for v in range(len(maps)):
                if v != j:
                    total = total + self._pair_loss(maps[v], assignments[j], masks[j], geometry[v], geometry[j])
        return dict(loss_cluster=total / (2 * (len(maps) - 1)), attended_share=teacher['mask'].mean())

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the cross-entropy of patch tokens with assignments: (M, C), (M, K) -> (M,)."""
        return F.cross_entropy(self.neck(student) / self.temperature, target, reduction='none')

    def foreground(self, step: Step) -> PositionSet:
        """Returns the uncut positions that the teacher attends to, weighted for a batch mean per global view."""
        foreground, rows, mask = step.decoupled.foreground, step.decoupled.rows, step.teacher['mask']
        attended = foreground.mask * mask.flatten(1)[rows]
        view = rows >= len(mask) // 2
        first, second = attended * ~view[:, None], attended * view[:, None]
        weight = sum(part / (2 * part.sum().clamp(min=1)) for part in (first, second))
        return foreground._replace(weight=weight)

    def update_memory(self, step: Step) -> None:
        """Stores foreground embeddings of this batch in the queues."""
        for queue, embedding, mask in zip(
            self.queues, step.teacher['embedding'].chunk(2), step.teacher['mask'].chunk(2)
        ):
            if len(queue.rows):
                queue.push(embedding.flatten(0, 1), mask.flatten(), self.queue_share * len(embedding))

    def _patches(self, images: Tensor) -> Tensor:
        """Returns the student's patch tokens after the final norm, (N, P, C)."""
        return self.backbone(images)[0][:, self.backbone.num_extra_tokens :]

    def _assign(self, embedding: Tensor, queue: EmbeddingQueue) -> Tensor:
        # As in the authors' code, rows of the queue are scored by the student's prototypes.
        scores = torch.cat([self.neck.prototypes(queue.rows), self.teacher.neck.prototypes(embedding)]).float()
        valid = torch.cat([queue.valid, queue.valid.new_ones(len(embedding))])
        return sinkhorn(scores, self.epsilon, self.iterations, valid)[len(queue.rows) :]

    def _pair_loss(self, scores: Tensor, assignments: Tensor, mask: Tensor, other: Tensor, own: Tensor) -> Tensor:
        """Returns the cross-entropy on the overlap of two views, from maps (B, K, h, w) and geometries (B, 7)."""
        window, shown = common_window(own, other)
        aligned = align(scores, window, other, self.roi_size)
        target, inside = (align(maps, window, own, self.roi_size) for maps in (assignments, mask))
        # Rounding may leave a bin that lies entirely in the foreground slightly below 1.
        weight = (inside[:, 0] > 1 - 1e-5).float() * shown[:, None, None]
        loss = -(target * F.log_softmax(aligned / self.temperature, dim=1)).sum(1)
        return (loss * weight).sum() / weight.sum().clamp(min=1)
