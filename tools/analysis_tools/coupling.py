"""Measures the coupling of networks on one shared set of draws, prints a table and draws the paper's figures.

Example:
    python tools/analysis_tools/coupling.py work_dirs/densecl work_dirs/densecl-d --dataset coco:data/coco --out OUT
    python tools/analysis_tools/coupling.py timm:vit_small_patch14_dinov2=dinov2_vits14.pth --dataset coco:data/coco
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch.utils.data import Dataset

from mmdecouple.evaluation import CouplingMetric, measure_model
from mmdecouple.evaluation.inter_coupling import REMOVALS
from mmdecouple.evaluation.networks import LAYER, Network
from mmdecouple.evaluation.side_by_side import check_cells, fingerprint, open_networks
from mmdecouple.evaluation.suites import LIMITS, probe_config
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import write_json
from mmdecouple.utils.launch import choose_device
from mmdecouple.utils.progress import shown_progress
from mmdecouple.visualization.charts import histogram_figure, ratio_curve_figure
from mmdecouple.visualization.map_tool import layer_title
from mmdecouple.visualization.report import styles_of
from mmdecouple.visualization.runs import Run, read_coupling
from mmdecouple.visualization.style import save_png

DRAWS = 'draws.json'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='+', metavar='NETWORK',
                        help='CHECKPOINT.pth, RUN_FOLDER, CONFIG.py (untrained), CONFIG.py=CHECKPOINT.pth, timm:NAME, '
                        'timm:NAME=FILE, or a weight file of a published ViT')
    parser.add_argument('--names', nargs='+', help='names of the networks, in order (default: files and folders)')
    parser.add_argument('--dataset', help="coco:ROOT, coco:ROOT:TRAIN:VAL, coco (data/coco) or scenes; default: what "
                        "the first network's config names")
    parser.add_argument('--out', type=Path, default=Path('work_dirs/coupling'),
                        help=f'folder of NAME.json, {DRAWS} and the figures (default: work_dirs/coupling)')
    parser.add_argument('--json', type=Path, help='of one network, write the numbers to this file and nothing else')
    parser.add_argument('--size', type=int, help='side in pixels to which images are squashed (COCO: 224)')
    parser.add_argument('--cell', type=int, help="side in pixels of a patch cell (default: the networks', the largest)")
    parser.add_argument('--manifest',
                        help=f'JSON of the draws: read if it exists, else written (default: {DRAWS} in --out)')
    parser.add_argument('--measures', nargs='+', metavar='MEASURE', help=f'of {", ".join(LIMITS)}; default: all')
    parser.add_argument('--removal', choices=REMOVALS, default='mask',
                        help='how object A of the inter-object ratio loses cells: filled with the mean color, by '
                        "shrinking A, or replaced by the network's mask token (default: mask)")
    parser.add_argument('--limit', type=int, help='most images, pairs or objects a measure draws, for a quick look')
    parser.add_argument('--measured', help='teacher or student, where a network holds both (default: the config says)')
    parser.add_argument('--layer', help=LAYER)
    parser.add_argument('--remeasure', action='store_true', help='measure again what is measured on the same draws')
    parser.add_argument('--seed', type=int, default=0, help='of the draws and of untrained networks (default 0)')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=0, help='processes that render images (default 0)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help='trust a checkpoint that holds more than weights')
    args = parser.parse_args(argv)
    if args.json and len(args.networks) > 1:
        parser.error('--json is for one network; use --out')
    return args


def build_probes(args: argparse.Namespace, networks: dict[str, Network]) -> Dataset:
    """The probe images that all networks are shown, drawn or read from the manifest."""
    config = next((network.config for network in networks.values() if network.config is not None), {})
    cell = max(network.cell for network in networks.values()) if args.dataset else None
    manifest = args.manifest or (None if args.json else str(args.out / DRAWS))
    probe = probe_config(args.dataset, config, size=args.size, cell=args.cell or cell, seed=args.seed,
                         manifest=manifest, measures=args.measures, limit=args.limit)
    for measure in probe['measures']:
        if measure['type'] == 'InterCouplingRatio' and args.removal != 'mask':
            measure['removal'] = args.removal
    check_cells(networks, probe)
    return DATASETS.build(probe)


def kept_report(path: Path, network_sha256: str, manifest_sha256: str) -> dict | None:
    """The report that an earlier call wrote, if it is of the same weights and the same draws."""
    if not path.is_file():
        return None
    report = read_coupling(path)
    same = report.get('network_sha256') == network_sha256 and report['manifest_sha256'] == manifest_sha256
    return report if same else None


def measure(name: str, network: Network, path: Path, dataset: Dataset, args: argparse.Namespace,
            console: Console) -> dict:
    """The report of one network, measured now or kept from an earlier call."""
    weights = fingerprint(network)
    report = None if args.remeasure else kept_report(path, weights, dataset.metainfo['manifest_sha256'])
    if report is not None:
        console.print(f'{name}: already measured on these draws, kept: {path}', highlight=False, soft_wrap=True)
        return report
    metric = CouplingMetric(config=network.config and network.config.filename,
                            checkpoint=network.checkpoint and str(network.checkpoint))
    with shown_progress(f'{name}: probes') as show:
        report = measure_model(network.model, dataset, metric=metric, batch_size=args.batch_size,
                               num_workers=args.workers, progress=show)
    report = {**report, 'layer': args.layer, 'network_sha256': weights}
    write_json(path, report)
    return report


def draw_figures(runs: Sequence[Run], out: Path) -> list[Path]:
    """Writes the curves of CR inter over the removed share and the histograms of CR inter and intra as PNG."""
    styles, first = styles_of(runs), runs[0].coupling
    figures = {f'cr_inter_curve_{statistic}': ratio_curve_figure(runs, styles, list(first['curves']), statistic)
               for statistic in ('median', 'mean')}
    figures.update({f'{key}_histogram': histogram_figure(runs, styles, key, key.replace('_', ' '))
                    for key in first['histograms']})
    return [save_png(figure, out / f'{name}.png') for name, figure in figures.items() if figure is not None]


def print_reports(reports: dict[str, dict], layer: str, console: Console) -> None:
    """Table of all numbers with their intervals, then the remarks on the draws."""
    first = next(iter(reports.values()))
    table = Table(title=f'{first["dataset"]}, {layer} (95 % intervals)', title_justify='left', box=SIMPLE,
                  padding=(0, 1, 0, 0))
    table.add_column('metric', no_wrap=True)
    for name in reports:
        table.add_column(name, justify='right', overflow='fold', min_width=14)
    table.add_column('count', justify='right')
    for key, entry in first['metrics'].items():
        cells = [f'{found["value"]:.4f}\n[dim]{found["low"]:.4f}…{found["high"]:.4f}[/dim]'
                 for found in (report['metrics'][key] for report in reports.values())]
        table.add_row(key, *cells, str(entry['count']))
    if not console.is_terminal:
        # A log has no width, and rich would fold the numbers to one of 80 columns.
        console = Console(width=48 + 24 * len(reports))
    console.print(table)
    for note in first['notes']:
        console.print(f'note: {note}', highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    console = Console()
    with one_line_errors():
        choose_device(args.device)
        networks = open_networks(args.networks, args.names, measured=args.measured, layer=args.layer,
                                 seed=args.seed, allow_pickle=args.allow_pickle)
        dataset = build_probes(args, networks)
        paths = {name: args.json or args.out / f'{name}.json' for name in networks}
        try:
            reports = {name: measure(name, network, paths[name], dataset, args, console)
                       for name, network in networks.items()}
        except KeyboardInterrupt:
            console.print('Stopped; the same command keeps what is measured and goes on.')
            sys.exit(130)
        print_reports(reports, layer_title(args.layer), console)
        for path in paths.values():
            console.print(f'report: {path}', highlight=False, soft_wrap=True)
        if args.json is None:
            runs = [Run(name, reports[name], checkpoint=network.checkpoint) for name, network in networks.items()]
            for path in draw_figures(runs, args.out):
                console.print(f'figure: {path}', highlight=False, soft_wrap=True)


if __name__ == '__main__':
    main()
