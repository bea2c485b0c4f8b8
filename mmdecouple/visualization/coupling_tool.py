"""Measurement of several networks with the options of `tools/analysis_tools/coupling.py`."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmdecouple.evaluation.probes.manifest import write_manifest
from mmdecouple.networks.network import Network
from mmdecouple.networks.open_networks import open_networks
from mmdecouple.utils.files import check_writable

from .charts import histogram_figure, ratio_curve_figure
from .coupling import Draws, Reading, add_differences
from .report import styles_of
from .runs import Run
from .style import save_png

DRAWS = 'draws.json'


def measure_networks(
    args: argparse.Namespace, say: Callable[[str], None]
) -> tuple[dict[str, Network], dict[str, dict], dict[str, Path]]:
    """Opens the networks, measures them on shared draws, and writes the reports with differences to the first network.

    Args:
        args: Options of the tool.
        say: Called with a line for every network whose earlier report is reused.

    Returns:
        Three dicts by the name of the network: network, report, and file of the report.

    Raises:
        UserError: See `open_networks`, `Draws.build` and `report_files`.
    """
    networks = open_networks(
        args.networks,
        args.names,
        taken=(Path(DRAWS).stem,),
        measured=args.measured,
        layer=args.layer,
        seed=args.seed,
        allow_pickle=args.allow_pickle,
    )
    paths = report_files(networks, args.out, args.json)
    if args.manifest and not Path(args.manifest).is_file():
        check_writable(args.manifest)
    settings = args.dataset, args.size, args.cell, args.seed, args.manifest, args.measures, args.limit, args.removal
    dataset = Draws(*settings).build(networks)
    if args.json is None and args.manifest is None:
        write_manifest(args.out / DRAWS, dataset.manifest)
    reading = Reading(args.layer, args.measured, args.batch_size, args.workers, args.remeasure)
    reports = {name: reading.measure(name, network, paths[name], dataset, say) for name, network in networks.items()}
    add_differences(reports, paths)
    return networks, reports, paths


def report_files(networks: Iterable[str], out: Path, json: Path | None) -> dict[str, Path]:
    """Returns the JSON file of the report of each network, after checking that it can be written.

    Args:
        networks: Names of the networks.
        out: Folder of the reports.
        json: File of a single report instead; None for files in `out`.

    Raises:
        UserError: A file cannot be written.
    """
    paths = {name: json or out / f'{name}.json' for name in networks}
    for path in paths.values():
        check_writable(path)
    return paths


def draw_network_figures(networks: dict[str, Network], reports: dict[str, dict], out: Path) -> list[Path]:
    """Draws the figures of measured networks, see `draw_figures`.

    Args:
        networks: Name -> network.
        reports: Name -> report.
        out: Folder of the figures.

    Returns:
        Paths of the figures.
    """
    return draw_figures([Run(name, reports[name], checkpoint=one.checkpoint) for name, one in networks.items()], out)


def draw_figures(runs: Sequence[Run], out: Path) -> list[Path]:
    """Writes the curves of CR inter over the removed share and all histograms as PNG, and returns their paths."""
    styles, first = styles_of(runs), runs[0].coupling
    figures = {
        f'cr_inter_curve_{statistic}': ratio_curve_figure(runs, styles, statistic) for statistic in ('median', 'mean')
    }
    figures.update(
        {f'{key}_histogram': histogram_figure(runs, styles, key, key.replace('_', ' ')) for key in first['histograms']}
    )
    return [save_png(figure, out / f'{name}.png') for name, figure in figures.items() if figure is not None]
