"""Measures the coupling of networks on one shared set of draws, prints a table and draws the paper's figures.

Example:
    python tools/analysis_tools/coupling.py work_dirs/densecl work_dirs/densecl-d --dataset coco:data/coco --out OUT
    python tools/analysis_tools/coupling.py timm:vit_small_patch14_dinov2=dinov2_vits14.pth --dataset coco:data/coco
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.data import Dataset

from mmdecouple.evaluation import measure_model
from mmdecouple.evaluation.measures.catalog import measure_types
from mmdecouple.evaluation.measures.inter_coupling import REMOVALS
from mmdecouple.evaluation.probes.cells import check_cells
from mmdecouple.evaluation.probes.manifest import write_manifest
from mmdecouple.evaluation.probes.suites import configured_probe, probe_config
from mmdecouple.evaluation.report import difference
from mmdecouple.networks.network import LAYER, TRUST, Network
from mmdecouple.networks.open_networks import fingerprint, open_networks
from mmdecouple.registry import DATASETS
from mmdecouple.utils.arguments import positive, seed, whole
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import check_writable, write_json
from mmdecouple.utils.launch import choose_device
from mmdecouple.utils.progress import shown_progress
from mmdecouple.visualization.charts import histogram_figure, ratio_curve_figure
from mmdecouple.visualization.comparison import made_from
from mmdecouple.visualization.map_tool import layer_title
from mmdecouple.visualization.report import styles_of
from mmdecouple.visualization.runs import Run, read_coupling
from mmdecouple.visualization.style import save_png
from mmdecouple.visualization.terminal import full_table

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
    parser.add_argument('--size', type=positive, help='side in pixels to which images are squashed (COCO: 224)')
    parser.add_argument('--cell', type=positive,
                        help="side in pixels of a patch cell (default: the networks', the largest)")
    parser.add_argument('--manifest',
                        help='JSON of the draws: read if it exists, else written (default: drawn anew each time, and '
                        f'written to {DRAWS} in --out)')
    parser.add_argument('--measures', nargs='+', metavar='MEASURE',
                        help=f'of {", ".join(measure_types())}; default: all')
    parser.add_argument('--removal', choices=REMOVALS,
                        help='how object A of the inter-object ratio loses cells: filled with the mean color, by '
                        "shrinking A, or replaced by the network's mask token (default: mask)")
    parser.add_argument('--limit', type=positive,
                        help='most images, pairs or objects a measure draws, for a quick look')
    parser.add_argument('--measured', help='teacher or student, where a network holds both (default: the config says)')
    parser.add_argument('--layer', help=LAYER)
    parser.add_argument('--remeasure', action='store_true', help='measure again what is measured on the same draws')
    parser.add_argument('--seed', type=seed, default=0, help='of the draws and of untrained networks (default 0)')
    parser.add_argument('--batch-size', type=positive, default=32, help='images shown at a time (default 32)')
    parser.add_argument('--workers', type=whole, default=0, help='processes that render images (default 0)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    args = parser.parse_args(argv)
    if args.json and len(args.networks) > 1:
        parser.error('--json is for one network; use --out')
    return args


def build_probes(args: argparse.Namespace, networks: dict[str, Network]) -> Dataset:
    """The probe images that all networks are shown, drawn or read from the manifest."""
    config = next((network.config for network in networks.values() if network.config is not None), {})
    cell = max(network.cell for network in networks.values())
    if not args.dataset:
        cell = max(cell, configured_probe(config).get('cell', cell))
    probe = probe_config(args.dataset, config, size=args.size, cell=args.cell or cell, seed=args.seed,
                         manifest=args.manifest, measures=args.measures, limit=args.limit, removal=args.removal)
    check_cells(networks, probe)
    dataset = DATASETS.build(probe)
    if args.json is None and args.manifest is None:
        write_manifest(args.out / DRAWS, dataset.manifest)
    return dataset


def kept_report(path: Path, network_sha256: str, manifest_sha256: str) -> dict | None:
    """The report that an earlier call wrote, if it is of the same weights and the same draws."""
    if not path.is_file():
        return None
    report = read_coupling(path)
    # They were to the first network of that call.
    report.pop('differences', None)
    same = report.get('network_sha256') == network_sha256 and report['manifest_sha256'] == manifest_sha256
    return report if same else None


def measure(name: str, network: Network, path: Path, dataset: Dataset, args: argparse.Namespace,
            console: Console) -> dict:
    """The report of one network, measured now or kept from an earlier call."""
    weights = fingerprint(network)
    report = None if args.remeasure else kept_report(path, weights, dataset.metainfo['manifest_sha256'])
    if report is not None:
        console.print(f'{name}: already measured on these draws, kept: {path}', highlight=False, soft_wrap=True)
    else:
        with shown_progress(f'{name}: probes') as show:
            report = measure_model(network.model, dataset, batch_size=args.batch_size, num_workers=args.workers,
                                   progress=show)
    # The same network may come from other files than in the call that measured it.
    config, checkpoint = network.config, network.checkpoint
    report = {**report, 'config': config and config.filename, 'checkpoint': checkpoint and str(checkpoint),
              'layer': args.layer, 'measured': args.measured, 'network_sha256': weights,
              'made_from': made_from(config, checkpoint)}
    write_json(path, report)
    return report


def differences(report: dict, reference: dict) -> dict[str, dict[str, Any]]:
    """Every number minus that of the reference, with a paired interval where there can be one."""
    found = {key: difference(report, reference, key) for key in report['metrics']}
    return {key: one._asdict() for key, one in found.items()}


def draw_figures(runs: Sequence[Run], out: Path) -> list[Path]:
    """Writes the curves of CR inter over the removed share and the histograms of CR inter and intra as PNG."""
    styles, first = styles_of(runs), runs[0].coupling
    figures = {f'cr_inter_curve_{statistic}': ratio_curve_figure(runs, styles, statistic)
               for statistic in ('median', 'mean')}
    figures.update({f'{key}_histogram': histogram_figure(runs, styles, key, key.replace('_', ' '))
                    for key in first['histograms']})
    return [save_png(figure, out / f'{name}.png') for name, figure in figures.items() if figure is not None]


def print_reports(reports: dict[str, dict], layer: str, console: Console) -> None:
    """Table of all numbers with their intervals and differences, then the remarks on the draws."""
    reference, first = next(iter(reports.items()))
    # A log has no width, and rich would fold the numbers to one of 80 columns.
    wide = console if console.is_terminal else Console(width=48 + 32 * len(reports))
    wide.print(full_table(reports, layer))
    if len(reports) > 1:
        console.print(f'Δ: difference to {reference} on the same draws; in brackets its paired 95 % interval, for '
                      'numbers that are means over the drawn items.', highlight=False)
    for note in first['notes']:
        console.print(f'note: {note}', highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    console = Console()
    with one_line_errors():
        choose_device(args.device)
        networks = open_networks(args.networks, args.names, taken=(Path(DRAWS).stem, ), measured=args.measured,
                                 layer=args.layer, seed=args.seed, allow_pickle=args.allow_pickle)
        paths = {name: args.json or args.out / f'{name}.json' for name in networks}
        for path in paths.values():
            check_writable(path)
        if args.manifest and not Path(args.manifest).is_file():
            check_writable(args.manifest)
        dataset = build_probes(args, networks)
        try:
            reports = {name: measure(name, network, paths[name], dataset, args, console)
                       for name, network in networks.items()}
        except KeyboardInterrupt:
            console.print('Stopped; the same command keeps what is measured and goes on.')
            sys.exit(130)
        (reference, first), *others = reports.items()
        for name, report in others:
            report['differences'] = dict(to=reference, metrics=differences(report, first))
            write_json(paths[name], report)
        print_reports(reports, layer_title(args.layer), console)
        for path in paths.values():
            console.print(f'report: {path}', highlight=False, soft_wrap=True)
        if args.json is None:
            runs = [Run(name, reports[name], checkpoint=network.checkpoint) for name, network in networks.items()]
            for path in draw_figures(runs, args.out):
                console.print(f'figure: {path}', highlight=False, soft_wrap=True)


if __name__ == '__main__':
    main()
