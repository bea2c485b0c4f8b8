"""The terms of PixPro's assembled losses, -D form and instance branch included, against loops over cells."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from . import test_pixpro
from .assembled import (
    D_FORM,
    check,
    decoupled_terms,
    in_float64,  # noqa: F401
    step,
    uncut_cells,
)


def center(window: list[float], cell: int) -> tuple[float, float]:
    """Center of a cell of 4 x 4, in units of the image's sides less one pixel."""
    x, y, w, h, flip, height, width = window
    across, down = (cell % 4 + 0.5) / 4, (cell // 4 + 0.5) / 4
    across = 1 - across if flip else across
    return (x + across * (w - 1)) / (width - 1), (y + down * (h - 1)) / (height - 1)


def cell_diagonal(window: list[float]) -> float:
    """Square of the diagonal of a cell of 4 x 4, in the same units."""
    _, _, w, h, _, height, width = window
    return ((w - 1) / (width - 1) / 4) ** 2 + ((h - 1) / (height - 1) / 4) ** 2


def propagated(module, dense: Tensor) -> Tensor:
    """One view's positions, each the sum of what all others say, by the square of how similar they are."""
    weight, bias = module.transform.weight[:, :, 0, 0], module.transform.bias
    said = [weight @ x + bias for x in dense]
    rows = []
    for x in dense:
        similar = [F.cosine_similarity(x, other, dim=0).clamp(min=0) ** 2 for other in dense]
        rows.append(sum(share * value / value.norm() for share, value in zip(similar, said)))
    return torch.stack(rows)


@pytest.mark.parametrize('instance', [False, True])
@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_pixpro_are_those_of_loops(branch, instance):
    config = test_pixpro.pixpro(decoupling=branch)
    model, begun, losses = step(test_pixpro.with_instance(config, 0.4) if instance else config, test_pixpro.data(4))
    views, made = begun.views, begun.decoupled
    mixed = [[], []] if made is None else [[part] for part in made.images.chunk(2)]
    encoded = [model.encode(model.backbone, model.neck, torch.cat([view, *more])) for view, more in zip(views, mixed)]
    student = [torch.stack([propagated(model.predictor, dense) for dense in outputs['dense']]) for outputs in encoded]
    teacher = [model.encode(model.teacher.backbone, model.teacher.neck, view) for view in views]
    expected = {}
    for own, other in ((0, 1), (1, 0)):
        images = []
        for n in range(4):
            one, two = (begun.geometry[v, n].tolist() for v in (own, other))
            limit = 0.7**2 * max(cell_diagonal(one), cell_diagonal(two))
            cosines = [
                F.cosine_similarity(student[own][n, i], teacher[other]['dense'][n, j], dim=0)
                for i in range(16)
                for j in range(16)
                if sum((a - b) ** 2 for a, b in zip(center(one, i), center(two, j))) < limit
            ]
            assert cosines
            images.append(sum(cosines) / (len(cosines) + 1e-6))
        expected[f'loss_{own + 1}{other + 1}'] = -2 * sum(images) / 4
    if instance:
        predicted = [model.instance_predictor(outputs['instance'])[:4].mean((2, 3)) for outputs in encoded]
        cosines = [
            F.cosine_similarity(predicted[v][n], teacher[1 - v]['instance'][n].mean((1, 2)), dim=0)
            for v in range(2)
            for n in range(4)
        ]
        expected['loss_instance'] = 0.4 * -2 * sum(cosines) / 4
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        dense = torch.cat([part[4:] for part in student])
        values = []
        for d, row in enumerate(made.rows.tolist()):
            target = teacher[row // 4]['dense'][row % 4]
            terms = [-4 * F.cosine_similarity(dense[d, j], target[j], dim=0) for j in cells[d]]
            values.append(sum(terms) / len(terms))
        expected = decoupled_terms(expected, values, share)
    check(losses, expected)
