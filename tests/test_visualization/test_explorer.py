import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmdecouple.commands import explore
from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.models.data_preprocessor import DensePreprocessor
from mmdecouple.networks.network import Network, open_network
from mmdecouple.visualization.affinity import point_affinity
from mmdecouple.visualization.explorer import (
    ExplorerServer,
    Session,
    affinity_error,
    dequantize_features,
    free_port,
    quantize_features,
    quantize_smallest,
)
from mmdecouple.visualization.sample_images import SampleImage, normalized, read_sample_images

from .browsers import color_at, headless_browser
from .tiny import CONFIG

SIZE = 56
PATIENCE = 120_000
READY = 'window.affinityExplorer && affinityExplorer.maps.every((map) => map.shown)'


class Colors(nn.Module):
    """Dense features that are random sums of a patch's colors."""

    def __init__(self, cell: int) -> None:
        super().__init__()
        torch.manual_seed(cell)
        self.patches = nn.Conv2d(3, 24, cell, cell)
        self.mixing = nn.Conv2d(24, 24, 3, padding=1)
        self.data_preprocessor = DensePreprocessor()

    def dense_features(self, images: Tensor) -> Tensor:
        assert not torch.backends.cudnn.allow_tf32
        return self.mixing(self.patches(images).relu())


def made_subjects() -> list[SampleImage]:
    """Two images of four flat colors, with noise in their lower right."""
    subjects, random = [], np.random.default_rng(0)
    for name, shades in (('first', (40, 90, 140, 190)), ('second <b>', (200, 30, 120, 60))):
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        for place, shade in enumerate(shades):
            row, column = divmod(place, 2)
            image[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = (shade, 255 - shade, (3 * shade) % 256)
        image[36:, 36:] = random.integers(0, 256, (20, 20, 3))
        subjects.append(SampleImage(name, image))
    return subjects


def expected(network: Network, subject: SampleImage, x: float, y: float) -> np.ndarray:
    """What the page must show, computed without it."""
    with torch.no_grad():
        features = network.model.dense_features(normalized(network.model, [subject.image], network.cell))
    return point_affinity(features, torch.tensor([[x, y]]))[0].numpy()


def shown(page, index: int) -> np.ndarray:
    """Values that the page holds for a map."""
    return np.array(page.evaluate(f'Array.from(affinityExplorer.maps[{index}].shown.values)')).reshape(
        page.evaluate(f'affinityExplorer.maps[{index}].shown.shape')
    )


def place_on(page, panel: int, x: float, y: float) -> tuple[float, float]:
    """Window pixels of a share of a panel's picture; panel 0 is the image."""
    figure = 'image' if panel == 0 else f'maps[{panel - 1}]'
    left, top, width, height = page.evaluate(
        f'(() => {{ const view = Bokeh.index.get_by_id(affinityExplorer.{figure}.figure.id), box = view.frame.bbox; '
        'const at = view.el.getBoundingClientRect(); return [at.x + box.x, at.y + box.y, box.width, box.height]; })()'
    )
    return left + x * width, top + y * height


def viridis(value: float) -> np.ndarray:
    return (255 * np.array(matplotlib.colormaps['viridis'](float(value))[:3])).round()


@pytest.fixture
def networks() -> list[Network]:
    return [Network('one', Colors(8).eval(), 8), Network('two', Colors(7).eval(), 7)]


@pytest.fixture
def served(networks) -> Iterator[str]:
    """Address of the page, served by another thread."""
    ready, kept = threading.Event(), []

    def serve() -> None:
        kept.append(ExplorerServer(Session(networks, made_subjects()), free_port()))
        ready.set()
        kept[0].run(browser=False)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield kept[0].address
    kept[0].stop()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize('channels', [64, 300])
def test_rounded_features_have_the_affinities_of_the_exact_ones(channels: int) -> None:
    features = torch.randn(channels, 9, 11, generator=torch.Generator().manual_seed(1))
    # One channel of unusual size, as vision transformers have: rounding must not lose the others.
    features[3] = 10
    small, error = quantize_smallest(features)
    exact = quantize_features(features)
    assert small.codes.dtype == np.int8 and exact.codes.dtype == np.int16
    assert small.codes.shape[2] == min(channels, 99)
    worst = 0.0
    for point in torch.rand(40, 1, 2, generator=torch.Generator().manual_seed(2)):
        truth = point_affinity(features[None], point)
        worst = max(worst, (point_affinity(dequantize_features(small)[None], point) - truth).abs().max().item())
        torch.testing.assert_close(point_affinity(dequantize_features(exact)[None], point), truth, rtol=0, atol=1e-4)
    assert 0.2 * error < worst <= error + 1e-6 < 0.01


def test_features_that_eight_bits_blur_get_sixteen() -> None:
    features = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0))
    assert affinity_error(features, quantize_features(features, 8)) > 0.005
    coded, error = quantize_smallest(features)
    assert coded.codes.dtype == np.int16 and error < 1e-3


def test_a_network_without_finite_features_is_refused() -> None:
    with pytest.raises(ValueError, match='NaN or infinity'):
        quantize_features(torch.full((2, 3, 3), float('nan')))


def test_the_served_page_follows_a_click(served: str, networks: list[Network], tmp_path: Path) -> None:
    subjects = made_subjects()
    with headless_browser() as browser:
        page = browser.new_page(viewport=dict(width=1300, height=900))
        failures = []
        page.on('pageerror', lambda error: failures.append(str(error)))
        page.set_default_timeout(PATIENCE)
        page.goto(served)
        page.wait_for_function(READY)
        before = shown(page, 0)
        np.testing.assert_allclose(before, expected(networks[0], subjects[0], 0.5, 0.5), atol=1e-4)

        page.mouse.click(*place_on(page, 0, 0.2, 0.8))
        page.wait_for_function('affinityExplorer.x < 0.4')
        x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
        assert (x, y) == pytest.approx((0.2, 0.8), abs=0.01)
        truth = [expected(network, subjects[0], x, y) for network in networks]
        for index in range(2):
            np.testing.assert_allclose(shown(page, index), truth[index], atol=1e-4)
        assert np.abs(shown(page, 0) - before).max() > 0.1

        # The screen shows those values, the right way up, and the pointer reads them.
        cell = (1, 4)
        height, width = truth[1].shape
        spot = place_on(page, 2, (cell[1] + 0.5) / width, (cell[0] + 0.5) / height)
        page.wait_for_timeout(300)
        np.testing.assert_allclose(color_at(page, *spot), viridis(truth[1][cell]), atol=8)
        page.mouse.move(*spot)
        tooltip = page.get_by_text(re.compile(r'^-?[01]\.\d{3}$'))
        tooltip.wait_for()
        assert float(tooltip.text_content()) == pytest.approx(truth[1][cell], abs=6e-4)

        page.mouse.move(*place_on(page, 1, 0.9, 0.9))
        page.get_by_text('per map').click()
        page.wait_for_timeout(300)
        share = (truth[1][cell] - truth[1].min()) / (truth[1].max() - truth[1].min())
        assert np.abs(viridis(share) - viridis(truth[1][cell])).max() > 20
        np.testing.assert_allclose(color_at(page, *spot), viridis(share), atol=8)

        page.locator('[data-picture]').nth(1).click()
        page.wait_for_function('affinityExplorer.state.picture === 1 && ' + READY)
        np.testing.assert_allclose(shown(page, 1), expected(networks[1], subjects[1], 0.5, 0.5), atol=1e-4)
        page.wait_for_timeout(300)
        np.testing.assert_allclose(color_at(page, *place_on(page, 0, 0.25, 0.25)), subjects[1].image[14, 14], atol=12)

        page.mouse.move(*place_on(page, 1, 0.3, 0.3))
        page.mouse.down()
        page.mouse.move(*place_on(page, 1, 0.7, 0.4), steps=5)
        page.wait_for_function('affinityExplorer.x > 0.65')
        page.mouse.up()
        page.keyboard.press('ArrowUp')
        x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
        np.testing.assert_allclose(shown(page, 0), expected(networks[0], subjects[1], x, y), atol=1e-4)
        assert y == pytest.approx(0.4 - 1 / 56, abs=0.01)

        with page.expect_download() as download:
            page.get_by_role('button', name='Save PNG').click()
        download.value.save_as(tmp_path / 'saved.png')
        assert download.value.suggested_filename == 'affinity_second_b_.png'
        saved = np.asarray(Image.open(tmp_path / 'saved.png').convert('RGB')).astype(int)
        assert saved.shape[1] > 2 * saved.shape[0] > 400
        for color in (subjects[1].image[14, 14], viridis(0), viridis(1)):
            assert (np.abs(saved - color).max(2) < 12).any()

        page.get_by_text('LSC', exact=True).click()
        page.wait_for_function(READY)
        for index, network in enumerate(networks):
            images = normalized(network.model, [subjects[1].image], network.cell)
            np.testing.assert_allclose(shown(page, index), lsc_maps(network.model, images, network.cell)[0], atol=1e-5)
        assert failures == []


def test_the_exported_file_needs_neither_server_nor_network(tmp_path: Path, capsys) -> None:
    (tmp_path / 'tiny.py').write_text(CONFIG)
    folder = tmp_path / 'photos'
    folder.mkdir()
    for subject in made_subjects():
        Image.fromarray(subject.image).save(folder / f'{subject.name[:5]}.png')
    words = ['--data', str(folder), '--size', '64', '--names', 'a network', '--out', str(tmp_path / 'out')]
    explore.main([str(tmp_path / 'tiny.py'), *words])
    out = tmp_path / 'out' / 'explore.html'
    error = float(re.search(r'largest error of an affinity (\S+)', capsys.readouterr().out)[1])
    network, subjects = open_network(str(tmp_path / 'tiny.py')), read_sample_images(str(folder), 64)
    with headless_browser() as browser:
        context = browser.new_context(offline=True, viewport=dict(width=1000, height=800))
        page, asked, failures = context.new_page(), [], []
        page.on('request', lambda request: asked.append(request.url))
        page.on('pageerror', lambda failure: failures.append(str(failure)))
        page.set_default_timeout(PATIENCE)
        page.goto(out.as_uri())
        page.wait_for_function(READY)
        page.locator('[data-picture]').nth(1).click()
        page.mouse.click(*place_on(page, 1, 0.7, 0.3))
        page.wait_for_function('affinityExplorer.x > 0.6')
        x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
        difference = np.abs(shown(page, 0) - expected(network, subjects[1], x, y)).max()
        assert difference <= error + 1e-4 < 0.01
        assert 'a-network' in page.locator('.panel.map h2').text_content()
        assert page.locator('input[value=lsc]').is_disabled()
        assert [url for url in asked if not url.startswith(('file:', 'data:'))] == [] and failures == []


@pytest.mark.parametrize(
    'words, message',
    [
        (['nothing.pth', '--data', 'photos'], 'nothing.pth: no such file or folder'),
        (['tiny.py', '--data', 'empty'], 'the folder empty holds no image'),
        (['tiny.py', '--data', 'broken.png'], 'broken.png cannot be read'),
        (['tiny.py'] * 7 + ['--data', 'photos'], 'got 7 networks; choose 1 to 6'),
        (['tiny.py', 'tiny.py', '--data', 'photos'], 'Two networks are called tiny-untrained; give them different'),
        (['tiny.py', '--data', 'photos', '--out', 'broken.png'], 'broken.png is not a folder'),
        (['tiny.py', '--data', 'photos', '--port', '{taken}'], 'choose another --port'),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    Path('empty').mkdir()
    Path('photos').mkdir()
    Image.fromarray(made_subjects()[0].image).save('photos/a.png')
    Path('broken.png').write_bytes(b'no image')
    with socket.create_server(('127.0.0.1', 0)) as taken, pytest.raises(SystemExit) as ended:
        explore.main([word.format(taken=taken.getsockname()[1]) for word in words])
    error = capsys.readouterr().err
    assert ended.value.code == 1 and message in error and error.count('\n') == 1


def test_images_must_be_named(capsys) -> None:
    with pytest.raises(SystemExit):
        explore.main(['only_one_word.pth'])
    assert 'the following arguments are required: --data' in capsys.readouterr().err
