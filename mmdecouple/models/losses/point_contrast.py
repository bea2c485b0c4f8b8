"""Contrastive loss of points of one region against points of other regions and images."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_ELEMENTS = 2**25


def point_contrast(query: Tensor, key: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """Returns the contrastive loss of the points of one region of each image.

    loss_b = mean_i mean_{j positive} -log( exp(q_bi k_bj / t) / sum_{a, l} exp(q_bi k_al / t) )

    The sum runs over all key points of all images: those of the region, of other regions of the image, and of other
    images. The queries are processed in chunks of at most 2^25 logits. Each chunk stores its gradient with respect to
    the queries instead of its logits. Key points come from a teacher and get no gradient.

    Args:
        query: L2-normalized query points, (B, n, C).
        key: L2-normalized key points, (B, m, C).
        positive: Whether each key point of the image is in the region of the queries, bool (B, m).
        temperature: t, above 0.

    Returns:
        Mean over the images with positive key points, (); 0, attached to the graph, if there are no such images.

    Source: arXiv 2202.04639, section 3.2; the mean over positives is outside the logarithm, like `L_out` of
        SupCon (arXiv 2004.11362), as in `facebookresearch/PLRC PLRC/models/plrc_loss.py`.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, key = query.to(dtype), key.detach().to(dtype)
    share = positive.to(dtype)
    count = share.sum(1)
    with torch.autocast(query.device.type, enabled=False):
        total = _LogPartition.apply(query.flatten(0, 1), key.flatten(0, 1), temperature).view(query.shape[:2])
        mean_key = torch.einsum('bm,bmc->bc', share / count.clamp(min=1)[:, None], key)
        match = torch.einsum('bnc,bc->bn', query, mean_key) / temperature
    has = (count > 0).to(dtype)
    return ((total - match).mean(1) * has).sum() / has.sum().clamp(min=1)


class _LogPartition(torch.autograd.Function):
    """log sum_j exp(q_r k_j / t) of each query, (R, C), (K, C) -> (R,); only the queries get a gradient."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, temperature: float):
        values, gradient = query.new_empty(len(query)), torch.empty_like(query)
        rows = max(_CHUNK_ELEMENTS // len(key), 1)
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            logits = torch.mm(query[part], key.t()).div_(temperature)
            values[part] = torch.logsumexp(logits, 1)
            gradient[part] = torch.mm(logits.sub_(values[part, None]).exp_(), key).div_(temperature)
        ctx.save_for_backward(gradient)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_values: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * grad_values[:, None], None, None
