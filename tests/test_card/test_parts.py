"""Parts of a card against brute force: taps, the store, intervals of mIoU, components, sizes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from mmdecouple.card import coupling, segmentation, timing
from mmdecouple.card.coupling import CouplingPiece
from mmdecouple.card.features import FeatureStore, StoredNetwork, tap_reader
from mmdecouple.card.measure import CardWork
from mmdecouple.card.page import note_lines
from mmdecouple.card.pieces import Reading
from mmdecouple.card.plan import _side, plan_card
from mmdecouple.card.segmentation import SegmentationPiece
from mmdecouple.evaluation import stats
from mmdecouple.evaluation.object_sources import ObjectSource
from mmdecouple.evaluation.segmentation import LinearSegmentation
from mmdecouple.evaluation.segmentation.base import dense_features
from mmdecouple.evaluation.segmentation.label_sources import LabelFiles
from mmdecouple.evaluation.segmentation.scoring import mean_iou, tally
from mmdecouple.models.backbones import dense_map
from mmdecouple.networks.network import open_network
from mmdecouple.utils.errors import UserError
from tests.conftest import ROOT

from .toys import write_camvid

DEMO = ROOT / 'configs' / 'demo'


@pytest.mark.parametrize(
    'spec, last',
    [
        ('timm:test_vit2', '8'),
        ('timm:test_resnet', 'layer4'),
        (str(DEMO / 'ibot_vit-demo_scenes.py'), '4'),
        (str(DEMO / 'densecl_resnet-demo_scenes.py'), None),
    ],
)
def test_taps_are_the_last_layers_and_the_last_of_them_is_the_map_that_measures_read(spec, last):
    model = open_network(spec).model
    backbone, images = model.measured_backbone, torch.randn(2, 3, 64, 64)
    found, taps = FeatureStore(model)._compute(images)
    expected = model.dense_features(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(taps[:, -expected.shape[1] :], expected)
    names = list(backbone.layer_strides) if hasattr(backbone, 'layer_strides') else backbone.res_layers
    parts = []
    for name in names[-4:-1]:
        part = dense_map(backbone, images, layer=name)
        if last is not None and last.isdecimal():
            norm = backbone.model.norm if hasattr(backbone, 'model') else backbone.ln1
            part = norm(part.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        side = part.shape[2] // expected.shape[2]
        parts.append(torch.nn.functional.avg_pool2d(part, side) if side > 1 else part)
    torch.testing.assert_close(taps[:, : -expected.shape[1]], torch.cat(parts, dim=1))


def test_an_unknown_backbone_has_no_taps():
    assert tap_reader(SimpleNamespace(measured_backbone=torch.nn.Conv2d(3, 3, 1))) is None


def test_every_image_is_shown_to_the_network_once_whoever_reads_it():
    model, seen = open_network('timm:test_vit2').model, []
    forward = model.backbone.model.forward_intermediates
    model.backbone.model.forward_intermediates = lambda images, **how: (
        seen.append(len(images)) or forward(images, **how)
    )
    store, images = FeatureStore(model), torch.randint(256, (5, 3, 64, 64), dtype=torch.uint8)
    last, taps = StoredNetwork(store), StoredNetwork(store, taps=True)
    first = dense_features(last, images[:3])
    wide = dense_features(taps, images)
    torch.testing.assert_close(wide[:3, -first.shape[1] :], first)
    assert torch.equal(dense_features(last, images[[2, 0]]), first[[2, 0]]) and sum(seen) == 5


@given(st.integers(2, 6), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_interval_of_miou_is_that_of_images_drawn_one_by_one(count, seed):
    rng = np.random.default_rng(seed)
    confusions = rng.integers(0, 9, (count, 4, 4)) * (rng.random((count, 4, 4)) < 0.5)
    confusions[:, :, 3] = 0  # no label
    tallies = np.stack([tally(confusion) for confusion in confusions])
    chosen = tallies[:, 2].sum(0) > 0
    if not chosen.any():
        return

    def slow(drawn):
        every = []
        for c in np.flatnonzero(chosen):
            total = confusions[drawn].sum(0)
            total = total if total[:, c].sum() else confusions.sum(0)
            union = total[c].sum() + total[:, c].sum() - total[c, c]
            every.append(total[c, c] / max(union, 1))
        return np.mean(every)

    found = stats.estimate(mean_iou(tallies, chosen), np.arange(count), resamples=20)
    draws = np.random.Generator(np.random.PCG64(0)).integers(count, size=(20, count))
    assert found.value == pytest.approx(slow(np.arange(count)))
    assert found.resamples == pytest.approx([slow(drawn) for drawn in draws])


@pytest.mark.parametrize(
    'cells, side, expected', [([14], 448, 448), ([12], 448, 444), ([14, 16], 224, 224), ([300], 224, 300)]
)
def test_images_are_resized_to_the_nearest_multiple_of_all_cells(cells, side, expected):
    networks = {str(cell): SimpleNamespace(cell=cell) for cell in cells}
    assert _side(networks, side) == expected


def test_a_network_of_a_fixed_size_is_segmented_at_it_and_spared_wide_images(tmp_path):
    network = open_network('timm:gmlp_ti16_224')
    plan = plan_card({'mlp': network}, f'camvid:{write_camvid(tmp_path)}', 4)
    pieces = [piece for piece in plan.pieces if isinstance(piece, SegmentationPiece)]
    assert pieces and {(piece.data.val.size, piece.data.sizes) for piece in pieces} == {(224, (100, 224))}
    (reason,) = [reason for reason, titles in plan.left_out.items() if 'CR inter' in titles]
    assert reason.startswith('mlp: InterCouplingRatio shows images of 224 x 448 pixels: timm cannot process 224 x 448')


def test_a_network_of_another_fixed_size_is_measured_at_it(tmp_path):
    plan = plan_card({'vit': open_network('timm:test_vit_relpos')}, f'camvid:{write_camvid(tmp_path)}', 4)
    sizes = [
        piece.data.val.size if isinstance(piece, SegmentationPiece) else piece.dataset.sources.size
        for piece in plan.pieces
    ]
    assert len(sizes) > 4 and set(sizes) == {160}


def test_a_network_that_cannot_be_read_gives_no_card_of_nothing(tmp_path):
    network = open_network('timm:test_resnet')
    torch.nn.init.constant_(network.model.backbone.model.conv1[0].weight, torch.nan)
    with pytest.raises(UserError, match='^card: net: the features of the network are not finite'):
        plan_card({'net': network}, f'folder:{write_camvid(tmp_path) / "images" / "test"}', 4)


def test_classes_are_those_with_pixels_in_masks_of_every_size(tmp_path):
    """Single pixels of two classes: one where both sizes look, one where they do not."""
    data, sign, fence = write_camvid(tmp_path, 2, size=(1120, 560)), 9, 10
    path = data / 'annotations' / 'test' / '0.png'
    labels = np.asarray(Image.open(path)).copy()
    labels[300, 11:1120:56], labels[301, 1:1120:56] = sign, fence
    Image.fromarray(labels).save(path)
    network = open_network('timm:test_vit2')
    plan = plan_card({'vit': network}, f'camvid:{data}', 2)
    piece = next(piece for piece in plan.pieces if isinstance(piece, SegmentationPiece))
    (_, labels), sizes = piece.data.val[0], (100, 448)
    places = [[(i * 448) // size for i in range(size)] for size in sizes]
    by_hand = [{int(labels[y, x]) for y in rows for x in rows} for rows in places]
    assert by_hand[0] != by_hand[1]
    assert '5 of 11 classes' in piece.protocol(Reading(network))


def test_the_expected_time_covers_the_reading_of_images(tmp_path, monkeypatch):
    """A clock that advances by one second when a file is decoded, and by nothing else."""
    clock = SimpleNamespace(now=0.0)

    def slow(read):
        def ticking(self, index):
            clock.now += 1
            return read(self, index)

        return ticking

    def seconds_of(work):
        start = clock.now
        work()
        return clock.now - start

    monkeypatch.setattr(LabelFiles, 'read', slow(LabelFiles.read))
    monkeypatch.setattr(LabelFiles, 'size', 224)
    monkeypatch.setattr(ObjectSource, 'decode', slow(ObjectSource.decode))
    monkeypatch.setattr(segmentation, 'time', SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(timing, 'seconds_of', seconds_of)
    monkeypatch.setattr(coupling, 'seconds_of', seconds_of)
    networks = {'vit': open_network('timm:test_vit2')}
    data = write_camvid(tmp_path / 'data', 8)

    def work():
        plan = plan_card(networks, f'camvid:{data}', 8)
        return CardWork('vit', 'timm:test_vit2', Reading(networks['vit']), plan, tmp_path / 'vit.json')

    expected, measured = work().estimate(), work()
    start = clock.now
    measured.run(str)
    assert expected == pytest.approx(clock.now - start, rel=0.05) and expected > 80


def coupling_pieces(data):
    plan = plan_card({'vit': open_network('timm:test_vit2')}, f'camvid:{data}', 4)
    return {piece.name: piece for piece in plan.pieces if isinstance(piece, CouplingPiece)}


def test_a_hole_in_a_label_map_is_another_identity_although_boxes_stay(tmp_path):
    data = write_camvid(tmp_path)
    before = {name: piece.identity() for name, piece in coupling_pieces(data).items()}
    for path in (data / 'annotations').glob('*/*.png'):
        labels = np.asarray(Image.open(path)).copy()
        y, x = np.argwhere(ndimage.binary_erosion(labels == 2, iterations=3))[0]
        labels[y, x] = 0
        Image.fromarray(labels).save(path)
    after = {name: piece.identity() for name, piece in coupling_pieces(data).items()}
    assert before.keys() == after.keys() and all(before[name] != after[name] for name in before)


def test_without_objects_regions_of_the_same_images_are_measured(tmp_path):
    data = write_camvid(tmp_path)
    for path in (data / 'annotations').glob('*/*.png'):
        Image.fromarray(np.asarray(Image.open(path)) * 0).save(path)
    found = coupling_pieces(data)
    assert found.keys() == {'IntraCouplingRatio', 'ContextShift', 'LSC', 'SpuriousShare'}
    assert {piece.dataset.sources.query.kind for piece in found.values()} == {'regions'}


def test_stages_and_remarks_have_the_title_of_their_piece():
    piece = SegmentationPiece('taps', 'linear, four taps', LinearSegmentation(), None, {}, '')
    assert piece._titled('linear: epochs') == 'linear, four taps: epochs'
    assert piece._titled('linear: the loss: 3') == 'linear, four taps: the loss: 3'
    assert piece._titled('retrieval_d: queries') == 'retrieval_d: queries'


def test_remarks_name_their_networks_unless_they_are_about_all():
    works = [
        SimpleNamespace(name=name, card=dict(data='scenes', pieces=dict(linear=dict(notes=notes))))
        for name, notes in (('a', ['both', 'mine']), ('b', ['both', 'other']), ('c', ['both', 'other']))
    ]
    assert note_lines(works) == ['both', 'a: mine', 'b, c: other']
