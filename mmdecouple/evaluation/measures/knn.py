"""Cosine k-nearest-neighbor classification with memory bounded by two chunk sizes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.utils.errors import UserError

_INDEX_BITS = 32
_INDEX_MASK = 2**_INDEX_BITS - 1
_SCALE = 2**30
_EXCLUDED = -(2**31)


def nearest(
    query: Tensor,
    bank: Tensor,
    k: int,
    *,
    query_groups: Tensor | None = None,
    bank_groups: Tensor | None = None,
    query_chunk: int = 1024,
    bank_chunk: int = 8192,
    device: torch.device | str = 'cpu',
) -> tuple[Tensor, Tensor]:
    """The k most cosine-similar bank rows of each query, equal ones by lower index.

    Similarities are taken in float64 and compared on a grid of 2^-30, so neither the chunk sizes
    nor the order of summation can change a neighbor. At most `query_chunk * bank_chunk`
    similarities exist at a time.

    Args:
        query: `(Q, C)` float.
        bank: `(B, C)` float.
        k: neighbors, at least 1; fewer are returned when the bank has fewer rows.
        query_groups: `(Q,)` int64; with `bank_groups`, rows of the query's own group are never its
            neighbors.
        bank_groups: `(B,)` int64.
        query_chunk: queries at a time.
        bank_chunk: bank rows at a time.
        device: where the products are computed; inputs may live elsewhere.

    Returns:
        Similarity `(Q, k)` float64 in [-1, 1], most similar first (-inf where no neighbor is left),
        and bank index `(Q, k)` int64, on CPU.

    Raises:
        ValueError: empty bank, or k or a chunk below 1.
    """
    if len(bank) == 0:
        raise UserError('nearest: the bank is empty; nothing to compare the queries with.')
    if min(k, query_chunk, bank_chunk) < 1:
        raise UserError(
            f'nearest: k, query_chunk and bank_chunk must be at least 1, got {k}, {query_chunk}, {bank_chunk}.'
        )
    k = min(k, len(bank))
    found = []
    for start in range(0, len(query), query_chunk):
        rows = _unit(query[start : start + query_chunk], device)
        groups = None
        if query_groups is not None:
            groups = query_groups[start : start + query_chunk].to(device)
        best = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
        for offset in range(0, len(bank), bank_chunk):
            part = _unit(bank[offset : offset + bank_chunk], device)
            grid = (rows @ part.T).mul_(_SCALE).round_().to(torch.int64)
            if groups is not None and bank_groups is not None:
                own = groups[:, None] == bank_groups[offset : offset + bank_chunk].to(device)
                grid.masked_fill_(own, _EXCLUDED)
            index = torch.arange(offset, offset + len(part), device=device)
            keys = (grid << _INDEX_BITS) + (_INDEX_MASK - index)
            keys = keys.topk(min(k, len(part)), dim=1).values
            best = torch.cat([best, keys], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1).values
        found.append(best.cpu())
    keys = torch.cat(found) if found else torch.empty((0, k), dtype=torch.int64)
    grid = keys >> _INDEX_BITS
    similarity = grid.double() / _SCALE
    similarity[grid == _EXCLUDED] = -torch.inf
    return similarity, _INDEX_MASK - (keys & _INDEX_MASK)


def votes(similarity: Tensor, labels: Tensor, num_classes: int, *, temperature: float | None) -> Tensor:
    """Votes for each class: exp(similarity / temperature), or 1 a neighbor for a majority.

    Args:
        similarity: `(Q, k)` float64, -inf for no neighbor.
        labels: `(Q, k)` int64 class of each neighbor.
        num_classes: number of classes N.
        temperature: positive; None for majority.

    Returns:
        `(Q, N)` float64.

    Source: weighted k-NN of iBOT and DINO (`eval_knn.py`); the weights are not normalized, which no
    ranking sees.
    """
    if temperature is None:
        weight = torch.isfinite(similarity).double()
    else:
        weight = (similarity / temperature).exp()
    total = similarity.new_zeros((len(similarity), num_classes))
    rows = torch.arange(len(similarity))
    for column in range(similarity.shape[1]):
        total[rows, labels[:, column]] += weight[:, column]
    return total


def ranks(total: Tensor, targets: Tensor) -> Tensor:
    """Rank (0 = first) of each query's true class; ties by class index, no vote is last.

    Args:
        total: `(Q, N)` votes.
        targets: `(Q,)` int64 true class.

    Returns:
        `(Q,)` int64; N for a class that got no vote.
    """
    own = total.gather(1, targets[:, None])
    lower = torch.arange(total.shape[1]) < targets[:, None]
    rank = ((total > own) | ((total == own) & lower)).sum(1)
    return torch.where(own[:, 0] > 0, rank, total.shape[1])


def _unit(rows: Tensor, device: torch.device | str) -> Tensor:
    return F.normalize(rows.to(device=device, dtype=torch.float64), dim=1)
