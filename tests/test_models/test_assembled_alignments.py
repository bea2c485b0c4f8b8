"""Alignment point to all: each method's own loss of every pair of foreground positions of a view, against loops.

Methods whose loss is linear in the target average the targets instead of forming the pairs; the value is the same.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.models.losses import NeighborOrder, SharedNegatives, SoftSort
from mmdecouple.registry import MODELS

from . import test_leopart, test_maskalign, test_neco, test_pixpro, test_plrc, test_resim, test_soco
from .assembled import (
    D_FORM,
    cross_entropy,
    in_float64,  # noqa: F401
    nce,
    step,
)
from .conftest import batch, densecl
from .golden_models import ibot


def smooth_l1(model, student: Tensor, target: Tensor) -> Tensor:
    """2 smooth-L1 of the two levels, whose student features are still to be projected."""
    projected = torch.cat([head(part) for head, part in zip(model.neck.heads, student.chunk(2))])
    size = (projected - target).abs()
    return 2 * torch.where(size < 1, size**2 / 2, size - 0.5).mean()


def distilled(model, student: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with the prototypes of the teacher's bottleneck, centered and sharpened."""
    logits = model.teacher.neck.last_layer(target[None])[0] - model.patch_center.value
    return cross_entropy((logits / 0.04).softmax(0), model.neck(student[None])[0] / 0.1)


def against_the_batch(model, student: Tensor, target: Tensor) -> Tensor:
    """InfoNCE with the neighborhoods of the teacher's maps of the batch as negatives."""
    return nce(student, target, model.negatives)


def sorted_alike(model, student: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the ranks of four references, by reference."""
    orders = [
        SoftSort(4, 100.0)(F.cosine_similarity(features[None], model.objective_used.references, dim=1))
        for features in (student, target)
    ]
    return sum(cross_entropy(target, student.log()) for student, target in zip(*orders)) / 4


# Config, batch, loss of one pair, and whether that loss is linear in the target.
CASES = dict(
    densecl=(densecl(), batch(), lambda model, student, target: nce(student, target, model.dense_queue.keys), False),
    ibot=(ibot(), batch(), distilled, True),
    maskalign=(test_maskalign.maskalign(), batch(views=1), smooth_l1, False),
    soco=(
        test_soco.soco(),
        test_soco.data(),
        lambda model, student, target: -4 * F.cosine_similarity(student, target, dim=0),
        False,
    ),
    pixpro=(
        test_pixpro.pixpro(),
        test_pixpro.data(),
        lambda model, student, target: -4 * F.cosine_similarity(student, target, dim=0),
        False,
    ),
    plrc=(
        test_plrc.plrc(),
        test_plrc.data(),
        lambda model, student, target: nce(student, target, model.queue.keys),
        False,
    ),
    resim=(test_resim.resim(), test_resim.data(), against_the_batch, False),
    neco=(test_neco.neco(references=4), test_leopart.data(), sorted_alike, True),
    leopart=(
        test_leopart.leopart(),
        test_leopart.data(),
        lambda model, student, target: cross_entropy(target, model.neck(student[None])[0] / 0.1),
        True,
    ),
)


@pytest.mark.parametrize('name', CASES)
def test_point_to_all_is_the_mean_of_the_methods_loss_over_all_pairs(name, monkeypatch):
    config, data, pair, linear = CASES[name]
    branch, method, given, rows = MODELS.get('DecouplingBranch'), MODELS.get(config['type']), [], []
    owner = dict(resim=SharedNegatives, neco=NeighborOrder).get(name, method)
    weigh, dense_loss = branch.__call__, owner.dense_loss
    monkeypatch.setattr(branch, '__call__', lambda *args: given.append((*args, len(rows))) or weigh(*args))
    monkeypatch.setattr(
        owner,
        'dense_loss',
        lambda self, student, target: rows.append(len(student)) or dense_loss(self, student, target),
    )
    model, _, losses = step({**config, 'decoupling': {**D_FORM, 'alignment': 'point_to_all'}}, data)
    ((_, _, student, target, where, objective, before),) = given
    model.negatives, model.objective_used = getattr(objective, 'negatives', None), objective
    weight, total = getattr(where, 'foreground', where).weight, 0
    for d, of_cells in enumerate(weight):
        cells = of_cells.nonzero().flatten().tolist()
        pairs = [pair(model, student[d, i], target[d, j]) for i in cells for j in cells]
        total += of_cells.sum() * sum(pairs) / max(len(pairs), 1)
    assert losses['decoupling'].item() == pytest.approx(total.item(), rel=1e-7) != 0
    # A loss that is linear in the target is computed for at most one row a position, any other for each pair.
    (computed,), positions = rows[before:], weight.numel()
    assert computed <= positions if linear else computed == positions * weight.shape[1]
