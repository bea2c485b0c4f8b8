"""Runs all measurements of the atlas, and writes results, tables and figures."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdecouple.utils.data_spec import OBJECTS, DataSpec
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_bytes, write_json, write_text
from mmdecouple.version import __version__
from mmdecouple.visualization.style import save_png, with_palette

from .document import tables, with_tables
from .figures import depth_figure
from .measurement import Say, Settings, data_name, draw_affinity, measure_coupling, measure_segments
from .results import FORMAT, coupling_entry, network_entry, segment_entry
from .subjects import Subject

RESULTS = 'results.json'
DOCS = Path(__file__).resolve().parents[2] / 'docs'


def measure_all(subjects: Sequence[Subject], data: Sequence[DataSpec], settings: Settings, say: Say) -> dict[str, Any]:
    """Measures all networks, and returns the results, which are also written to `results.json`.

    Every measurement is written when it is finished and is reused by the next call, which continues an interrupted one.

    Args:
        subjects: The networks.
        data: Data with objects, and `camvid`.
        settings: Settings.
        say: Called with lines of progress.

    Raises:
        UserError: Data cannot be used, or a network cannot be measured.
    """
    names = [data_name(each) for each in data]
    if len(set(names)) < len(names):
        raise UserError(f'Two data sets are called {max(names, key=names.count)}; rename a folder (--data).')
    start = time.process_time()
    reports = {
        (name, subject.name): measure_coupling(subject, each, settings, say)
        for name, each in zip(names, data)
        for subject in subjects
    }
    segments = {
        (name, subject.name): measure_segments(subject, each, settings, say)
        for name, each in zip(names, data)
        for subject in subjects
        if subject.local and each.kind not in OBJECTS
    }
    say(f'Processor time: {(time.process_time() - start) / 60:.0f} minutes.')
    results = dict(
        format=FORMAT,
        version=__version__,
        date=time.strftime('%Y-%m-%d'),
        limit=settings.limit,
        networks={subject.name: network_entry(subject) for subject in subjects},
        coupling=_coupling(subjects, reports, settings),
        segments=_nested({place: segment_entry(path) for place, path in segments.items()}),
    )
    write_json(settings.out / RESULTS, results, indent=1)
    return results


def write_outputs(results: dict[str, Any], folder: Path) -> list[Path]:
    """Writes the tables as `tables.md` and the figure `depth_DATA.png` of each data set, and returns the paths."""
    text = '\n'.join(f'**{name}**\n\n{table}' for name, table in tables(results).items())
    write_text(folder / 'tables.md', text)
    return [folder / 'tables.md', *_figures(results, folder)]


def publish(results: dict[str, Any], out: Path, docs: Path = DOCS) -> list[Path]:
    """Writes results and figures into `atlas/` of a documentation folder, and the tables into its page `atlas.md`.

    Of the affinity maps, only those of built-in scenes are published: photographs belong to others.

    Args:
        results: See `measure_all`.
        out: Folder of the measurements, see `Settings`.
        docs: Documentation folder.

    Raises:
        UserError: The page lacks the place of a table.
    """
    page, maps = docs / 'atlas.md', docs / 'atlas' / 'affinity_scenes.png'
    text = with_tables(page.read_text(), results)
    write_bytes(maps, with_palette((out / 'affinity' / 'scenes' / 'affinity_fixed.png').read_bytes()))
    write_json(docs / 'atlas' / RESULTS, results, indent=1)
    write_text(page, text)
    return [docs / 'atlas' / RESULTS, page, maps, *_figures(results, docs / 'atlas')]


def draw_all(subjects: Sequence[Subject], data: Sequence[DataSpec], settings: Settings) -> list[Path]:
    """Draws the affinity maps of all data sets, see `draw_affinity`."""
    return [path for each in data for path in draw_affinity(subjects, each, settings)]


def _figures(results: dict[str, Any], folder: Path) -> list[Path]:
    return [
        save_png(depth_figure(networks, results['networks']), folder / f'depth_{data}.png')
        for data, networks in results['coupling'].items()
        if any(len(layers) > 1 for layers in networks.values())
    ]


def _coupling(
    subjects: Sequence[Subject], reports: dict[tuple[str, str], dict[str, str]], settings: Settings
) -> dict[str, Any]:
    twins, found = {subject.name: subject.twin for subject in subjects}, {}
    for (data, name), layers in reports.items():
        folder, references = settings.out / 'coupling' / data, reports.get((data, twins[name]), {})
        found[data, name] = {
            layer: coupling_entry(
                folder / f'{report}.json', folder / f'{references[layer]}.json' if references else None
            )
            for layer, report in layers.items()
        }
    return _nested(found)


def _nested(entries: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (data, name), entry in entries.items():
        found.setdefault(data, {})[name] = entry
    return found
