"""Cards of networks side by side: a table for the terminal, and a self-contained HTML page."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from mmdecouple.card.measure import CardWork, merged
from mmdecouple.evaluation.headlines import lead_by_class_mean, remarks
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.utils.files import write_text
from mmdecouple.visualization.report import render_page
from mmdecouple.visualization.runs import Run
from mmdecouple.visualization.terminal import cell_lines, change_lines, empty_table


class Section(NamedTuple):
    """One piece of the cards of all networks.

    Attributes:
        title: Its heading.
        protocols: How it was measured -> names of the networks.
        seconds: Name of a network -> time in seconds.
        specs: Specs of the rows.
    """

    title: str
    protocols: dict[str, list[str]]
    seconds: dict[str, float]
    specs: list[MetricSpec]

    def lines(self) -> list[str]:
        """Returns the protocol, or one line for the networks of each protocol where they differ."""
        several = len(self.protocols) > 1
        return [f'{", ".join(names)}: {text}' if several else text for text, names in self.protocols.items()]

    def times(self) -> str:
        """Returns the times as text, such as `dino 12 s, untrained 13 s`."""
        return ', '.join(f'{name} {seconds:.0f} s' for name, seconds in self.seconds.items())


def sections_of(works: list[CardWork]) -> list[Section]:
    """Returns the pieces that any of the networks was measured on, in the order of the plan."""
    reports = [merged(work.card) for work in works]
    found: dict[str, Section] = {}
    for piece in works[0].plan.pieces:
        for work in works:
            part, specs = work.card['pieces'].get(piece.name), dict(_specs(work)).get(piece.name)
            if part is None or specs is None:
                continue
            section = found.setdefault(piece.name, Section(piece.title, {}, {}, lead_by_class_mean(specs, reports)))
            section.protocols.setdefault(part['protocol'], []).append(work.name)
            section.seconds[work.name] = part['seconds']
    return list(found.values())


def left_out_lines(works: list[CardWork]) -> list[str]:
    """Returns one line for each reason for which something is left out, with the networks if it is not all of them."""
    found: dict[tuple[str, str], list[str]] = {}
    for work in works:
        for part in work.card['left_out']:
            found.setdefault(('; '.join(part['titles']), part['reason']), []).append(work.name)
    return [
        f'Left out{"" if len(names) == len(works) else " for " + ", ".join(names)}: {titles}: {reason}.'
        for (titles, reason), names in found.items()
    ]


def note_lines(works: list[CardWork]) -> list[str]:
    """Returns every remark of a measure once, with the networks if it is not about all of them."""
    found: dict[str, list[str]] = {}
    for work in works:
        for note in merged(work.card)['notes']:
            found.setdefault(note, []).append(work.name)
    return [note if len(names) == len(works) else f'{", ".join(names)}: {note}' for note, names in found.items()]


def print_cards(works: list[CardWork], console: Console) -> None:
    """Prints one table of all networks, what leads and why, the protocols and the total times.

    Args:
        works: Measured cards; all but the first with differences.
        console: Console of the output.
    """
    reports = {work.name: {**merged(work.card), 'differences': work.card.get('differences', {})} for work in works}
    if not console.is_terminal:
        # A log has no width, and rich would wrap the values to 80 columns.
        console = Console(width=60 + 32 * len(works))
    table = empty_table(f'Card on {works[0].plan.data}, at most {works[0].plan.limit} images (95 % intervals)')
    table.add_column('')
    for name in reports:
        table.add_column(name, justify='right', overflow='fold', min_width=14)
    sections = sections_of(works)
    for section in sections:
        for spec in section.specs:
            cells = [
                '\n'.join([*cell_lines(spec, report), *change_lines(spec, report)])
                if spec.key in report['metrics']
                else '–'
                for report in reports.values()
            ]
            table.add_row(spec.title, *cells)
        table.add_section()
    console.print(table)
    if len(works) > 1:
        console.print(f'Δ: difference to {works[0].name} on the same images, with its 95 % interval.', highlight=False)
    lines = [*remarks(reports), *(f'note: {line}' for line in note_lines(works))]
    lines += [f'{section.title}: {" ".join(section.lines())} ({section.times()})' for section in sections]
    lines += [f'{work.name}: {work.card["seconds"] / 60:.1f} min in total' for work in works]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def write_page(works: list[CardWork], out: Path) -> Path:
    """Writes `card.html`, which requires no network, script or other file, and returns its path.

    Args:
        works: Measured cards.
        out: Folder of the page.
    """
    runs = [
        Run(work.name, merged(work.card), checkpoint=work.reading.network.checkpoint, network=work.card['network'])
        for work in works
    ]
    page = render_page(
        'card_template.html',
        runs,
        runs[0],
        cards=[work.card for work in works],
        left_out=left_out_lines(works),
        plan=works[0].plan,
        sections=sections_of(works),
        notes=note_lines(works),
    )
    path = out / 'card.html'
    write_text(path, page)
    return path


def _specs(work: CardWork) -> list[tuple[str, list[MetricSpec]]]:
    return [(piece.name, specs) for piece, specs in work.sections()]
