"""Losses of UniRefiner: contrast of clean tokens, registers that absorb spurious ones, correlation distillation."""

import torch
from torch import Tensor

# Constants of the authors' code that their configs do not change.
_REGISTER_SIMILARITY = 0.55
_MARGIN = 0.1
_OWN_WEIGHT = 0.2
_OWN_SHARE = 10


def sparsity_of(tokens: Tensor, clean: Tensor) -> Tensor:
    """Returns how similar unrelated clean tokens are: the mean cosine of the i-th with the i-th from the end, ().

    Args:
        tokens: L2-normalized tokens, (N, P, C).
        clean: Tokens that count, bool (N, P), at least one.
    """
    chosen = clean.flatten()
    count = chosen.sum()
    place = torch.arange(len(chosen), device=chosen.device)
    # A stable sort puts the clean tokens first, in their order, without reading their number on the host.
    clean_first = tokens.flatten(0, 1)[(~chosen).to(torch.uint8).argsort(stable=True)]
    mirrored = clean_first[(count - 1 - place).clamp(min=0)]
    return ((clean_first * mirrored).sum(1) * (place < count)).sum() / count


def clean_or_all(clean: Tensor) -> Tensor:
    """Returns the mask of clean tokens, bool (N, P), or all tokens if the whole batch has no clean one."""
    return clean | ~clean.any()


def clean_contrast(
    crops: Tensor,
    targets: Tensor,
    negatives: Tensor,
    clean: Tensor,
    sparsity: Tensor,
    temperature: float,
    uniformity: float,
) -> Tensor:
    """Returns InfoNCE of the student's clean tokens.

    loss = mean over clean tokens i of [ -s_i t_i / T + u log sum_j exp(s_i n_j / T) ]

    Cosines s_i n_j below `sparsity` contribute to the value, but get no gradient.

    Args:
        crops: s, L2-normalized tokens of the student, (N, P, C).
        targets: t, L2-normalized tokens of the teacher for the same positions, (N, P, C).
        negatives: n, L2-normalized tokens of the teacher for the whole image of each crop, (N, Q, C).
        clean: Tokens that count, bool (N, P), at least one.
        sparsity: Result of `sparsity_of`, ().
        temperature: T, above 0.
        uniformity: u, at least 0.

    Returns:
        Loss, ().

    Source: `CongpeiQiu/UniRefiner method/losses.py` (`compute_refinement_loss`).
    """
    alignment = (crops * targets).sum(2) / temperature
    affinity = _without_gradient_below(crops @ negatives.transpose(1, 2), sparsity)
    loss = uniformity * (affinity / temperature).logsumexp(2) - alignment
    return (loss * clean).sum() / clean.sum()


def register_uniformity(tokens: Tensor, registers: Tensor, temperature: float) -> Tensor:
    """Returns the mean over image tokens i of log sum_j exp(s_i r_j / T), which moves them away from the registers.

    Cosines below 0.55 contribute to the value, but get no gradient.

    Args:
        tokens: s, L2-normalized tokens of the student, (B, P, C).
        registers: r, L2-normalized registers of the student, (B, R, C).
        temperature: T, above 0.

    Returns:
        Loss, ().

    Source: as `clean_contrast`.
    """
    affinity = _without_gradient_below(tokens @ registers.transpose(1, 2), _REGISTER_SIMILARITY)
    return (affinity / temperature).logsumexp(2).mean()


def register_absorption(
    registers: Tensor, crops: Tensor, spurious: Tensor, sparsity: Tensor, temperature: float
) -> Tensor:
    """Returns the loss that moves registers towards spurious tokens of the teacher.

    loss = -mean_j r_j m_j / T - 0.2 mean(c) / T + mean_j log sum_k exp(r_j m_k / T)

    m_j is the spurious token nearest to register j. c are the tenth of the registers' largest cosines with tokens of
    the crop, as far as they exceed `sparsity`. A cosine r_j m_k below `sparsity` is replaced by `sparsity` + 0.1.

    Args:
        registers: r, L2-normalized registers of the student, (N, R, C).
        crops: L2-normalized tokens of the student, (N, P, C); they get no gradient.
        spurious: L2-normalized spurious tokens of the teacher, (N, M, C).
        sparsity: Result of `sparsity_of`, ().
        temperature: T, above 0.

    Returns:
        Loss, ().

    Source: `CongpeiQiu/UniRefiner method/losses.py` (`compute_register_absorption_loss`).
    """
    alignment, nearest = (registers @ spurious.transpose(1, 2)).max(2)
    own = (registers @ crops.detach().transpose(1, 2)).amax(2)
    strongest = own.topk(-(-own.shape[1] // _OWN_SHARE), dim=1).values
    above = strongest > sparsity
    own_alignment = (strongest * above).sum() / above.sum().clamp(min=1)
    matched = spurious.gather(1, nearest[..., None].expand_as(registers))
    affinity = registers @ matched.transpose(1, 2)
    affinity = torch.where(affinity < sparsity, (sparsity + _MARGIN).to(affinity.dtype), affinity)
    uniformity = (affinity / temperature).logsumexp(2).mean()
    return uniformity - (alignment.mean() + _OWN_WEIGHT * own_alignment) / temperature


def correlation_distillation(student: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Returns spatial correlation distillation (SCD): cross-entropy between the correlations of tokens of a region.

    loss = mean_i CE(softmax_k(norm_i(t_i t_k) / T), softmax_k(norm_i(s_i s_k) / T)), where norm_i scales the cosines of
    token i to [0, 1]. No gradient flows through s_k.

    Args:
        student: s, L2-normalized tokens, (N, P, C).
        target: t, L2-normalized tokens of the same regions, (N, P, C).
        temperature: T, above 0.

    Returns:
        Loss, ().

    Source: arXiv 2504.02328; `CongpeiQiu/UniRefiner method/losses.py` (`compute_spatial_consistency_loss`).
    """
    wanted = (_unit_range(target @ target.transpose(1, 2)) / temperature).softmax(2)
    found = (_unit_range(student @ student.detach().transpose(1, 2)) / temperature).log_softmax(2)
    return -(wanted * found).sum(2).mean()


def _without_gradient_below(similarity: Tensor, threshold: float | Tensor) -> Tensor:
    return torch.where(similarity < threshold, similarity.detach(), similarity)


def _unit_range(similarity: Tensor) -> Tensor:
    low, high = similarity.amin(2, keepdim=True), similarity.amax(2, keepdim=True)
    return (similarity - low) / (high - low + 1e-10)
