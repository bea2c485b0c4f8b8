"""Numbers of a measure: the smallest is accepted, zero is refused by name; and which methods a measure must have."""

import pytest

import mmdecouple.evaluation  # noqa: F401  registers what is built here
from mmdecouple.evaluation import Measure
from mmdecouple.evaluation.measures.catalog import metric_specs
from mmdecouple.evaluation.segmentation import LinearSegmentation, SegmentationMeasure
from mmdecouple.registry import MEASURES

TINY = 1e-9
HEAD = dict(epochs=1, drop_at=1, batch_size=1, lr=TINY, grid=1, seeds=1)
# The smallest value of each number that has one.
SMALLEST = dict(
    OKNN=dict(per_image=1, k=1, temperature=TINY),
    BackgroundLeak=dict(bank=1, queries=1, k=1, temperature=TINY),
    ContextShift=dict(objects=1),
    InterCouplingRatio=dict(pairs=1, eps=TINY),
    IntraCouplingRatio=dict(objects=1, min_cells=TINY, min_part_cells=TINY),
    LSC=dict(images=1, cells=1, window=1),
    LinearSegmentation=HEAD,
    FCNSegmentation=HEAD,
    OverClustering=dict(seeds=1, pca_dim=1, iterations=1, restarts=1, grid=1),
)


@pytest.mark.parametrize('name, setting', [(name, setting) for name, values in SMALLEST.items() for setting in values])
def test_a_number_is_accepted_from_its_smallest_value_on(name, setting):
    smallest = SMALLEST[name][setting]
    assert getattr(MEASURES.build({'type': name, setting: smallest}), setting) == smallest
    for wrong in (0, -smallest):
        with pytest.raises(ValueError, match=f'{name}: {setting} must be .*got {wrong}'):
            MEASURES.build({'type': name, setting: wrong})


@pytest.mark.parametrize('clusters', [(0,), (-1,), (2.5,), (3, 0), ('class',)])
def test_numbers_of_clusters_are_whole_and_positive(clusters):
    assert MEASURES.build(dict(type='OverClustering', clusters=(1, 'classes'))).clusters == (1, 'classes')
    with pytest.raises(ValueError, match="OverClustering: clusters must be positive numbers or 'classes'"):
        MEASURES.build(dict(type='OverClustering', clusters=clusters))


@pytest.mark.parametrize(
    'base, methods',
    [
        (Measure, {'draw', 'references', 'probes', 'render', 'score'}),
        (SegmentationMeasure, {'run'}),
        (LinearSegmentation.__base__, {'head'}),
    ],
)
def test_a_measure_without_one_of_the_methods_of_its_base_is_no_measure(base, methods):
    for missing in methods:
        own = {name: lambda self, *_: None for name in methods - {missing}}
        with pytest.raises(TypeError, match=missing):
            type('Unfinished', (base,), own)()


def test_reports_lead_with_one_number_of_every_question():
    headlines = {key for key, spec in metric_specs().items() if spec.headline}
    variants = {key for key in headlines if any(f'_{word}' in key for word in ('shrink', 'token', 'full', 'regions'))}
    assert headlines - variants == {
        'oknn_top1',
        'oknn_d_top1',
        'oknn_gap',
        'cr_inter_clean_median',
        'cr_inter_masked_dcos',
        'cr_intra_cell',
        'context_shift',
        'background_leak',
        'lsc_mean',
        'lsc_class_mean',
        'spurious_share',
        'spurious_share_excess',
    }
