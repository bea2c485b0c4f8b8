"""The report: a self-contained HTML page, and its figures as PNG files."""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from mmdecouple.evaluation.headlines import few_items, remarks
from mmdecouple.evaluation.report_values import metric_interval, metric_value, shown_metrics
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from mmdecouple.version import __version__

from .charts import histogram_figure, interval_figure, ratio_curve_figure
from .curves import loss_figure
from .embedding import dark_color, embedded
from .findings import caveats, comparisons, judge
from .runs import Run, check_same_draws
from .style import RunStyle, run_styles, save_png

_PIXELS_AN_INCH = 104


class Exhibit(NamedTuple):
    """One figure of the report.

    Attributes:
        slug: File name of the PNG, without suffix.
        section: Section of the report: `Overview`, `Distributions and curves`, `Training` or `Pictures`.
        title: Heading of the figure.
        caption: Description of the figure and its interpretation.
        figure: The figure.
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
    """Writes `report.html` and its PNG files.

    Args:
        out: Folder of the report, created if missing.
        runs: Columns in order; differences refer to the reference of the first comparison, see `comparisons`.
        pictures: Figures in addition to the charts of the runs.
        title: Heading of the page.
        notes: Remarks on this comparison.

    Returns:
        Path of `report.html`, which requires no network, script or other file.

    Raises:
        UserError: No run is given, two runs have the same name, or runs were measured on different draws.
    """
    if not runs:
        raise UserError('write_report: got no run; pass at least one.')
    check_same_draws(list(runs))
    styles, compared = styles_of(runs), comparisons(runs)
    page = render_page(
        'report_template.html',
        runs,
        compared[0].reference if compared else runs[0],
        title=title,
        notes=list(notes),
        compared=compared,
        caveats=caveats,
        specs=shown_metrics([run.coupling for run in runs]),
        exhibits=[_embedded(exhibit, out) for exhibit in [*_charts(runs, styles), *pictures]],
        facts=[run_facts(run) for run in runs],
        coupling=runs[0].coupling,
    )
    path = out / 'report.html'
    write_text(path, page)
    return path


def render_page(template: str, runs: Sequence[Run], reference: Run, **content: Any) -> str:
    """Returns a page of measured networks, in the common style and with the common table of values.

    Args:
        template: File of the page in this folder.
        runs: Columns in order.
        reference: Run to which differences refer.
        **content: What the page shows besides the values.
    """
    environment = Environment(
        loader=PackageLoader('mmdecouple.visualization', '.'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        runs=runs,
        reference=reference,
        styles=styles_of(runs),
        dark_color=dark_color,
        value=metric_value,
        interval=metric_interval,
        judge=judge,
        few_items=few_items,
        remarks=remarks({run.name: run.coupling for run in runs}),
        version=__version__,
        made=datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        **content,
    )


def styles_of(runs: Sequence[Run]) -> dict[str, RunStyle]:
    """Returns the style of every run; gray is reserved for the first untrained run."""
    untrained = next((run.name for run in runs if not run.trained), None)
    return run_styles([run.name for run in runs], untrained)


def run_facts(run: Run) -> dict[str, str]:
    """Returns the entries of a run's card: iterations, seconds per iteration, foreground share and files."""
    facts, curves = {}, run.scalars
    if 'loss' in curves:
        facts['iterations'] = f'{int(curves["loss"][-1, 0]):,}'
    if 'time' in curves:
        facts['seconds per iteration'] = f'{curves["time"][:, 1].mean():.2f}'
    if 'foreground_share' in curves:
        facts['foreground share'] = f'{100 * curves["foreground_share"][:, 1].mean():.0f} %'
    if run.config:
        facts['config'] = str(run.config.filename)
    facts['checkpoint'] = run.checkpoint.name if run.checkpoint else 'none: random weights'
    return facts


def _embedded(exhibit: Exhibit, out: Path) -> dict[str, object]:
    """Writes the PNG file of a figure, and returns the exhibit with both versions of it as data URIs."""
    png = save_png(exhibit.figure, out / f'{exhibit.slug}.png').read_bytes()
    light, dark = embedded(exhibit.figure, png)
    width = round(_PIXELS_AN_INCH * exhibit.figure.get_figwidth())
    return {**exhibit._asdict(), 'light': light, 'dark': dark, 'width': width}


def _charts(runs: Sequence[Run], styles: dict[str, RunStyle]) -> list[Exhibit]:
    further = 'Distributions and curves'
    found = [
        (
            'metrics',
            'Overview',
            'The same as a chart',
            'Dot: value. Bar: 95 % bootstrap interval over the measured images.',
            interval_figure(runs, styles),
        ),
        (
            'cr_inter',
            further,
            'Inter-object coupling ratio over the masked share',
            'The more of object A is masked, the more its feature may depend on its neighbor B. '
            'At 1 the neighbor has no effect.',
            ratio_curve_figure(runs, styles),
        ),
        *(
            (
                f'{spec.histogram}_histogram',
                further,
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
            'Faint: logged values, each a mean over several iterations. Bold: moving average. Totals of methods with '
            'different terms are not comparable.',
            loss_figure(runs, styles),
        ),
    ]
    return [Exhibit(*parts) for parts in found if parts[-1] is not None]
