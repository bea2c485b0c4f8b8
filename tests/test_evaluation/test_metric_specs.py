"""Metrics are named in one table: that of the measures, for coupling and for segmentation."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from mmdecouple.ablation.columns import columns, measured_columns
from mmdecouple.evaluation.measures.catalog import metric_specs
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.probes.size_check import check_sizes
from mmdecouple.evaluation.segmentation import (
    LinearSegmentation,
    OverClustering,
    Runtime,
    SegmentationMeasure,
    SegmentationResult,
    measure_segmentation,
)
from mmdecouple.evaluation.segmentation.catalog import (
    find_segmentation_spec,
    segmentation_specs,
    segmentation_table,
    segmentation_types,
)
from mmdecouple.evaluation.segmentation.suites import METHODS
from mmdecouple.networks.foreign import ForeignNetwork
from mmdecouple.utils.errors import UserError

from .test_segmentation_measures import CELL, OneHotModel, splits
from .toys import CELL as TOY_CELL
from .toys import MEASURES, SIZE, toy_probes

DOCS = Path(__file__).parents[2] / 'docs'


def test_the_docs_list_every_metric_of_segmentation():
    assert segmentation_table() in (DOCS / 'segmentation.md').read_text(), 'run python tools/misc/metrics_table.py'


def test_the_report_holds_exactly_the_metrics_that_the_measures_describe():
    measures = [
        LinearSegmentation(epochs=1, batch_size=4, augment=False),
        OverClustering(clusters=(5, 'classes'), seeds=1),
    ]
    report = measure_segmentation(OneHotModel(CELL), *splits(), measures, runtime=Runtime())
    labels = [find_segmentation_spec(key).label for key in report['metrics']]
    assert labels == [
        'mIoU linear',
        'mIoU linear, present classes',
        'pixel accuracy linear',
        'mIoU K=5',
        'mIoU K=5, present classes',
        'pixel accuracy K=5',
        'mIoU K=4 one-to-one',
        'mIoU K=4 one-to-one, present classes',
        'pixel accuracy K=4 one-to-one',
    ]
    assert [find_segmentation_spec(key).key for key in report['metrics']] == list(report['metrics'])


@pytest.mark.parametrize('key', ['overcluster_500_majority_iou', 'overcluster_x_majority_miou', 'linear_miou_', 'miou'])
def test_a_key_of_no_measure_has_no_spec_and_is_shown_by_itself(key):
    assert all(kind.spec_of(key) is None for kind in segmentation_types().values())
    assert find_segmentation_spec(key).label == key


def test_values_of_segmentation_are_percents_with_two_digits():
    spec = find_segmentation_spec('overcluster_500_majority_miou')
    assert (spec.title, spec.show(0.45678), spec.show(None), spec.direction) == (
        'mIoU K=500 (%)',
        '45.68',
        '–',
        'higher is better',
    )
    assert metric_specs()['oknn_top1'].show(0.45678) == '45.7' and metric_specs()['lsc_mean'].show(0.45678) == '0.457'


def test_names_are_unique_over_coupling_and_segmentation_and_methods_are_those_of_the_classes():
    coupling, segmentation = metric_specs(), segmentation_specs()
    assert not coupling.keys() & segmentation.keys()
    labels = [spec.label for spec in (*coupling.values(), *segmentation.values())]
    assert len(set(labels)) == len(labels)
    assert {kind.name: name for name, kind in segmentation_types().items()} == METHODS


def test_ablation_tables_show_published_segmentation_and_measure_coupling():
    names = ('OKNN', 'mIoU linear', 'mIoU K=500', 'LSC')
    assert set(names) <= columns().keys() and list(measured_columns(names)) == ['OKNN', 'LSC']


@dataclass
class Undescribed(SegmentationMeasure):
    name = 'undescribed'

    def run(self, model, train, val, runtime):
        return SegmentationResult(values=dict(purity=[1.0]))


def test_a_metric_without_a_spec_is_refused():
    with pytest.raises(UserError, match=r"Undescribed: it returns the metric 'purity', which has no MetricSpec; add"):
        measure_segmentation(OneHotModel(CELL), *splits(), [Undescribed()])


class Colors(nn.AvgPool2d):
    """The mean colors of cells, of images up to a width."""

    def __init__(self, cell, widest):
        super().__init__(cell)
        self.stride, self.widest = cell, widest

    def forward(self, images):
        if images.shape[-1] > self.widest:
            raise UserError(f'{images.shape[-1]} pixels are too wide.')
        return super().forward(images)


def check(cell, probe_cell, *measures, size=96, widest=1000):
    networks = dict(net=SimpleNamespace(cell=cell, model=ForeignNetwork(Colors(cell, widest))))
    check_sizes(networks, dict(size=size, cell=probe_cell, measures=list(measures)))


@pytest.mark.parametrize(
    'window, cell, fits', [(3, 16, True), (3, 8, False), (5, 16, True), (5, 8, False), (13, 8, True)]
)
def test_a_measure_says_which_sides_it_shows(window, cell, fits):
    measure = dict(type='LSC', window=window)
    side = window * cell
    assert LSC(window=window).shown_sizes(96, cell) == (((96, 96), (side, side)) if side <= 96 else ((96, 96),))
    if fits:
        check(16, cell, dict(type='OKNN'), measure)
    else:
        with pytest.raises(UserError, match=f'LSC would show .* {side} x {side} pixels to net, whose cells are 16'):
            check(16, cell, dict(type='OKNN'), measure)
        check(16, cell, dict(type='OKNN'), dict(type='ContextShift'))


def test_a_network_that_does_not_support_a_size_is_refused_before_anything_is_measured():
    pairs = dict(type='InterCouplingRatio')
    check(16, 16, dict(type='OKNN'), pairs, widest=192)
    check(16, 16, dict(type='OKNN'), widest=96)
    with pytest.raises(UserError, match=r'net: InterCouplingRatio shows .* 96 x 192 pixels: 192 .* \(--measures'):
        check(16, 16, dict(type='OKNN'), pairs, widest=96)
    with pytest.raises(UserError, match=r'^net: 96 pixels are too wide.$'):
        check(16, 16, dict(type='OKNN'), pairs, widest=80)


@pytest.mark.parametrize(
    'config',
    [
        *MEASURES,
        dict(type='InterCouplingRatio', pairs=5, min_side=8, alone='full'),
        dict(type='LSC', images=2, window=3),
        dict(type='PositionLeak'),
        dict(type='SpuriousShare', images=2),
    ],
    ids=lambda config: config['type'],
)
def test_a_measure_shows_images_of_the_sizes_that_it_states(config):
    probes = toy_probes(measures=[config])
    shown = {tuple(probes[index]['inputs'].shape[-2:]) for index in range(len(probes))}
    assert shown == set(probes.measures[0].shown_sizes(SIZE, TOY_CELL))
