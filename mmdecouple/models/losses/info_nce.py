"""InfoNCE with many negatives, without the full matrix of logits."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_ELEMENTS = 2**25


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Returns the contrastive loss of each query against its positive and shared negatives.

    loss_r = -log( exp(q_r k_r / t) / (exp(q_r k_r / t) + sum_j exp(q_r n_j / t)) )

    The rows are processed in chunks of at most 2^25 logits. Each chunk stores its gradient with respect to the queries
    instead of its logits: memory does not grow with R x Q, and the backward pass needs no further matrix product.
    Positives and negatives come from a teacher and get no gradient.

    Args:
        query: L2-normalized queries, (R, C).
        positive: L2-normalized positive of each query, (R, C).
        negatives: L2-normalized negatives, (Q, C).
        temperature: t, above 0.

    Returns:
        Loss of each query, float32 (R,).

    Source: MoCo eq. 1; the paper's eq. 8 and 10 use it on dense features.
    """
    return _InfoNCE.apply(query, positive.detach(), negatives.detach(), temperature)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query: Tensor, positive: Tensor, negatives: Tensor, temperature: float):
        with_grad = ctx.needs_input_grad[0]
        losses = torch.empty(len(query), dtype=torch.float32, device=query.device)
        gradient = torch.empty_like(query) if with_grad else None
        rows = max(_CHUNK_ELEMENTS // max(len(negatives), 1), 1)
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            q, k = query[part], positive[part]
            match = (q * k).sum(1).float() / temperature
            logits = torch.mm(q, negatives.t()).float().div_(temperature)
            total = torch.logaddexp(torch.logsumexp(logits, 1), match)
            losses[part] = total - match
            if with_grad:
                probability = logits.sub_(total[:, None]).exp_()
                missing = (match - total).exp() - 1
                pull = torch.mm(probability, negatives.to(probability.dtype)).float()
                gradient[part] = (pull + missing[:, None] * k).div_(temperature).to(query.dtype)
        if with_grad:
            ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * grad_losses[:, None].to(gradient.dtype), None, None, None
