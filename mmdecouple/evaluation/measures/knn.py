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
    """Returns the k bank rows with the highest cosine similarity to each query; ties are broken by the lower index.

    Similarities are computed in float64 and compared on a grid of 2^-30, so that neither the chunk sizes nor the order
    of summation affects the neighbors. At most `query_chunk * bank_chunk` similarities are in memory at a time.

    Args:
        query: Float `(Q, C)`.
        bank: Float `(B, C)`.
        k: Number of neighbors, at least 1; fewer are returned if the bank has fewer rows.
        query_groups: Int64 `(Q,)`; together with `bank_groups`, excludes rows of the query's own group.
        bank_groups: Int64 `(B,)`.
        query_chunk: Queries per product.
        bank_chunk: Bank rows per product.
        device: Device of the products, which may differ from that of the inputs.

    Returns:
        Similarity `(Q, k)` float64 in [-1, 1] in descending order (-inf where no neighbor is left), and bank index
        `(Q, k)` int64, both on the CPU.

    Raises:
        UserError: The bank is empty, or `k` or a chunk is below 1.
    """
    if len(bank) == 0:
        raise UserError('nearest: the bank is empty; pass at least one row to compare the queries with.')
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
    """Returns the votes for each class: the sum of exp((similarity - its maximum) / temperature), or of neighbors.

    Args:
        similarity: Float64 `(Q, k)`, -inf for no neighbor.
        labels: Int64 `(Q, k)`, class of each neighbor.
        num_classes: Number of classes N.
        temperature: Positive; None for a majority vote.

    Returns:
        Float64 `(Q, N)`.

    Source: weighted k-NN of iBOT and DINO (`eval_knn.py`). Unlike there, the largest weight of a query is 1, which
    does not change the ranking.
    """
    if temperature is None:
        weight = torch.isfinite(similarity).double()
    else:
        # The largest vote of a query is 1, so that none overflows at a low temperature.
        best = similarity.amax(1, keepdim=True).clamp(min=-1)
        weight = ((similarity - best) / temperature).exp()
    total = similarity.new_zeros((len(similarity), num_classes))
    rows = torch.arange(len(similarity))
    for column in range(similarity.shape[1]):
        total[rows, labels[:, column]] += weight[:, column]
    return total


def ranks(total: Tensor, targets: Tensor) -> Tensor:
    """Returns the rank of each query's true class, where 0 is the first; ties are broken by the class index.

    Args:
        total: Votes `(Q, N)`.
        targets: Int64 `(Q,)`, true class.

    Returns:
        Int64 `(Q,)`; N for a class without votes.
    """
    own = total.gather(1, targets[:, None])
    lower = torch.arange(total.shape[1]) < targets[:, None]
    rank = ((total > own) | ((total == own) & lower)).sum(1)
    return torch.where(own[:, 0] > 0, rank, total.shape[1])


def _unit(rows: Tensor, device: torch.device | str) -> Tensor:
    return F.normalize(rows.to(device=device, dtype=torch.float64), dim=1)
