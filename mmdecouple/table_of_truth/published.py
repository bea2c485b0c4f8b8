"""Published numbers in the metafiles, and their repetitions in config headers, READMEs and ablation tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from mmdecouple.ablation import read_table, table_names

from .labels import LABELS, Metric

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
# Headers of downstream configs list the numbers of every method after the same pre-training.
_DOWNSTREAM = {
    'faster-rcnn_r50-c4_24k_voc0712': 'VOC AP',
    'mask-rcnn_r50-c4_90k_coco': 'COCO box / mask AP',
    'cascade-mask-rcnn_vit-s16_1x_coco': 'COCO box / mask AP',
    'upernet_vit-s16_160k_ade20k': 'ADE20K mIoU',
}
_LONGEST = 800


@dataclass(frozen=True)
class Entry:
    """Pre-training config in a metafile.

    Attributes:
        path: Path of the config, relative to the root.
        collection: Name of the method, such as `DenseCL-D`.
        epochs: Number of epochs of the schedule.
        origin: Source of the numbers.
        tests: Tuples (task, data set, metric -> number) in the order of the metafile.
    """

    path: str
    collection: str
    epochs: int
    origin: str
    tests: list[tuple[str, str, dict[str, float]]]

    @property
    def numbers(self) -> dict[Metric, float]:
        """All published numbers of the config."""
        return {(dataset, name): value for _, dataset, metrics in self.tests for name, value in metrics.items()}

    @property
    def method(self) -> str:
        """Name of the method in tables, in lower case: `densecl-d`, `ibot-rcc`, `soco`, `moco v2`."""
        name = Path(self.path).stem.partition('_')[0]
        return name.replace('-c4', '').replace('-fpn', '').replace('mocov2', 'moco v2')


def read_entries() -> list[Entry]:
    """Returns the configs of all metafiles."""
    return [
        Entry(
            model['Config'],
            model['In Collection'],
            model['Metadata']['Epochs'],
            model['Metadata']['Origin of Results'],
            [(result['Task'], result['Dataset'], result['Metrics']) for result in model.get('Results', [])],
        )
        for path in sorted(CONFIGS.glob('*/metafile.yml'))
        for model in yaml.safe_load(path.read_text())['Models']
    ]


def quotations(entries: list[Entry]) -> Iterator[tuple[str, Entry, Metric, float]]:
    """Yields every published number that another file repeats, as (place, config, metric, number in that place)."""
    by_file = {Path(entry.path).name: entry for entry in entries}
    for entry in entries:
        for metric, value in _header_numbers((ROOT / entry.path).read_text()):
            yield entry.path, entry, metric, value
    for path in (ROOT / 'README.md', *sorted(CONFIGS.glob('*/README.md'))):
        for cells in _table_rows(path.read_text()):
            config = next(
                (by_file[name] for name in re.findall(r'[\w.-]+\.py', cells.get('config', '')) if name in by_file), None
            )
            entry = config or _find(entries, next(iter(cells.values())), cells.get('epochs', ''))
            for label, cell in cells.items() if entry else ():
                for metric, value in _pairs(re.sub(r' / 50 / 75$| \(.*\)$', '', label), cell):
                    yield f'{path.relative_to(ROOT)}', entry, metric, value
    for stem, label in _DOWNSTREAM.items():
        path = next(CONFIGS.glob(f'downstream/*/{stem}.py'))
        for method, numbers in re.findall(r'([A-Za-z][\w -]*?) (\d[\d./ ]*\d)', _published(path.read_text())):
            entry = _find(entries, method, str(_LONGEST))
            for metric, value in _pairs(label, numbers) if entry else ():
                yield f'{path.relative_to(ROOT)}', entry, metric, value
    for name in table_names():
        table = read_table(name)
        for row in table.rows:
            plain = all(not options for (_, scale), options in row.options.items() if scale == 'full')
            entry = by_file.get(Path(row.bases.get('full', '')).name) if plain else None
            # The paper gives CR inter of one run as 1.16 in Table 4 and as 1.15 in Tables 12 and 13.
            same = entry and _sources(entry.origin) & _sources(table.source)
            for label, value in row.published.items() if same else ():
                for metric in LABELS.get(label, ()):
                    yield f'configs/ablations/{name}.yml, {row.label}', entry, metric, value


def disagreements(entries: list[Entry]) -> list[str]:
    """Returns a line for every repeated number that differs from the metafile."""
    return [
        f'{place}: {metric[1]} on {metric[0]} is {value}, but the metafile has {entry.numbers.get(metric)} for '
        f'{entry.path}'
        for place, entry, metric, value in quotations(entries)
        if entry.numbers.get(metric) != value
    ]


def _find(entries: list[Entry], method: str, epochs: str) -> Entry | None:
    return next(
        (entry for entry in entries if entry.method == method.strip().lower() and str(entry.epochs) == epochs), None
    )


def _sources(text: str) -> set[str]:
    """Returns the numbers of the tables that a text names, such as `Tables 1, 3 and 6`."""
    groups = re.findall(r'Tables? (\d+(?:(?: \([^)]*\))?(?:, | and )\d+\b(?! epochs))*)', text)
    return {number for group in groups for number in re.findall(r'\b\d+\b', group)}


def _published(text: str) -> str:
    """Returns the text of a header after `Published:`, up to the end of the sentence and without parentheses."""
    header = ' '.join(line[1:].strip() for line in re.match(r'(#.*\n)*', text)[0].splitlines())
    found = re.sub(r'\s*\([^)]*\)', '', header.partition('Published:')[2])
    return re.split(r'\.(?:\s|$)', found)[0].strip()


def _header_numbers(text: str) -> Iterator[tuple[Metric, float]]:
    last = ''
    for part in re.split(r'[,;]\s', _published(text)):
        if match := re.fullmatch(r'(.*?) (\d[\d. /]*)', part):
            # A data set is named only before the first of its numbers.
            label = next((name for name in (f'{last} {match[1]}', match[1]) if name in LABELS), '')
            last = label.partition(' ')[0] if label else last
            yield from _pairs(label, match[2])


def _pairs(label: str, cell: str) -> list[tuple[Metric, float]]:
    """Returns metrics and numbers of a cell; an empty list for a label without metrics."""
    metrics, numbers = LABELS.get(label, ()), [float(number) for number in re.findall(r'\d+\.\d+', cell)]
    if len(metrics) == 1:
        ((dataset, name),) = metrics
        metrics = ((dataset, name), (dataset, f'{name}50'), (dataset, f'{name}75'))
    return list(zip(metrics, numbers))


def _table_rows(text: str) -> Iterator[dict[str, str]]:
    """Yields the rows of Markdown tables with a column `config`, as dicts of headings to cells."""
    heads: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')] if line.startswith('|') else []
        if not heads or not cells:
            heads = cells
        elif 'config' in heads and not set(line) <= set('|- '):
            yield dict(zip(heads, cells))
