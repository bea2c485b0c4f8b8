import numpy as np
import pytest
import torch

from mmdecouple.evaluation.measures.knn import nearest, ranks, votes


def full_sort(query, bank, k, query_groups=None, bank_groups=None):
    """Neighbors by a Python sort of all float64 cosines."""
    rows = []
    for i, q in enumerate(query.double().numpy()):
        found = []
        for j, b in enumerate(bank.double().numpy()):
            if query_groups is None or query_groups[i] != bank_groups[j]:
                found.append((-float(q @ b / np.linalg.norm(q) / np.linalg.norm(b)), j))
        rows.append([(j, -s) for s, j in sorted(found)[:k]])
    return rows


@pytest.mark.parametrize('chunks', [(1, 1), (3, 7), (100, 4), (100, 1000)])
def test_neighbors_equal_a_full_sort_whatever_the_chunks(chunks):
    torch.manual_seed(0)
    query, bank = torch.randn(23, 9), torch.randn(61, 9)
    groups = torch.randint(0, 5, (23,)), torch.randint(0, 5, (61,))
    for kwargs in ({}, dict(query_groups=groups[0], bank_groups=groups[1])):
        similarity, index = nearest(query, bank, 6, query_chunk=chunks[0], bank_chunk=chunks[1], **kwargs)
        for i, row in enumerate(full_sort(query, bank, 6, *kwargs.values())):
            assert index[i].tolist() == [j for j, _ in row]
            assert similarity[i].tolist() == pytest.approx([s for _, s in row], abs=2e-9)


@pytest.mark.parametrize('bank_chunk', [1, 2, 5, 100])
def test_equal_neighbors_are_taken_in_the_order_of_the_bank(bank_chunk):
    bank = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).repeat(10, 1)
    _, index = nearest(bank[1:2], bank, 7, bank_chunk=bank_chunk)
    assert index[0].tolist() == [1, 5, 9, 13, 17, 21, 25]


def test_similarities_are_cosines_on_a_grid_of_2_to_the_minus_30():
    generator = torch.Generator().manual_seed(0)
    query, bank = (torch.randn(8, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    query[0], query[1] = bank[0], -bank[0]
    similarity, index = nearest(query, bank, 8)
    cosines = torch.cosine_similarity(query[:, None], bank[None], dim=-1).gather(1, index)
    assert torch.equal(similarity * 2**30, (cosines * 2**30).round())
    assert similarity[0, 0] == 1 and similarity[1, -1] == -1, 'opposite rows are neighbors, the last ones'


def test_fewer_bank_rows_than_neighbors_are_all_returned():
    similarity, index = nearest(torch.ones(2, 3), torch.eye(3), 5)
    assert similarity.shape == (2, 3) and index.tolist() == [[0, 1, 2]] * 2
    assert nearest(torch.ones(0, 3), torch.eye(3), 2)[1].shape == (0, 2)


@pytest.mark.parametrize('setting', ['k', 'query_chunk', 'bank_chunk'])
def test_numbers_of_neighbors_and_rows_are_at_least_one(setting):
    assert len(nearest(torch.eye(3), torch.eye(3), **{'k': 2, setting: 1})[1]) == 3
    with pytest.raises(ValueError, match='must be at least 1'):
        nearest(torch.eye(3), torch.eye(3), **{'k': 2, setting: 0})


def test_excluded_rows_never_vote():
    bank = torch.eye(3)
    similarity, index = nearest(bank[:1], bank, 3, query_groups=torch.tensor([7]), bank_groups=torch.tensor([7, 7, 1]))
    total = votes(similarity, torch.tensor([0, 1, 2])[index], 3, temperature=0.07)
    assert index[0, 0] == 2 and total[0].tolist() == [0, 0, 1]
    assert ranks(total, torch.tensor([0])).item() == 3


def test_votes_and_ranks_follow_the_formula():
    similarity = torch.tensor([[0.9, 0.5, 0.4]], dtype=torch.float64)
    labels = torch.tensor([[2, 0, 0]])
    weighted = votes(similarity, labels, 4, temperature=0.1)
    expected = [np.exp(-4) + np.exp(-5), 0, 1, 0]
    assert weighted[0].tolist() == pytest.approx(expected)
    majority = votes(similarity, labels, 4, temperature=None)
    assert majority[0].tolist() == [2, 0, 1, 0]
    assert [ranks(weighted, torch.tensor([c])).item() for c in range(4)] == [1, 4, 0, 4]


def test_an_empty_bank_is_an_error():
    with pytest.raises(ValueError, match='bank is empty'):
        nearest(torch.ones(1, 2), torch.ones(0, 2), 1)


def test_votes_do_not_overflow_at_a_low_temperature():
    similarity, labels = torch.tensor([[0.9, 0.8, 0.7]], dtype=torch.float64), torch.tensor([[2, 0, 1]])
    found = votes(similarity, labels, 3, temperature=1e-4)
    assert found.isfinite().all() and found.argmax(1).item() == 2
    assert votes(torch.full((1, 2), -torch.inf).double(), labels[:, :2], 3, temperature=0.1).tolist() == [[0, 0, 0]]
