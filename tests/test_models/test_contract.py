"""How much of `DenseAlgorithm` a method overrides, counted in the text of its class."""

import ast
import inspect
import textwrap

import pytest

from mmdecouple.models import (
    IBOT,
    PLRC,
    DenseAlgorithm,
    DenseCL,
    Leopart,
    MaskAlign,
    MoCoV2,
    NeCo,
    PaKA,
    PixPro,
    ReSim,
    SoCo,
    SoCoFPN,
    UniRefiner,
)
from mmdecouple.models.algorithms.overlap import OverlapAlgorithm

FREE = {'__init__', '__doc__', '__module__'}


def names_in_body(kind: type) -> set[str]:
    """Functions, classes and attributes that the body of a class defines."""
    body, names = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body, set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', None)]
        names |= {
            part.id
            for target in targets
            if target is not None
            for part in ast.walk(target)
            if isinstance(part, ast.Name)
        }
    return names


def overridden(kind: type) -> set[str]:
    """Names in the body of a class that exist on `DenseAlgorithm` too."""
    return {name for name in names_in_body(kind) if hasattr(DenseAlgorithm, name)} - FREE


@pytest.mark.parametrize(
    'kind, most',
    [
        (DenseCL, 5),
        (MoCoV2, 5),
        (SoCo, 8),
        (ReSim, 8),
        (PixPro, 7),
        (PLRC, 7),
        (SoCoFPN, 8),
        (Leopart, 8),
        (MaskAlign, 8),
        (UniRefiner, 9),
        (OverlapAlgorithm, 8),
        (IBOT, 9),
    ],
)
def test_a_method_overrides_little_of_the_base_class(kind, most):
    assert 'base_loss' in overridden(kind) and len(overridden(kind)) <= most, sorted(overridden(kind))


@pytest.mark.parametrize('kind', [NeCo, PaKA])
def test_a_method_on_overlaps_is_its_loss_and_its_dense_objective(kind):
    assert overridden(kind) <= {'flow', 'prepare', 'objective'} and 'bins_loss' in names_in_body(kind)


def test_methods_attributes_and_annotated_attributes_count():
    source = DenseAlgorithm.__name__

    class Method(DenseAlgorithm):
        flow = None
        layer: str | None = source

        def __init__(self):
            pass

        def encode(self):
            pass

        def own(self):
            pass

    assert overridden(Method) == {'flow', 'layer', 'encode'}
