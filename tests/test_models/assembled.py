"""What the tests of assembled losses share: a step in float64, and losses as loops.

The networks themselves are taken as they are: the golden runs compare them with the authors'.
"""

import copy

import pytest
import torch
from torch import Tensor

from .conftest import BRANCH, build

LAMBDA = 0.4
D_FORM = {**BRANCH, 'loss_weight': LAMBDA, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """What our code asks for in float32 is double precision here."""
    monkeypatch.setattr(Tensor, 'float', Tensor.double)


def step(config: dict, data: dict) -> tuple:
    """The model before a step whose teacher is not its student, the step with its draws, and the losses."""
    model = build(config).double().train()
    generator = torch.Generator().manual_seed(3)
    centers = [buffer for name, buffer in model.named_buffers() if 'center' in name]
    for part in [*model.teacher.parameters(), *centers]:
        part.data += 0.1 * torch.randn(part.shape, generator=generator, dtype=part.dtype)
    for sample in data['data_samples'] or ():
        for name in {'boxes', 'geometry'} & set(sample.keys()):
            sample.set_field(getattr(sample, name).double(), name)
    model.data_preprocessor.set_step(seed=0, rank=0, iteration=1)
    begun = model.begin(**model.data_preprocessor(data, True))
    before = copy.deepcopy(model)
    torch.manual_seed(0)
    return before, begun, model.loss(begun)


def check(losses: dict, expected: dict) -> None:
    """All terms and no others, and the total that the runner steps on."""
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: torch.as_tensor(value).item() for name, value in expected.items()}, rel=1e-7
    )


def decoupled_terms(base: dict, values: list[Tensor], share: float, keep: float = 1 - LAMBDA) -> dict:
    """Weighted base terms, and the branch's from the loss of each decoupled view."""
    mean = sum(values) / len(values)
    return {
        **{name: keep * value for name, value in base.items()},
        'loss_decoupling': LAMBDA * mean,
        'decoupling': mean,
        'foreground_share': share,
    }


def uncut_cells(cut_mask: Tensor) -> tuple[list[list[int]], float]:
    """Uncut cells of each view in row-major order, and their share."""
    cells = [[j for j, cut in enumerate(mask.flatten().tolist()) if not cut] for mask in cut_mask]
    return cells, sum(map(len, cells)) / cut_mask.numel()


def nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    """-log of the positive's share, of vectors that are not yet of unit length."""
    query, key = query / query.norm(), key / key.norm()
    positive = torch.exp(query @ key / temperature)
    return -torch.log(positive / (positive + sum(torch.exp(query @ other / temperature) for other in queue)))


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """-sum_k t_k log softmax(logits)_k."""
    return -(target * (logits - torch.logsumexp(logits, 0))).sum()
