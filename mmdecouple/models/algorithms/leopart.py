"""Leopart: cluster the patches of objects, and predict the clusters of a crop from every crop that overlaps it."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from mmdecouple.utils.geometry import map_boxes
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from ..attention_mask import attention_mask
from ..decoupling import DecoupledViews, Foreground
from ..layers import EmbeddingQueue
from ..losses import sinkhorn
from .base import DenseAlgorithm


@MODELS.register_module()
class Leopart(DenseAlgorithm):
    """Dense clustering on overlaps: L_base = 1/2 sum_j 1 / (V - 1) sum_{v != j} L_jv over the two global views j.

    The teacher's patches of a global view j are assigned to prototypes (Sinkhorn, with a queue of earlier foreground
    patches). Where view v overlaps j, assignments and student scores are brought to the same grid by RoIAlign;
    L_jv is their cross-entropy, mean over the bins of a batch that are all foreground of j. Foreground is what the
    teacher's class token attends to.

    Args:
        local_views: L, views of another size after the two global ones.
        temperature: Of the student's softmax, above 0.
        epsilon: Of Sinkhorn, above 0.
        iterations: Of Sinkhorn, >= 1.
        queue_length: Rows of each of the two queues on this process (4096 of 8192 on two); 0 for none.
        queue_share: Rows stored a step, for each image of the batch, >= 1.
        attention_mass: Share of the attention that is foreground, in (0, 1].
        roi_size: Side of the common grid.
        measured: As for `DenseAlgorithm`; Leopart's published numbers are the student's.
        **kwargs: As for `DenseAlgorithm`: a `DenseViT` and a `PrototypeHead`.

    Raises:
        ValueError: For a batch with another number of views, or samples without geometry.

    Source: arXiv 2204.13101; `MkuuWaUjinga/leopart src/leopart.py`. The de-coupled form is eq. 18 and 19 of the
        paper: global views only, on the foreground of both masks, with the assignments of the clean view.
    """

    student_views = (0, 1)
    key_views = (0, 1)
    shuffle = False
    linear_in_target = True

    def __init__(self, local_views: int = 4, temperature: float = 0.1, epsilon: float = 0.05, iterations: int = 3,
                 queue_length: int = 4096, queue_share: int = 10, attention_mass: float = 0.6, roi_size: int = 7,
                 measured: str = 'student', **kwargs) -> None:
        check = Settings(self, 'model')
        for key, value, least in (('local_views', local_views, 0), ('iterations', iterations, 1),
                                  ('queue_length', queue_length, 0), ('queue_share', queue_share, 1),
                                  ('roi_size', roi_size, 1)):
            check.number(key, value, least, whole=True)
        check.number('temperature', temperature, above=0)
        check.number('epsilon', epsilon, above=0)
        check.number('attention_mass', attention_mass, above=0, most=1)
        super().__init__(measured=measured, **kwargs)
        self._needs('neck', 'a PrototypeHead', 'prototypes')
        self._needs('backbone', 'a DenseViT', 'class_attention')
        self.local_views = local_views
        self.temperature = temperature
        self.epsilon = epsilon
        self.iterations = iterations
        self.queue_share = queue_share
        self.attention_mass = attention_mass
        self.roi_size = roi_size
        self.queues = nn.ModuleList(EmbeddingQueue(queue_length, self.neck.out_channels) for _ in range(2))

    @property
    def num_views(self) -> int:
        """Two global views and the local ones."""
        return 2 + self.local_views

    def draw(self, batch: dict, generator: torch.Generator) -> Tensor:
        """Crop windows of all views, (V, B, 7): nothing is drawn, but the loss needs them."""
        views, samples = batch['inputs'], batch['data_samples']
        if not samples or not hasattr(samples[0], 'geometry'):
            raise UserError('Leopart: the samples have no geometry; end the pipeline with PackViews.')
        geometry = torch.stack([sample.geometry for sample in samples], dim=1)
        return geometry.to(views[0].device, non_blocking=True)

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """`dense`: patch tokens after the final norm, (N, P, C)."""
        return {'dense': backbone(images)[0][:, 1:]}

    @torch.no_grad()
    def teach(self, views: list[Tensor], drawn: Tensor) -> dict[str, Tensor]:
        """`embedding` (2 * B, P, C_e), `mask` (2 * B, h, w) and `dense`: assignments (2 * B, P, K)."""
        self.neck.normalize_prototypes()
        self.teacher.neck.normalize_prototypes()
        network = self.teacher.backbone
        tokens, grid = network.tokens(torch.cat(views[:2]))
        blocks = network.blocks(tokens)
        embedding = self.teacher.neck.embed(network.ln1(blocks[-1])[:, 1:])
        attention = network.class_attention(blocks[-2]).mean(1).unflatten(1, grid)
        assignments = [self._assign(part.flatten(0, 1), queue)
                       for part, queue in zip(embedding.chunk(2), self.queues)]
        return {'embedding': embedding, 'mask': attention_mask(attention, self.attention_mass),
                'dense': torch.cat(assignments).view(*embedding.shape[:2], -1)}

    def learn(self, views: list[Tensor], decoupled: DecoupledViews | None, teacher: dict[str, Tensor],
              drawn: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """One pass over the global and the decoupled views, one over the local views."""
        batch, clean = len(views[0]), 2 * len(views[0])
        images = torch.cat(views[:2] if decoupled is None else [*views[:2], decoupled.images])
        dense = self.encode(self.backbone, self.neck, images)['dense']
        scores = list(self.neck(dense[:clean]).split(batch))
        if self.local_views:
            local = self.encode(self.backbone, self.neck, torch.cat(views[2:]))['dense']
            scores += self.neck(local).split(batch)
        maps = [score.transpose(1, 2).unflatten(2, self.dense_size(view.shape[-2:]))
                for score, view in zip(scores, views)]
        return {'maps': maps, 'geometry': drawn}, None if decoupled is None else dense[clean:]

    def base_loss(self, student: dict, teacher: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss_cluster`, and for the log `attended_share`: how much of the global views the teacher attends to."""
        maps, geometry = student['maps'], student['geometry']
        grid = maps[0].shape[-2:]
        assignments = teacher['dense'].transpose(1, 2).unflatten(2, grid).chunk(2)
        masks = teacher['mask'][:, None].chunk(2)
        total = 0
        for j in range(2):
            for v in range(len(maps)):
                if v != j:
                    total = total + self._pair_loss(maps[v], assignments[j], masks[j], geometry[v], geometry[j])
        return dict(loss_cluster=total / (2 * (len(maps) - 1)), attended_share=teacher['mask'].mean())

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of patch tokens (M, C) with assignments (M, K): (M,)."""
        return F.cross_entropy(self.neck(student) / self.temperature, target, reduction='none')

    def foreground(self, decoupled: DecoupledViews, teacher: dict[str, Tensor]) -> Foreground:
        """Only what the teacher attends to in the clean view; mean over the batch for each of the global views."""
        attended = decoupled.foreground.share * teacher['mask'].flatten(1)[decoupled.rows]
        view = decoupled.rows >= len(teacher['mask']) // 2
        first, second = attended * ~view[:, None], attended * view[:, None]
        weight = sum(part / (2 * part.sum().clamp(min=1)) for part in (first, second))
        return decoupled.foreground._replace(weight=weight)

    def remember(self, teacher: dict[str, Tensor]) -> None:
        """Store foreground embeddings of this batch."""
        parts = zip(self.queues, teacher['embedding'].chunk(2), teacher['mask'].chunk(2))
        for queue, embedding, mask in parts:
            if len(queue.rows):
                queue.push(embedding.flatten(0, 1), mask.flatten(), self.queue_share * len(embedding))

    def _assign(self, embedding: Tensor, queue: EmbeddingQueue) -> Tensor:
        # As in the authors' code, the queue meets the student's prototypes.
        scores = torch.cat([self.neck.prototypes(queue.rows), self.teacher.neck.prototypes(embedding)]).float()
        valid = torch.cat([queue.valid, queue.valid.new_ones(len(embedding))])
        return sinkhorn(scores, self.epsilon, self.iterations, valid)[len(queue.rows):]

    def _pair_loss(self, scores: Tensor, assignments: Tensor, mask: Tensor, other: Tensor, own: Tensor) -> Tensor:
        """Cross-entropy where two views overlap: maps (B, K, h, w) and geometries (B, 7) of the views."""
        low = torch.maximum(own[:, :2], other[:, :2])
        high = torch.minimum(own[:, :2] + own[:, 2:4], other[:, :2] + other[:, 2:4])
        overlap = torch.cat([low, high], dim=1)[:, None]
        aligned = self._align(scores, overlap, other)
        target, inside = self._align(assignments, overlap, own), self._align(mask, overlap, own)[:, 0]
        # Rounding may leave a bin that is all foreground a little below 1.
        weight = (inside > 1 - 1e-5).float() * (high > low).all(1)[:, None, None]
        loss = -(target * F.log_softmax(aligned / self.temperature, dim=1)).sum(1)
        return (loss * weight).sum() / weight.sum().clamp(min=1)

    def _align(self, maps: Tensor, boxes: Tensor, geometry: Tensor) -> Tensor:
        """Maps (B, C, h, w) inside source boxes (B, 1, 4), on the common grid: (B, C, roi_size, roi_size)."""
        boxes = map_boxes(boxes, geometry, maps.shape[-2:], 'view')[:, 0]
        index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
        return roi_align(maps.float(), torch.cat([index, boxes], dim=1), self.roi_size, aligned=True)
