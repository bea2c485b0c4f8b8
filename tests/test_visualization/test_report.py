import base64
import io
import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdecouple.visualization.charts import histogram_figure
from mmdecouple.visualization.embedding import embedded
from mmdecouple.visualization.report import styles_of, write_report
from mmdecouple.visualization.runs import Run, check_same_draws, read_scalars
from mmdecouple.visualization.style import UNTRAINED_COLOR, bare, figure_style, new_figure, save_png

from .browsers import headless_browser
from .synthetic import KEYS, coupling, write_run


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folders = tmp_path_factory.mktemp('runs')
    levels = {'DenseCL': 0.9, 'DenseCL-D': 0.5, 'Control <X>': 0.8}
    made = [Run('Untrained', {**coupling(0.2, seed=9), 'checkpoint': None})]
    for place, (name, level) in enumerate(levels.items()):
        folder = write_run(folders / str(place), None, place > 0, place)
        made.append(
            Run(
                name,
                coupling(level, seed=place),
                folder,
                Config(dict(model={}), cfg_text='model = {}', filename='toy_config.py'),
                folder / 'epoch_6.pth',
                scalars=read_scalars(folder),
            )
        )
    return made


@pytest.fixture(scope='module')
def page(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp('report'), runs, title='Four networks', notes=['One seed.'])


def test_every_figure_in_the_page_equals_the_measured_one(runs: list[Run], page: Path) -> None:
    cells = re.findall(r'data-run="([^"]+)" data-metric="([^"]+)" data-value="([^"]+)"><b>([^<]+)<', page.read_text())
    shown = {(name.replace('&lt;', '<').replace('&gt;', '>'), key): (value, text) for name, key, value, text in cells}
    assert len(cells) > len(shown), 'headline measures are in a table of their own, too'
    assert len(shown) == len(runs) * len(KEYS)
    for run in runs:
        for key in KEYS:
            value, text = shown[run.name, key]
            measured = run.coupling['metrics'][key]['value']
            assert float(value) == measured
            percent = key.startswith('oknn') or key == 'background_leak'
            assert text.endswith(' %') == percent
            assert float(text.replace('−', '-').removesuffix(' %')) == pytest.approx(
                100 * measured if percent else measured, abs=0.0501 if percent else 0.000501
            )


def test_the_page_needs_no_network_no_script_and_no_other_file(page: Path) -> None:
    text = page.read_text()
    assert '<script' not in text and '@import' not in text and 'url(' not in text
    assert all(target.startswith('data:image/') for target in re.findall(r'src(?:set)?="([^"]*)"', text))
    assert all(target.startswith('#') for target in re.findall(r'href="([^"]*)"', text))


def test_every_run_and_every_figure_is_in_the_page_and_beside_it(runs: list[Run], page: Path) -> None:
    text = page.read_text()
    assert 'Four networks' in text and 'One seed.' in text and 'Control &lt;X&gt;' in text
    pngs = sorted(page.parent.glob('*.png'))
    assert len(pngs) == text.count('<img ') >= 6
    for png in pngs:
        header = png.read_bytes()[:24]
        assert header[:8] == b'\x89PNG\r\n\x1a\n'
        width, height = struct.unpack('>II', header[16:])
        assert 600 <= width <= 2400 and 300 <= height <= 2400, png.name


def test_colors_belong_to_runs_and_gray_to_the_untrained(runs: list[Run]) -> None:
    styles = styles_of(runs)
    assert styles['Untrained'].color == UNTRAINED_COLOR
    assert len({style.color for style in styles.values()}) == len(runs)
    assert styles['DenseCL'] == styles_of(runs[1:])['DenseCL']


def test_figures_differ_when_the_data_differ(runs: list[Run], tmp_path: Path) -> None:
    styles, drawn = styles_of(runs), []
    for place, level in enumerate((0.5, 0.5, 0.6)):
        run = Run('DenseCL', coupling(level))
        figure = histogram_figure([run], styles, 'cr_intra_cell', 'CR')
        drawn.append(save_png(figure, tmp_path / f'{place}.png').read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_dark_versions_keep_pictures_and_swap_light_and_dark_elsewhere(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for picture in (True, False):
        with figure_style():
            figure = new_figure(4, 4)
            axes = bare(figure.subplots())
            axes.imshow(photo) if picture else axes.fill_between([0, 1], [1, 1], color='black')
        png = save_png(figure, tmp_path / 'figure.png').read_bytes()
        versions = [base64.b64decode(uri.partition(',')[2]) for uri in embedded(figure, png)]
        light, dark = (np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).astype(int) for data in versions)
        middle = np.s_[150:500, 150:500]
        assert light[2, 2].min() > 250 and dark[2, 2].max() < 45, 'the ground'
        change = np.abs(light[middle] - dark[middle]).mean()
        assert change < 3 if picture else change > 200


def test_a_single_run_without_curves_still_gets_a_report(tmp_path: Path) -> None:
    measured = coupling(0.5)
    for key in ('histograms', 'curves', 'values'):
        del measured[key]
    page = write_report(tmp_path, [Run('alone', measured)])
    assert 'nothing to compare with' in page.read_text()


def test_runs_measured_on_different_draws_are_refused(runs: list[Run], tmp_path: Path) -> None:
    stranger = Run('Stranger', coupling(0.5, manifest='b' * 64, dataset='coco'))
    with pytest.raises(
        ValueError,
        match=r'Untrained and Stranger were measured on different draws'
        r'.*aaaa.*\(scenes\) against bbbb.*\(coco\)',
    ):
        check_same_draws([*runs, stranger])
    with pytest.raises(ValueError, match="Two runs are called 'DenseCL'"):
        check_same_draws([runs[1], runs[1]])


def test_curves_of_a_resumed_run_read_like_those_of_one_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / 'run', None)
    whole = read_scalars(folder)
    first = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    lines = first.read_text().splitlines()
    second = folder / '20260102_000000' / 'vis_data' / 'scalars.json'
    second.parent.mkdir(parents=True)
    first.write_text('\n'.join(lines[:50]) + '\n' + lines[50][:20])
    second.write_text('\n'.join(lines[40:]) + '\n{"coco/bbox": 0.1, "step": 400}\n')
    resumed = read_scalars(folder)
    assert resumed.keys() == whole.keys()
    assert all((resumed[key] == whole[key]).all() for key in whole)


LOOKS = {'1280': (1280, 'light'), '390': (390, 'light'), 'dark': (1280, 'dark')}
HIDDEN = """nodes => nodes.filter(node => {
    const box = node.getBoundingClientRect(), frame = node.closest('.scroll').getBoundingClientRect();
    return !(node.checkVisibility({visibilityProperty: true, opacityProperty: true}) && box.width && box.height
        && box.left >= 0 && frame.right <= innerWidth && (box.right <= frame.right + 1 || innerWidth > 760));
}).map(node => node.textContent)"""
COLORS = """nodes => nodes.map(node => {
    let ground = node;
    while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
    return [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
})"""


def contrast(colors: list[str]) -> float:
    """Ratio of WCAG 2 of two colors as the browser writes them."""
    linear = []
    for color in colors:
        parts = [int(part) / 255 for part in re.findall(r'\d+', color)[:3]]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        linear.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] + 0.05)
    return max(linear) / min(linear)


def test_the_page_can_be_read_on_wide_narrow_and_dark_screens(page: Path) -> None:
    """Screenshots are in the folder `screens` beside the page, below pytest's `--basetemp`."""
    shown = {}
    with headless_browser() as browser:
        for name, (width, scheme) in LOOKS.items():
            tab, asked = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme), []
            tab.on('request', lambda request, asked=asked: asked.append(request.url))
            tab.goto(page.as_uri())
            tab.screenshot(path=page.parent / 'screens' / f'{name}.png', full_page=True)
            closed = tab.locator('details').count()
            assert closed >= 3 and tab.locator('details[open]').count() == 0
            tab.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
            assert tab.evaluate('document.documentElement.scrollWidth') <= width
            assert tab.locator('[data-value] > *').evaluate_all(HIDDEN) == []
            assert all(url.startswith(('file:', 'data:')) for url in asked)
            assert tab.locator('img').evaluate_all('nodes => nodes.every(node => node.naturalWidth > 300 && node.alt)')
            text = 'h1, h2, h3, p, li, small, b, th, dt, dd, figcaption, footer'
            assert min(map(contrast, tab.locator(text).evaluate_all(COLORS))) >= 4.5
            levels = tab.locator('h1, h2, h3').evaluate_all('nodes => nodes.map(node => +node.tagName[1])')
            assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
            shown[name] = tab.locator('img').evaluate_all('nodes => nodes.map(node => node.currentSrc)')
            tab.close()
    assert len(shown['1280']) == len(set(shown['1280'])) and shown['1280'] == shown['390']
    assert not set(shown['1280']) & set(shown['dark']), 'every figure has a version for dark screens'
