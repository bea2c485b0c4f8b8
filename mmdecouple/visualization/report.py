"""The report: one self-contained HTML page, with the PNGs it shows beside it."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from mmdecouple.evaluation.report import difference, metric_interval, metric_value, shown_metrics
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from mmdecouple.version import __version__

from .charts import histogram_figure, interval_figure, ratio_curve_figure
from .curves import loss_figure
from .runs import Run, check_same_draws
from .style import RunStyle, run_styles, save_png

_PIXELS_AN_INCH = 104


class Exhibit(NamedTuple):
    """One figure of the report.

    Attributes:
        slug (str): File name of the PNG, without suffix.
        section (str): Heading it stands under: `Measures`, `Training` or `Pictures`.
        title (str): Heading of the figure.
        caption (str): What is seen and how to read it.
        figure (Figure): The drawing.
    """

    slug: str
    section: str
    title: str
    caption: str
    figure: Figure


def write_report(
    out: Path,
    runs: Sequence[Run],
    pictures: Sequence[Exhibit] = (),
    title: str = 'Coupling report',
    notes: Sequence[str] = (),
) -> Path:
    """Write `report.html` and its PNGs and return the path of the page.

    Args:
        out (Path): Folder, made if absent.
        runs (Sequence[Run]): Columns in order; differences are taken to the first trained one.
        pictures (Sequence[Exhibit]): Figures beside the charts that the runs themselves give.
        title (str): Heading of the page.
        notes (Sequence[str]): Remarks of the caller on how to read this comparison.

    Returns:
        Path: `out/report.html`; needs no network, no script and no other file.

    Raises:
        ValueError: No run is given, two have one name, or they were measured on different draws.
    """
    if not runs:
        raise UserError('write_report: needs at least one run.')
    check_same_draws(list(runs))
    styles = styles_of(runs)
    exhibits = []
    for exhibit in [*_charts(runs, styles), *pictures]:
        png = save_png(exhibit.figure, out / f'{exhibit.slug}.png')
        data = base64.b64encode(png.read_bytes()).decode('ascii')
        exhibits.append(
            {
                **exhibit._asdict(),
                'src': f'data:image/png;base64,{data}',
                'width': round(_PIXELS_AN_INCH * exhibit.figure.get_figwidth()),
            }
        )
    environment = Environment(
        loader=PackageLoader('mmdecouple.visualization', '.'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template('report_template.html').render(
        title=title,
        notes=notes,
        runs=runs,
        styles=styles,
        reference=reference_of(runs),
        specs=shown_metrics([run.coupling for run in runs]),
        value=metric_value,
        interval=metric_interval,
        difference=difference,
        exhibits=exhibits,
        readings=readings(runs),
        facts=[run_facts(run) for run in runs],
        coupling=runs[0].coupling,
        version=__version__,
        made=datetime.now(UTC).strftime('%Y-%m-%d %H:%M UTC'),
    )
    path = out / 'report.html'
    write_text(path, page)
    return path


def styles_of(runs: Sequence[Run]) -> dict[str, RunStyle]:
    """Return the style of every run; gray is kept for the one that was never trained."""
    untrained = next((run.name for run in runs if not run.trained), None)
    return run_styles([run.name for run in runs], untrained)


def reference_of(runs: Sequence[Run]) -> Run:
    """Return the run that differences are taken to: the first that was trained, else the first."""
    return next((run for run in runs if run.trained), runs[0])


def readings(runs: Sequence[Run]) -> list[tuple[str, dict[str, list[str]]]]:
    """Sort every run's headline metrics by what their paired interval says against the reference.

    Returns:
        list[tuple[str, dict[str, list[str]]]]: Run name and its metric labels under `better`,
        `worse`, `open` (the interval holds zero, or the difference rounds to it) and `unpaired`
        (there is no interval).
    """
    reference, sorted_runs = reference_of(runs), []
    specs = shown_metrics([run.coupling for run in runs], headline=True)
    for run in runs:
        if run is reference:
            continue
        verdict = {'better': [], 'worse': [], 'open': [], 'unpaired': []}
        for spec in specs:
            found = difference(run.coupling, reference.coupling, spec.key)
            if found is None:
                continue
            visible = float(spec.show(found.value).replace('−', '-')) != 0
            kind = 'unpaired' if found.low is None else 'open'
            if found.clear and visible:
                kind = spec.verdict(*(metric_value(one.coupling, spec.key) for one in (run, reference)))
            verdict[kind].append(f'{spec.label} ({spec.show(found.value, sign=True)})')
        sorted_runs.append((run.name, verdict))
    return sorted_runs


def run_facts(run: Run) -> dict[str, str]:
    """Return the lines of a run's card: iterations, pace, foreground share, files."""
    facts, curves = {}, run.scalars
    if 'loss' in curves:
        facts['iterations'] = f'{int(curves["loss"][-1, 0]):,}'
    if 'time' in curves:
        facts['seconds an iteration'] = f'{curves["time"][:, 1].mean():.2f}'
    if 'foreground_share' in curves:
        facts['foreground share'] = f'{100 * curves["foreground_share"][:, 1].mean():.0f} %'
    if run.config:
        facts['config'] = str(run.config.filename)
    facts['checkpoint'] = run.checkpoint.name if run.checkpoint else 'none: random weights'
    return facts


def _charts(runs: Sequence[Run], styles: dict[str, RunStyle]) -> list[Exhibit]:
    found = [
        (
            'metrics',
            'Measures',
            'Headline measures',
            'Dot: value. Bar: 95 % bootstrap interval over the drawn objects.',
            interval_figure(runs, styles),
        ),
        (
            'cr_inter',
            'Measures',
            'Inter-object coupling ratio over the masked share',
            'The more of object A is masked, the more its feature may be pulled to its neighbor B. '
            'At 1 the neighbor changes nothing.',
            ratio_curve_figure(runs, styles),
        ),
        *(
            (
                f'{spec.histogram}_histogram',
                'Measures',
                f'{spec.label}: distribution',
                spec.meaning,
                histogram_figure(runs, styles, spec.histogram, spec.label),
            )
            for spec in shown_metrics([run.coupling for run in runs])
            if spec.histogram
        ),
        (
            'losses',
            'Training',
            'Loss curves',
            'Faint: as logged. Bold: moving average. Totals of methods with different terms can not '
            'be compared with each other.',
            loss_figure(runs, styles),
        ),
    ]
    return [Exhibit(*parts) for parts in found if parts[-1] is not None]
