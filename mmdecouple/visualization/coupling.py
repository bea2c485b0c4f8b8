"""Measures networks on shared draws, with one JSON file per network, and reuses earlier measurements.

`python -m mmdecouple.visualization.coupling NETWORK OUT.json [--limit N]` measures one network in a separate process.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from mmdecouple.evaluation import measure_layers, measure_model
from mmdecouple.evaluation.probes.manifest import write_manifest
from mmdecouple.evaluation.probes.size_check import check_sizes
from mmdecouple.evaluation.probes.suites import configured_probe, probe_config
from mmdecouple.evaluation.report_values import difference
from mmdecouple.networks.network import Network, open_network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.registry import DATASETS
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable, write_json
from mmdecouple.utils.progress import shown_progress

from .charts import histogram_figure, ratio_curve_figure
from .comparison import made_from
from .depth import Depth, depth_figure
from .report import styles_of
from .runs import COUPLING_FILE, Run, cached_coupling
from .style import save_png

DRAWS = 'draws'  # name of the file of the draws, without suffix


@dataclass(frozen=True)
class Draws:
    """Settings of the probe images.

    Attributes:
        data: Specification of the data, see `probe_config`; None for the probes of the first config.
        size: Side of an image in pixels; None for the default.
        cell: Side of a patch cell in pixels; None for the largest of the networks.
        seed: Seed of the draws.
        manifest: JSON file of the draws, which is read if it exists and else written.
        measures: Names of measures; None for all.
        limit: Maximum number of images, pairs or objects that a measure draws; None for the defaults.
        removal: Setting of `InterCouplingRatio`; None for the default.
    """

    data: str | None = None
    size: int | None = None
    cell: int | None = None
    seed: int = 0
    manifest: str | None = None
    measures: Sequence[str] | None = None
    limit: int | None = None
    removal: str | None = None

    def build(self, networks: dict[str, Network]) -> Dataset:
        """Returns the data set of probe images for all networks, drawn or read from the manifest.

        Raises:
            UserError: See `probe_config`, `check_sizes` and `ProbeDataset`.
        """
        config = next((network.config for network in networks.values() if network.config is not None), {})
        cell = max(network.cell for network in networks.values())
        if not self.data:
            cell = max(cell, configured_probe(config).get('cell', cell))
        probe = probe_config(
            self.data,
            config,
            size=self.size,
            cell=self.cell or cell,
            seed=self.seed,
            manifest=self.manifest,
            measures=self.measures,
            limit=self.limit,
            removal=self.removal,
        )
        check_sizes(networks, probe)
        return DATASETS.build(probe)


@dataclass(frozen=True)
class Reading:
    """Settings of the measurement.

    Attributes:
        measured: See `open_network`.
        batch_size: Images per batch.
        workers: Number of processes that render images.
        remeasure: Whether to ignore earlier measurements on the same draws.
    """

    measured: str | None = None
    batch_size: int = 32
    workers: int = 0
    remeasure: bool = False

    def measure(
        self, networks: dict[str, Network], out: Path, dataset: Dataset, say: Callable[[str], None]
    ) -> dict[str, dict]:
        """Measures one network at one or several layers and writes the reports, or reuses those on these draws.

        Args:
            networks: Name -> the same network, at different layers.
            out: Folder of the reports.
            dataset: Probe images.
            say: Called with a line for every earlier report that is reused: of this folder, or `coupling.json` beside
                the checkpoint.

        Returns:
            Name -> report.
        """
        reports: dict[str, dict] = {}
        draws = {key: dataset.metainfo[key] for key in ('manifest_sha256', 'images_sha256', 'versions')}
        weights = {name: fingerprint(network) for name, network in networks.items()}
        for name, network in {} if self.remeasure else networks.items():
            places = [out / f'{name}.json']
            places += [] if network.checkpoint is None else [network.checkpoint.parent / COUPLING_FILE]
            for place in places:
                report = cached_coupling(place, network_sha256=weights[name], **draws)
                if report is not None:
                    # These differences refer to the first network of the earlier call.
                    report.pop('differences', None)
                    say(f'{name}: already measured on these draws, reused: {place}')
                    reports[name] = report
                    break
        reports |= self._measured({name: networks[name] for name in networks if name not in reports}, dataset)
        for name, network in networks.items():
            # The same network may have been measured from other files.
            config, checkpoint = network.config, network.checkpoint
            reports[name] = {
                **reports[name],
                'config': config and config.filename,
                'checkpoint': checkpoint and str(checkpoint),
                'layer': network.model.layer,
                'measured': self.measured,
                'network_sha256': weights[name],
                'made_from': made_from(config, checkpoint),
            }
            write_json(out / f'{name}.json', reports[name])
        return {name: reports[name] for name in networks}

    def _measured(self, networks: dict[str, Network], dataset: Dataset) -> dict[str, dict]:
        """Returns the reports of one network at one or several layers, measured in one pass over the images."""
        if not networks:
            return {}
        (name, network), *others = networks.items()
        settings = dict(batch_size=self.batch_size, num_workers=self.workers)
        layers = {network.model.layer: name for name, network in networks.items()}
        try:
            with shown_progress(f'{name}: probes') as show:
                if not others:
                    return {name: measure_model(network.model, dataset, progress=show, **settings)}
                found = measure_layers(network.model, dataset, [*layers], progress=show, **settings)
        except UserError as error:
            raise UserError(f'{name}: {error}') from error
        return {layers[layer]: report for layer, report in found.items()}


def measure_one(
    spec: str, path: Path, draws: Draws = Draws(), reading: Reading = Reading(), allow_pickle: bool = False
) -> dict[str, Any]:
    """Measures the network of a specification, writes its report and returns it.

    Args:
        spec: See `open_network`.
        path: File of the report, `.json`.
        draws: Settings of the probe images.
        reading: Settings of the measurement.
        allow_pickle: See `open_network`.

    Raises:
        UserError: See `open_network`.
    """
    network = open_network(spec, measured=reading.measured, seed=draws.seed, allow_pickle=allow_pickle)
    networks = {path.stem: network}
    return reading.measure(networks, path.parent, draws.build(networks), print)[path.stem]


def measure_networks(
    networks: dict[str, Network], draws: Draws, reading: Reading, out: Path, say: Callable[[str], None]
) -> dict[str, dict]:
    """Measures networks on shared draws, and writes the draws and a report `NAME.json` for each network.

    Args:
        networks: Name -> network; one that is given at several layers is measured in one pass.
        draws: Settings of the probe images.
        reading: Settings of the measurement.
        out: Folder of the files.
        say: Called with a line for every network whose earlier report is reused.

    Returns:
        Name -> report.

    Raises:
        UserError: See `Draws.build`; or a file cannot be written.
    """
    for name in networks:
        check_writable(out / f'{name}.json')
    dataset = draws.build(networks)
    write_manifest(out / f'{DRAWS}.json', dataset.manifest)
    same: dict[int, dict[str, Network]] = {}
    for name, network in networks.items():
        same.setdefault(id(network.model.measured_backbone), {})[name] = network
    return {
        name: report for layers in same.values() for name, report in reading.measure(layers, out, dataset, say).items()
    }


def add_differences(reports: dict[str, dict], out: Path) -> None:
    """Adds the differences to the first report of the same layer to all others, and writes these again."""
    firsts: dict[str | None, tuple[str, dict]] = {}
    for name, report in reports.items():
        reference, first = firsts.setdefault(report['layer'], (name, report))
        if name == reference:
            continue
        found = {key: difference(report, first, key)._asdict() for key in report['metrics']}
        report['differences'] = dict(to=reference, metrics=found)
        write_json(out / f'{name}.json', report)


def draw_figures(runs: Sequence[Run], out: Path, depths: Sequence[Depth] = ()) -> list[Path]:
    """Writes the curves of CR inter over the removed share and all histograms as PNG, and returns their paths.

    Args:
        runs: Measured networks.
        out: Folder of the files.
        depths: Reports of every layer of the networks, for the figure against depth; empty for none.
    """
    styles, first = styles_of(runs), runs[0].coupling
    figures = {
        f'cr_inter_curve_{statistic}': ratio_curve_figure(runs, styles, statistic) for statistic in ('median', 'mean')
    }
    figures.update(
        {f'{key}_histogram': histogram_figure(runs, styles, key, key.replace('_', ' ')) for key in first['histograms']}
    )
    if depths:
        figures['depth'] = depth_figure(depths)
    return [save_png(figure, out / f'{name}.png') for name, figure in figures.items() if figure is not None]


def main() -> None:
    """Runs the command-line program."""
    parser = argparse.ArgumentParser(description='Measures one network.')
    parser.add_argument('network')
    parser.add_argument('out', type=Path)
    parser.add_argument('--limit', type=positive)
    args = parser.parse_args()
    with program():
        measure_one(args.network, args.out, Draws(limit=args.limit))


if __name__ == '__main__':
    main()
