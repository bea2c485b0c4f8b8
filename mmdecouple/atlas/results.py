"""Results of the atlas as one record without the raw values: what docs/atlas.md is written from."""

import json
from pathlib import Path
from typing import Any

from mmdecouple.evaluation.report_values import difference, metric_interval, metric_value
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization.runs import read_coupling

from .subjects import Subject

FORMAT = 'mmdecouple-atlas/1'
# Metrics in the order of the tables.
COUPLING = ('context_shift', 'cr_intra_cell', 'position_leak', 'oknn_class_mean', 'oknn_top1')
SEGMENTS = ('linear_miou_present', 'retrieval_miou_present', 'retrieval_d_miou_present', 'retrieval_gap_miou')


def coupling_entry(path: Path, twin: Path | None) -> dict[str, Any]:
    """Returns the metrics of a report, each with its interval and its difference to the untrained network.

    Args:
        path: Report of `measure_coupling`.
        twin: Report of the same network with random weights at the same layer; None without one.

    Returns:
        Key -> dict(value, low, high, count), with `difference` as (value, low, high) if there is a twin; ends are None
        where there is no interval.
    """
    report, reference = read_coupling(path), twin and read_coupling(twin)
    found = {}
    for key in COUPLING:
        if key not in report['metrics']:
            continue
        low, high = metric_interval(report, key) or (None, None)
        found[key] = dict(value=metric_value(report, key), low=low, high=high, count=metric_value(report, key, 'count'))
        change = reference and difference(report, reference, key)
        if change:
            found[key]['difference'] = list(change)
    return _rounded(found)


def segment_entry(path: Path) -> dict[str, Any]:
    """Returns the metrics of a report of `measure_segments`: key -> dict(value, low, high) over seeds, and `images`."""
    report = json.loads(path.read_text())
    found = {
        key: dict(
            value=report['metrics'][key]['value'],
            low=min(report['metrics'][key]['seeds']),
            high=max(report['metrics'][key]['seeds']),
        )
        for key in SEGMENTS
    }
    return dict(metrics=_rounded(found), images=[report['train']['images'], report['val']['images']])


def network_entry(subject: Subject) -> dict[str, Any]:
    """Returns the twin of a network, the number of its parameters, and whether its features have a place."""
    count = sum(value.numel() for value in subject.network().model.measured_backbone.parameters())
    return dict(twin=subject.twin, parameters=count, local=subject.local)


def read_results(path: Path) -> dict[str, Any]:
    """Reads the results of the atlas.

    Raises:
        UserError: The file is missing or does not hold results of the atlas.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read ({error}); measure again.') from error
    if not isinstance(found, dict) or found.get('format') != FORMAT:
        raise UserError(f'{path} does not hold results of the atlas; measure again.')
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f'{value:.5g}') if isinstance(value, float) else value
