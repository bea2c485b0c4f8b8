import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch import Tensor, nn

from mmdecouple.commands import explore
from mmdecouple.datasets.resizing import resize
from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.models.data_preprocessor import DensePreprocessor
from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network, open_network
from mmdecouple.visualization.affinity import point_affinity
from mmdecouple.visualization.explorer import (
    ExplorerServer,
    Place,
    Session,
    affinity_error,
    component_colors,
    dequantize_features,
    fit_components,
    free_port,
    kept_patches,
    quantize_features,
    quantize_smallest,
    regions_of,
    write_page,
)
from mmdecouple.visualization.sample_images import SampleImage, normalized, read_sample_images

from .browsers import color_at, headless_browser
from .tiny import CONFIG

SIZE = 56
PATIENCE = 120_000
READY = 'window.affinityExplorer && !affinityExplorer.waiting'
BOX = (5.5 / 56, 6 / 56, 31.2 / 56, 40 / 56)


class Layers(nn.Module):
    """Names the layers, as backbones do."""

    def __init__(self, cell: int) -> None:
        super().__init__()
        self.layer_strides = {'1': cell, '2': 2 * cell}


class Colors(nn.Module):
    """Dense features that are random sums of the colors of a patch and of its neighbors."""

    layer = None

    def __init__(self, cell: int) -> None:
        super().__init__()
        torch.manual_seed(cell)
        self.measured_backbone = Layers(cell)
        self.patches = nn.Conv2d(3, 24, cell, cell)
        self.mixing = nn.Conv2d(24, 24, 3, padding=1)
        self.data_preprocessor = DensePreprocessor()

    def dense_features(self, images: Tensor) -> Tensor:
        assert not torch.backends.cudnn.allow_tf32
        first = self.patches(images).relu()
        last = self.mixing(first)
        return {'1': first, '2': nn.functional.avg_pool2d(last, 2), None: last}[self.layer]


def made_subjects() -> list[SampleImage]:
    """Two images of four flat colors with noise in their lower right: one with an object, one of another shape."""
    subjects, random = [], np.random.default_rng(0)
    for name, shades in (('first', (40, 90, 140, 190)), ('second <b>"', (200, 30, 120, 60))):
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        for place, shade in enumerate(shades):
            row, column = divmod(place, 2)
            image[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = (shade, 255 - shade, (3 * shade) % 256)
        image[36:, 36:] = random.integers(0, 256, (20, 20, 3))
        subjects.append(SampleImage(name, image))
    wide = np.repeat(np.repeat(subjects[1].image, 3, 0), 4, 1)
    return [subjects[0]._replace(points=((0.3, 0.4),), boxes=(BOX,)), subjects[1]._replace(original=lambda: wide)]


def dense(network: Network, image: np.ndarray, layer: str | None = None) -> np.ndarray:
    """Features in float64, `(h, w, C)`, without the session."""
    cell = network.model.measured_backbone.layer_strides[layer] if layer else network.cell
    network.model.layer = layer
    with torch.no_grad(), evaluating(network.model):
        found = network.model.dense_features(normalized(network.model, [image], cell))[0]
    network.model.layer = None
    return found.permute(1, 2, 0).double().numpy()


def affinity(features: np.ndarray, x: float, y: float) -> np.ndarray:
    """Cosines with the feature at a point on twice as large maps, in float64."""
    height, width = 2 * features.shape[0], 2 * features.shape[1]
    large = cv2.resize(features, (width, height), interpolation=cv2.INTER_LINEAR)
    large /= np.linalg.norm(large, axis=2, keepdims=True)
    return large @ large[min(int(y * height), height - 1), min(int(x * width), width - 1)]


def swapped(subjects: list[SampleImage], index: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """The image with the pixels outside of a box, left, top, right, bottom, from the other image."""
    left, top, right, bottom = box
    image = subjects[1 - index].image.copy()
    image[top:bottom, left:right] = subjects[index].image[top:bottom, left:right]
    return image


def changes(own: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(own, axis=2) * np.linalg.norm(foreign, axis=2)
    return 1 - (own * foreign).sum(2) / norms


def component_rgb(fitted: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Colors of the components of the rows of `fitted`, with the signs of scikit-learn made those of the page."""
    rows = fitted.reshape(-1, fitted.shape[-1])
    pca = PCA(3, svd_solver='full').fit(rows)
    largest = np.abs(pca.components_).argmax(1)
    signs = np.sign(pca.components_[range(3), largest])
    low, high = np.quantile(pca.transform(rows) * signs, (0.02, 0.98), axis=0)
    shares = (pca.transform(features.reshape(-1, features.shape[-1])) * signs - low) / (high - low)
    return (255 * shares.clip(0, 1)).round().reshape(*features.shape[:2], 3)


def shown(page, index: int, kind: str = 'own', what: str = 'values') -> np.ndarray:
    """Array that the page shows in a plot of a network."""
    plot = f'affinityExplorer.maps[{index}].shown.{kind}'
    values = np.array(page.evaluate(f'Array.from({plot}.{what})'), float)
    return values.reshape(page.evaluate(f'{plot}.shape'))


def place_on(page, panel: int, x: float, y: float, kind: str = 'own') -> tuple[float, float]:
    """Window pixels of a share of a plot; panel 0 is the image."""
    canvas = page.locator('.panel').nth(panel).locator(f'[data-kind={kind}] .map')
    canvas.evaluate('(canvas) => canvas.scrollIntoView({block: "center"})')
    box = canvas.bounding_box()
    return box['x'] + x * box['width'], box['y'] + y * box['height']


def color_of(page, panel: int, cell: tuple[int, int], shape: tuple[int, ...], kind: str = 'own') -> np.ndarray:
    """The color of a cell, once the fade of a change of the page is over."""
    before = None
    for _ in range(40):
        page.wait_for_timeout(50)
        place = place_on(page, panel, (cell[1] + 0.5) / shape[1], (cell[0] + 0.5) / shape[0], kind)
        found = color_at(page, *place)
        if np.array_equal(found, before):
            break
        before = found
    return found


def palette(value: float, name: str = 'viridis') -> np.ndarray:
    return (255 * np.array(matplotlib.colormaps[name](float(value))[:3])).round()


def wait(page, condition: str = READY) -> None:
    """Waits like `wait_for_function`, which the page forbids as it evaluates text as a script."""
    for _ in range(1500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f'{condition} did not become true')


def watched(page) -> list[str]:
    """List that collects the errors of a page."""
    failures: list[str] = []
    page.on('pageerror', lambda error: failures.append(str(error)))
    page.on('console', lambda line: failures.append(line.text) if line.type in ('error', 'warning') else None)
    page.set_default_timeout(PATIENCE)
    return failures


@pytest.fixture(scope='module')
def browser() -> Iterator:
    with headless_browser() as browser:
        yield browser


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


@pytest.mark.parametrize('shape', [(30, 8, 9), (90, 4, 5), (3, 6, 6)])
def test_components_are_those_of_scikit_learn_with_a_fixed_sign(shape: tuple[int, ...]) -> None:
    features = (
        torch.randn(shape, generator=torch.Generator().manual_seed(3)) * torch.arange(1.0, 1 + shape[0])[:, None, None]
    )
    rows = features.double().flatten(1).T.numpy()
    found = fit_components(features.flatten(1).T)
    axes = PCA(3, svd_solver='full').fit(rows).components_.T
    np.testing.assert_allclose(np.abs(found.axes.numpy().T @ axes), np.eye(3), atol=1e-8)
    largest = np.abs(found.axes.numpy()).argmax(0)
    assert (found.axes.numpy()[largest, range(3)] > 0).all()
    expected = component_rgb(features.permute(1, 2, 0).double().numpy(), features.permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(component_colors(features, found), expected, atol=1)
    # The colors are those of the features, not of their mean or of the order of the patches.
    again = component_colors(features + 5, fit_components((features + 5).flatten(1).T.flip(0)))
    np.testing.assert_allclose(again, expected, atol=1)


def test_features_with_fewer_than_three_components_have_one_color_in_the_others() -> None:
    line = torch.linspace(-1, 1, 12).reshape(1, 3, 4) * torch.tensor([3.0, -4.0, 0, 0])[:, None, None]
    colors = component_colors(line, fit_components(line.flatten(1).T))
    assert np.ptp(colors[..., 0]) == 255 and np.ptp(colors[..., 1:], axis=(0, 1)).max() == 0
    constant = torch.ones(5, 2, 2)
    assert np.ptp(component_colors(constant, fit_components(constant.flatten(1).T)), axis=(0, 1)).max() == 0


@pytest.mark.parametrize('cell, grid', [(8, (7, 7)), (7, (8, 8)), (16, (4, 4)), (40, (1, 1))])
def test_kept_patches_hold_no_pixel_of_another_image(cell: int, grid: tuple[int, int]) -> None:
    """A patch is kept if, and only if, its pixels are the same whatever the surroundings are."""
    region = regions_of(made_subjects()[0])[0]
    assert region.known and np.array(region.box) * SIZE == pytest.approx((5, 6, 32, 40))
    black, white = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 255, np.uint8)
    seen = []
    for background in (black, white):
        image = background.copy()
        image[6:40, 5:32] = np.random.default_rng(1).integers(0, 256, (34, 27, 3))
        seen.append(resize(image, (grid[0] * cell, grid[1] * cell)).astype(int))
    same = (seen[0] == seen[1]).all(2).reshape(grid[0], cell, grid[1], cell).all((1, 3))
    assert (kept_patches(region.box, SIZE, grid, cell) == same).all()
    assert same.any() == (cell < 40)


def test_every_point_of_an_image_lies_in_a_region() -> None:
    subject = made_subjects()[1]
    regions = regions_of(subject)
    assert len(regions) == 9 and not any(region.known for region in regions)
    for x, y in np.random.default_rng(0).random((200, 2)):
        assert any(x1 <= x <= x2 and y1 <= y <= y2 for (x1, y1, x2, y2), _ in regions)
    everywhere = subject._replace(boxes=((0, 0, 1, 1), (0.1, 0.1, 0.2, 0.2)))
    assert [region.known for region in regions_of(everywhere)] == [True] + 9 * [False]


def test_a_session_reads_each_layer_and_leaves_the_network_alone(networks: list[Network]) -> None:
    subjects = made_subjects()
    session = Session(networks, subjects)
    assert session.layers == [('1', '2', 'last')] * 2
    for layer, name in enumerate(('1', '2', None)):
        for index, network in enumerate(networks):
            own = dense(network, subjects[0].image, name)
            foreign = dense(network, swapped(subjects, 0, (5, 6, 32, 40)), name)
            reading = session.reading(Place(0, index, layer, 0))
            found = dequantize_features(reading.features)[None]
            for x, y in ((0.2, 0.3), (0.9, 1)):
                values = point_affinity(found, torch.tensor([[x, y]]))[0]
                np.testing.assert_allclose(values, affinity(foreign, x, y), atol=1e-4)
            np.testing.assert_allclose(reading.change.values, changes(own, foreign), atol=1e-6)
            np.testing.assert_allclose(reading.colors, component_rgb(own, foreign), atol=1)
            both = np.concatenate([own, dense(network, subjects[1].image, name)])
            shared = session.shared_colors(Place(0, index, layer, 0))
            np.testing.assert_allclose(shared, component_rgb(both, foreign), atol=1)
            if reading.change.kept.any():
                mean = changes(own, foreign)[reading.change.kept].mean()
                assert reading.change.mean == pytest.approx(mean, abs=1e-6)
            else:
                assert reading.change.mean is None
    assert all(network.model.layer is None for network in networks)
    assert Session(networks, subjects, layers=['last', '1']).layers == [('1', 'last')] * 2
    with pytest.raises(ValueError, match=r'none of the networks has a layer nine; one has 1, 2, last \(--layers\)'):
        Session(networks, subjects, layers=['1', 'nine'])
    networks[1].model.measured_backbone.layer_strides = {'stage': 7}
    with pytest.raises(ValueError, match='two has none of the layers 1; add one of stage, last'):
        Session(networks, subjects, layers=['1'])


def test_the_server_answers_only_what_it_has(served: str, capsys) -> None:
    port = int(served.split(':')[2].strip('/'))

    def ask(path: str, method: str = 'GET', host: str = f'127.0.0.1:{port}') -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader('Host', host)
        connection.endheaders()
        reply = connection.getresponse()
        assert reply.getheader('X-Content-Type-Options') == 'nosniff'
        return reply.status, reply.read()

    assert ask('/')[0] == ask('/photo/1')[0] == ask('/shared/1/0/2/own')[0] == 200
    assert set(json.loads(ask('/features/1/1/0/3')[1])['change']) == {'values', 'kept', 'mean'}
    wrong = ['/../etc/passwd', '//etc/passwd', '/photo/2', '/photo/-1', '/photo/0/', '/photo/0?x', '/photo/../photo/0']
    wrong += ['/features/0/0/3/own', '/features/0/2/0/own', '/features/0/0/0/99', '/lsc/0/0/0/0', '/features/0/0/0']
    wrong += ['/features/%30/0/0/own', '/page.html', '/explorer.js', '/photo/99999999999999']
    for path in wrong:
        status, text = ask(path)
        assert status == 404 and text.count(b'\n') == 1, path
    assert ask('/', host='evil.example')[0] == ask('/', host='')[0] == 403
    for method in ('POST', 'PUT', 'HEAD', 'NONSENSE'):
        status, text = ask('/', method)
        assert status == 501 and text.count(b'\n') <= 1
    with socket.create_connection(('127.0.0.1', port), 60) as raw:
        raw.sendall(b'GET / HTTP/x\r\n\r\n')
        assert raw.recv(100) == b'Bad Request\n'
    assert capsys.readouterr().err == ''


def test_the_served_page_follows_a_click(served: str, browser, networks: list[Network], tmp_path: Path) -> None:
    subjects = made_subjects()
    page = browser.new_page(viewport=dict(width=1300, height=900))
    failures = watched(page)
    page.goto(served)
    wait(page)
    features = [dense(network, subjects[0].image) for network in networks]
    before = shown(page, 0)
    np.testing.assert_allclose(before, affinity(features[0], 0.3, 0.4), atol=1e-4)

    page.mouse.click(*place_on(page, 0, 0.2, 0.8))
    x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
    assert (x, y) == pytest.approx((0.2, 0.8), abs=0.01)
    truth = [affinity(values, x, y) for values in features]
    for index in range(2):
        np.testing.assert_allclose(shown(page, index), truth[index], atol=1e-4)
    assert np.abs(shown(page, 0) - before).max() > 0.1

    # The screen shows those values, the right way up, and the pointer reads them.
    cell, shape = (1, 4), truth[1].shape
    np.testing.assert_allclose(color_of(page, 2, cell, shape), palette(truth[1][cell]), atol=8)
    page.mouse.move(*place_on(page, 2, (cell[1] + 0.5) / shape[1], (cell[0] + 0.5) / shape[0]))
    read = page.locator('.panel').nth(2).locator('[data-kind=own] output').text_content()
    assert float(read) == pytest.approx(truth[1][cell], abs=6e-4)
    page.get_by_text('per map', exact=True).click()
    share = (truth[1][cell] - truth[1].min()) / (truth[1].max() - truth[1].min())
    assert np.abs(palette(share) - palette(truth[1][cell])).max() > 20
    np.testing.assert_allclose(color_of(page, 2, cell, shape), palette(share), atol=8)

    # The photo lies under the map.
    page.locator('#opacity').fill('40')
    mixed = 0.4 * palette(share) + 0.6 * subjects[0].image[7, 17]
    np.testing.assert_allclose(color_of(page, 2, cell, shape), mixed, atol=8)

    page.mouse.move(*place_on(page, 1, 0.3, 0.3))
    page.mouse.down()
    page.mouse.move(*place_on(page, 1, 0.7, 0.4), steps=5)
    page.mouse.up()
    page.keyboard.press('ArrowUp')
    x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
    np.testing.assert_allclose(shown(page, 0), affinity(features[0], x, y), atol=1e-4)
    assert (x, y) == pytest.approx((0.7, 0.4 - 1 / 7), abs=0.01)

    with page.expect_download() as download:
        page.get_by_role('button', name='Save PNG').click()
    download.value.save_as(tmp_path / 'saved.png')
    assert download.value.suggested_filename == 'affinity_first.png'
    saved = np.asarray(Image.open(tmp_path / 'saved.png').convert('RGB')).astype(int)
    assert saved.shape[1] > 2 * saved.shape[0] > 400
    assert (np.abs(saved - subjects[0].image[14, 14]).max(2) < 12).any()

    # An image of another shape is shown at its own size.
    page.locator('[data-picture]').nth(1).click()
    wait(page, 'affinityExplorer.photo(1) && ' + READY)
    assert page.evaluate('[affinityExplorer.photo(1).naturalWidth, affinityExplorer.photo(1).naturalHeight]') == [
        224,
        168,
    ]
    box = page.locator('.panel.image [data-kind=own] .map').bounding_box()
    assert box['width'] / box['height'] == pytest.approx(4 / 3, abs=0.02)
    np.testing.assert_allclose(color_of(page, 0, (0, 0), (2, 2)), subjects[1].image[14, 14], atol=12)
    np.testing.assert_allclose(shown(page, 1), affinity(dense(networks[1], subjects[1].image), 0.5, 0.5), atol=1e-4)

    page.get_by_text('LSC', exact=True).click()
    wait(page)
    for index, network in enumerate(networks):
        images = normalized(network.model, [subjects[1].image], network.cell)
        np.testing.assert_allclose(shown(page, index), lsc_maps(network.model, images, network.cell)[0], atol=1e-5)
    assert failures == []


def test_the_served_page_obeys_the_keys_and_shows_components_and_changes(
    served: str, browser, networks: list[Network]
) -> None:
    subjects = made_subjects()
    page = browser.new_page(viewport=dict(width=1300, height=900))
    failures = watched(page)
    page.goto(served)
    wait(page)
    own = [dense(network, subjects[0].image) for network in networks]
    foreign = [dense(network, swapped(subjects, 0, (5, 6, 32, 40))) for network in networks]

    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)
        wait(page)

    press('v')
    assert (
        page.locator('#explorer').get_attribute('data-view') == 'pca' and page.locator('input[value=pca]').is_checked()
    )
    for index in range(2):
        colors = component_rgb(own[index], own[index])
        np.testing.assert_allclose(shown(page, index, what='colors'), colors, atol=1)
        for cell in ((0, 1), (6, 2), (4, 6)):
            np.testing.assert_allclose(color_of(page, 1 + index, cell, colors.shape), colors[cell], atol=8)
    press('p')
    both = np.concatenate([own[1], dense(networks[1], subjects[1].image)])
    np.testing.assert_allclose(shown(page, 1, what='colors'), component_rgb(both, own[1]), atol=1)
    assert 'of all images' in page.locator('.network .readout').nth(1).text_content()

    # Foreign surroundings of the object, which the outline surrounds, with the same colors.
    press('p', 'b')
    assert page.locator('#swap').get_attribute('aria-pressed') == 'true'
    for index in range(2):
        colors = component_rgb(own[index], foreign[index])
        np.testing.assert_allclose(shown(page, index, 'foreign', 'colors'), colors, atol=1)
        np.testing.assert_allclose(color_of(page, 1 + index, (0, 6), colors.shape, 'foreign'), colors[0, 6], atol=8)
        change, kept = changes(own[index], foreign[index]), shown(page, index, 'change', 'kept').astype(bool)
        np.testing.assert_allclose(shown(page, index, 'change'), change, atol=1e-6)
        mean = re.search(
            r'mean change (\S+) of (\d+) kept', page.locator('.network .readout').nth(index).text_content()
        )
        assert float(mean[1]) == pytest.approx(change[kept].mean(), abs=6e-4) and int(mean[2]) == kept.sum() > 0
        cell = tuple(np.argwhere(kept)[0])
        np.testing.assert_allclose(
            color_of(page, 1 + index, cell, kept.shape, 'change'), palette(change[cell], 'magma'), atol=8
        )
    # What was swapped shows the other photo, what was kept its own.
    for place in ((45, 12), (12, 50)):
        seen = color_at(page, *place_on(page, 0, (place[1] + 0.5) / SIZE, (place[0] + 0.5) / SIZE, 'foreign'))
        np.testing.assert_allclose(seen, subjects[1].image[place], atol=12)
    seen = color_at(page, *place_on(page, 0, 10.5 / SIZE, 10.5 / SIZE, 'foreign'))
    np.testing.assert_allclose(seen, subjects[0].image[10, 10], atol=12)
    edge = color_at(page, *place_on(page, 0, 5 / SIZE, 10.5 / SIZE, 'foreign'))
    assert edge.min() > 180 or edge.max() < 80

    press('V')
    np.testing.assert_allclose(shown(page, 1, 'foreign'), affinity(foreign[1], 0.3, 0.4), atol=1e-4)

    # Layers of the selected network only.
    press('n', 'l')
    assert page.locator('select').nth(1).evaluate('(select) => select.selectedIndex') == 0
    np.testing.assert_allclose(
        shown(page, 1), affinity(dense(networks[1], subjects[0].image, '1'), 0.3, 0.4), atol=1e-4
    )
    np.testing.assert_allclose(shown(page, 0), affinity(own[0], 0.3, 0.4), atol=1e-4)
    page.locator('select').nth(1).select_option(index=1)
    wait(page)
    assert shown(page, 1).shape == (8, 8)
    press('n')
    assert page.evaluate('document.activeElement.closest(".panel").querySelector("h2").textContent') == 'one'
    described = page.evaluate(
        'document.getElementById(document.activeElement.getAttribute("aria-describedby")).textContent'
    )
    assert described == page.locator('.network .readout').first.text_content()

    # An image without annotations has a square around the point.
    press('i')
    wait(page, 'affinityExplorer.picture === 1 && ' + READY)
    square = swapped(subjects, 1, (16, 16, 40, 40))
    np.testing.assert_allclose(shown(page, 0, 'foreign'), affinity(dense(networks[0], square), 0.5, 0.5), atol=1e-4)
    press('b', 'o', 'o', 'O', 'v', 'v')
    assert page.locator('#opacity').input_value() == '90'
    assert page.locator('.network').first.is_hidden() and page.locator('.image').is_visible()
    page.keyboard.press('?')
    assert page.locator('#help').is_visible()
    press('ArrowLeft', 'i')
    assert page.evaluate('[affinityExplorer.x, affinityExplorer.picture]') == [0.5, 1]
    press('Escape')
    assert page.locator('#help').is_hidden() and failures == []


def exported(tmp_path: Path, *words: str) -> Path:
    (tmp_path / 'tiny.py').write_text(CONFIG)
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, subject in zip(('a <script>alert(1)<', 'b'), made_subjects()):
        Image.fromarray(subject.image).save(folder / f'{name}.png')
    out = tmp_path / 'out'
    explore.main([str(tmp_path / 'tiny.py'), '--data', str(folder), '--size', '64', '--out', str(out), *words])
    return out / 'explore.html'


def test_the_exported_file_needs_neither_server_nor_network(browser, tmp_path: Path, capsys) -> None:
    out = exported(tmp_path, '--names', 'a network', '--layers', 'layer1', 'last', '--regions', '1')
    said = capsys.readouterr().out
    error = float(re.search(r'largest error of an affinity (\S+)', said)[1])
    about, size = (
        float(re.search(pattern, said)[1])
        for pattern in (r'about (\S+) MB for 2 images, 1 network', r'networks, (\S+) MB')
    )
    assert about == pytest.approx(size, abs=0.15)
    network, subjects = open_network(str(tmp_path / 'tiny.py')), read_sample_images(str(tmp_path / 'photos'), 64)
    context = browser.new_context(offline=True, viewport=dict(width=1000, height=800))
    page, asked = context.new_page(), []
    failures = watched(page)
    page.on('request', lambda request: asked.append(request.url))
    page.on('dialog', lambda dialog: failures.append(dialog.message))
    page.goto(out.as_uri())
    wait(page)
    assert page.locator('[data-picture]').first.get_attribute('aria-label') == 'a <script>alert(1)<'
    page.locator('[data-picture]').nth(1).click()
    page.mouse.click(*place_on(page, 1, 0.55, 0.45))
    x, y = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')

    def features(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return (
                network.model.dense_features(normalized(network.model, [image], network.cell))[0]
                .permute(1, 2, 0)
                .double()
                .numpy()
            )

    own = features(subjects[1].image)
    assert np.abs(shown(page, 0) - affinity(own, x, y)).max() <= error + 1e-4 < 0.01
    page.locator('#swap').click()
    # The square in the middle has two fifths of the side, 19.2 to 44.8 pixels, extended to whole ones.
    foreign = features(swapped(subjects, 1, (19, 19, 45, 45)))
    assert np.abs(shown(page, 0, 'foreign') - affinity(foreign, x, y)).max() <= error + 1e-4
    np.testing.assert_allclose(shown(page, 0, 'change'), changes(own, foreign), atol=1e-6)
    page.get_by_text('PCA', exact=True).click()
    np.testing.assert_allclose(shown(page, 0, 'foreign', 'colors'), component_rgb(own, foreign), atol=1)
    page.mouse.click(*place_on(page, 0, 0.05, 0.05))
    assert 'move it into a dashed box' in page.locator('#status').text_content()
    page.locator('select').select_option(label='layer1')
    assert shown(page, 0, 'own', 'colors').shape == (16, 16, 3)
    assert 'a-network' in page.locator('.network h2').text_content()
    assert page.locator('input[value=lsc]').is_disabled()
    assert [url for url in asked if not url.startswith(('file:', 'data:'))] == [] and failures == []
    context.close()


def test_the_page_fits_a_phone(browser, networks: list[Network], tmp_path: Path) -> None:
    said: list[str] = []
    name = '</script><img src=x onerror=alert(1)>"&'
    networks[0] = replace(networks[0], name=name)
    write_page(Session(networks, made_subjects(), False, ['last']), tmp_path / 'a.html', lsc=True, say=said.append)
    assert len(said) == 1
    context = browser.new_context(
        viewport=dict(width=390, height=844),
        is_mobile=True,
        has_touch=True,
        color_scheme='dark',
        reduced_motion='reduce',
    )
    page = context.new_page()
    failures = watched(page)
    page.goto((tmp_path / 'a.html').as_uri())
    wait(page)

    assert page.locator('.network h2').first.text_content() == name and page.locator('img[src=x]').count() == 0

    def fits() -> bool:
        return page.evaluate('document.documentElement.scrollWidth') <= 390

    assert fits() and page.evaluate('getComputedStyle(document.querySelector(".map")).transitionDuration') == '0s'
    assert max(color_at(page, 385, 300)) < 60
    for control in ('.views label:first-of-type span', '.views label:last-of-type span', '#swap', '#more', '#next'):
        box = page.locator(control).bounding_box()
        assert box['height'] >= 44 and box['y'] > 700 and box['y'] + box['height'] <= 844
    page.locator('#swap').click()
    page.locator('#more').click()
    assert page.locator('#save').is_visible() and page.locator('#opacity').is_visible() and fits()
    page.locator('#more').click()
    x, y = place_on(page, 1, 0.3, 0.6)
    page.touchscreen.tap(x, y)
    wait(page, 'Math.hypot(affinityExplorer.x - 0.3, affinityExplorer.y - 0.6) < 0.02')
    session = context.new_cdp_session(page)
    for kind, (right, down) in (('touchStart', (0, 0)), ('touchMove', (20, -15)), ('touchMove', (40, -30))):
        session.send('Input.dispatchTouchEvent', dict(type=kind, touchPoints=[dict(x=x + right, y=y + down)]))
    session.send('Input.dispatchTouchEvent', dict(type='touchEnd', touchPoints=[]))
    width = page.locator('.network .map').first.bounding_box()['width']
    moved = page.evaluate('[affinityExplorer.x, affinityExplorer.y]')
    assert moved == pytest.approx([0.3 + 40 / width, 0.6 - 30 / width], abs=0.02)
    for view in ('PCA', 'photo', 'LSC'):
        page.locator('.views').get_by_text(view, exact=True).click()
        wait(page, f'affinityExplorer.view === "{view.lower()}"')
        assert fits()
    assert failures == []
    context.close()


def test_a_single_image_has_no_foreign_surroundings(
    browser, networks: list[Network], tmp_path: Path, monkeypatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr('mmdecouple.visualization.explorer.page.LARGE', 1000)
    write_page(Session(networks, made_subjects()[:1], False, ['last']), tmp_path / 'a.html', say=said.append)
    assert '1 image, 2 networks, 2 layers in total, 0 regions' in said[0] and 'a smaller --size' in said[1]
    page = browser.new_page()
    page.goto((tmp_path / 'a.html').as_uri())
    wait(page)
    assert page.locator('#swap').is_disabled()
    assert 'second image' in page.locator('#swap').get_attribute('title')
    page.keyboard.press('b')
    assert not page.evaluate('affinityExplorer.swapped')


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
        (
            ['tiny.py', '--data', 'photos', '--layers', '12'],
            'tiny-untrained has layer1, layer2, layer3, last (--layers)',
        ),
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
