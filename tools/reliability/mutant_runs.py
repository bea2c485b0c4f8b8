"""Runs of the tests that cover a mutant, with the mutant in place."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from mutant_sampling import Mutant

# Imported before the first mutant, because every run of tests is a fork of this process. None of them imports a part of
# the package that is mutated.
PRELOADED = (
    'mmdecouple.utils.beside_transformers',
    'torch',
    'torchvision',
    'mmengine.runner',
    'mmcv.ops',
    'mmpretrain.models',
    'mmdet.models',
    'mmseg.models',
    'sklearn.cluster',
    'matplotlib.pyplot',
    'scipy.optimize',
    'skimage.segmentation',
    'timm',
    'hypothesis',
    'safetensors.torch',
    'torch.utils.tensorboard',
    'pycocotools.coco',
)


def try_mutants(
    mutants: list[Mutant], known: dict[str, dict], coverage: str, durations: str, out: Path
) -> Iterator[dict]:
    """Tries the mutants without a known outcome.

    Args:
        mutants: Mutants of a sample.
        known: Name of a mutant -> row of an earlier start.
        coverage: See `CoveringTests`.
        durations: See `CoveringTests`.
        out: Folder of the output of the tests.

    Yields:
        JSON-able rows with the change, the outcome and the test that noticed it.
    """
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator
    from covering import CoveringTests
    from forked_tests import run_forked

    tests = CoveringTests(coverage, durations)
    for name in PRELOADED:
        import_module(name)
    for mutant in mutants:
        if str(mutant) in known:
            continue
        path = Path(mutant.file)
        source = path.read_text()
        mutated = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
        selected = tests.of(mutant.file, mutant.lines, source)
        try:
            path.write_text(mutated)
            outcome, message, seconds = run_forked(selected, tests.limit(selected), out / 'output.txt')
        finally:
            path.write_text(source)
        yield dict(
            mutant=str(mutant),
            before=_changed(source, mutated),
            after=_changed(mutated, source),
            tests=len(selected),
            outcome=outcome,
            told=message,
            seconds=round(seconds, 1),
        )


def _changed(one: str, other: str) -> str:
    """Returns the first line of one text that differs from the other text."""
    return next((line.strip() for line, twin in zip(one.splitlines(), other.splitlines()) if line != twin), '')
