"""The benchmark of training steps, as a user calls it."""

import json
import sys

import pytest

from .conftest import CHECKOUT_TOOLS, run

STEP = CHECKOUT_TOOLS / 'benchmark' / 'step.py'
SIZE, PATCH, BATCH, WIDTH, DEPTH, LEVELS = 32, 8, 8, 192, 12, 5
PATCHES = (SIZE // PATCH) ** 2


OPTIONS = {
    'arch': 'deit-tiny',
    'teacher': 'deit-tiny',
    'size': SIZE,
    'patch': PATCH,
    'batch-size': BATCH,
    'steps': 1,
    'rounds': 1,
    'threads': 1,
}


def tflop_of_maskalign(decoupled: int) -> float:
    """Multiplications and additions of one step whose decoupled views are seen whole, by hand."""

    def blocks(images, tokens):
        return images * DEPTH * (12 * tokens * WIDTH**2 + 2 * tokens**2 * WIDTH)

    def mixed(images, tokens):
        return images * tokens * LEVELS * DEPTH * WIDTH

    def projected(tokens):
        return tokens * LEVELS * WIDTH**2

    visible = 1 + int(PATCHES * 0.3)
    embedding = PATCHES * 3 * PATCH**2 * WIDTH
    class_attention = WIDTH**2 * (2 + PATCHES) + WIDTH * (1 + PATCHES)
    teacher = BATCH * (embedding + class_attention) + blocks(BATCH, 1 + PATCHES)
    student = blocks(BATCH, visible) + mixed(BATCH, visible) + projected(BATCH * visible)
    student += blocks(decoupled, 1 + PATCHES) + mixed(decoupled, 1 + PATCHES)
    # Images need no gradient: the embedding's backward pass is one product, that of the weights.
    return 2 * (teacher + 3 * student + 2 * (BATCH + decoupled) * embedding) / 1e12


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    """Report of one round of a pair, and what the command printed."""
    folder = tmp_path_factory.mktemp('benchmark')
    words = ['--variants', 'maskalign', 'maskalign-d']
    words += [word for name, value in OPTIONS.items() for word in (f'--{name}', value)]
    out = run([sys.executable, STEP, *words, '--out', 'results'], toy_folder=folder, cwd=folder)
    return json.loads((folder / 'results' / 'step.json').read_text()), out


def test_counted_operations_are_those_of_the_formulas(measured):
    rows = {name: row['tflop'] for name, (row,) in measured[0]['rows'].items()}
    assert rows['maskalign'] == pytest.approx(tflop_of_maskalign(0), rel=1e-3)
    # The foreground, to which alone the heads are applied, is drawn.
    at_least = tflop_of_maskalign(2)
    heads = 2 * 3 * 2 * PATCHES * LEVELS * WIDTH**2 / 1e12
    assert at_least < rows['maskalign-d'] < at_least + heads


def test_each_ratio_is_of_the_rows_and_is_printed(measured):
    report, out = measured
    ((name, ratio),) = report['ratios'].items()
    (ours,), (other,) = (report['rows'][variant] for variant in name.split(' / '))
    assert name == 'maskalign-d / maskalign'
    assert ratio == {key: ours[key] / other[key] for key in ('seconds', 'peak_mib', 'tflop')}
    assert f'{ratio["seconds"]:.3f}' in out and f'{ratio["tflop"]:.3f}' in out


def test_the_official_step_needs_a_checkout(tmp_path):
    words = [sys.executable, STEP, '--variants', 'ibot', 'official']
    out = run(words, toy_folder=tmp_path, cwd=tmp_path, ok=False)
    assert out.splitlines()[-1].endswith('the variant official requires --official, a checkout of bytedance/ibot')
