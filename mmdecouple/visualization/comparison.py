"""Comparison of run folders: reads each run, measures it if necessary, and writes the report."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from mmdecouple.networks.network import UNTRAINED as UNTRAINED_PREFIX
from mmdecouple.runs.contents import read_run
from mmdecouple.utils.digests import digest_of_bytes, digest_of_file
from mmdecouple.utils.errors import UserError

from .pictures import model_pictures
from .report import write_report
from .runs import COUPLING_FILE, Run, cached_coupling, check_same_draws, read_coupling, read_scalars
from .terminal import short_table

UNTRAINED = 'Untrained'
UNTRAINED_FILE = 'untrained.json'
Measurer = Callable[[str, Path], None]


def compare(
    folders: Sequence[Path],
    names: Sequence[str],
    out: Path,
    measure: Measurer,
    *,
    dataset: str | None = None,
    cell: int | None = None,
    untrained: bool = False,
    remeasure: bool = False,
    allow_pickle: bool = False,
    title: str = 'Coupling report',
    notes: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Writes the report of several run folders, and measures runs without measured values first.

    Args:
        folders: Run folders.
        names: Name of each run.
        out: Folder of the report.
        measure: Function that measures a network, called with (specification of the network, JSON file to write).
        dataset: Name of the data set that `measure` uses, for which separate files are written; None for that of the
            config.
        cell: Side in pixels of the patch cells that `measure` uses; None for that of the config.
        untrained: Whether to add the untrained network of the first run's config.
        remeasure: Whether to ignore earlier measurements.
        allow_pickle: Whether to trust the checkpoints, see `open_network`.
        title: Heading of the report.
        notes: Remarks on this comparison.
        console: Console of the short table; None for a new one.

    Returns:
        Path of the report.

    Raises:
        MissingFile: A folder lacks its config, checkpoint or losses.
        UserError: The number of names differs from that of runs, or runs were measured on different draws.
    """
    console = console or Console()
    if len(names) != len(folders):
        raise UserError(f'{len(names)} names for {len(folders)} runs; give one name per run.')

    def measured(folder: Path, config: Config, checkpoint: Path | None, network: str) -> dict:
        path = figures_file(folder, checkpoint, dataset)
        if remeasure or not is_measured(path, config, checkpoint, cell):
            measure(network, path)
        return read_coupling(path)

    found = [
        (name, folder, *read_run(folder, allow_pickle), read_scalars(folder))
        for name, folder in zip(names, map(Path, folders))
    ]
    runs = [
        Run(
            name,
            measured(folder, config, checkpoint, str(checkpoint)),
            folder,
            config,
            checkpoint,
            str(checkpoint),
            scalars,
        )
        for name, folder, checkpoint, config, scalars in found
    ]
    if untrained:
        first, network = runs[0], f'{UNTRAINED_PREFIX}{runs[0].checkpoint}'
        figures = measured(first.folder, first.config, None, network)
        runs.insert(0, Run(UNTRAINED, figures, config=first.config, network=network))
    check_same_draws(runs)
    pictures, missing = model_pictures(runs, dataset, allow_pickle)
    report = write_report(out, runs, pictures, title, notes)
    for line in missing:
        console.print(f'Left out of the report: {line}', style='yellow', highlight=False)
    console.print(short_table(runs))
    console.print(f'Report: {report.resolve()}', soft_wrap=True, highlight=False)
    return report


def figures_file(folder: Path, checkpoint: Path | None, dataset: str | None = None) -> Path:
    """Returns the JSON file with the measured values of a run.

    Args:
        folder: Run folder.
        checkpoint: Checkpoint of the run; None for the untrained network of its config.
        dataset: Name of the data set; None for that of the config.
    """
    path = folder / (UNTRAINED_FILE if checkpoint is None else COUPLING_FILE)
    if dataset is None:
        return path
    return path.with_stem(f'{path.stem}-{re.sub(r"[^A-Za-z0-9]+", "-", dataset).strip("-")}')


def is_measured(path: Path, config: Config, checkpoint: Path | None, cell: int | None = None) -> bool:
    """Returns whether a file in a run folder holds the measured values of a network of this run.

    Args:
        path: File, as returned by `figures_file`.
        config: Config of the run.
        checkpoint: Checkpoint of the run; None for the untrained network.
        cell: Side in pixels of the patch cells; None for any.

    Returns:
        False if the config, the checkpoint or the cells differ, or if a layer or network was measured that differs from
        the config (`--layer`, `--measured`).
    """
    facts = dict(made_from=made_from(config, checkpoint), layer=None, measured=None)
    return cached_coupling(path, **facts, **({} if cell is None else dict(cell=cell))) is not None


def made_from(config: Config | None, checkpoint: Path | None) -> dict[str, str]:
    """Returns the SHA-256 of the text of a network's `config` and of its `checkpoint`, as far as it has them."""
    found = dict(
        config=config and config.text and digest_of_bytes(config.text.encode()),
        checkpoint=checkpoint and digest_of_file(checkpoint),
    )
    return {role: digest for role, digest in found.items() if digest}
