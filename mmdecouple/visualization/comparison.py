"""Comparison of measured networks: the report, and the measured values that a run folder holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from mmdecouple.evaluation.headlines import remarks
from mmdecouple.networks.network import UNTRAINED as UNTRAINED_PREFIX
from mmdecouple.runs.contents import read_run
from mmdecouple.utils.digests import digest_of_bytes, digest_of_file

from .depth import DEPTH_CAPTION, Depth, depth_figure
from .findings import comparisons
from .pictures import model_pictures
from .report import Exhibit, write_report
from .runs import COUPLING_FILE, Run, cached_coupling, check_same_draws, read_coupling, read_scalars
from .terminal import short_table

UNTRAINED = 'Untrained'
UNTRAINED_FILE = 'untrained.json'


def compare(
    runs: Sequence[Run],
    out: Path,
    *,
    data: str | None = None,
    opening: Mapping[str, Any] | None = None,
    title: str = 'Coupling report',
    notes: Sequence[str] = (),
    depths: Sequence[Depth] = (),
    console: Console | None = None,
) -> Path:
    """Writes the report of measured networks, and prints a short table and the first sentence of the report.

    Args:
        runs: The networks, in the order of the report.
        out: Folder of the report.
        data: Specification of the data of the pictures, see `probe_config`; None for that of the first config.
        opening: Arguments of `open_network` for the pictures; None for its defaults.
        title: Heading of the report.
        notes: Remarks on this comparison.
        depths: Reports of every layer of the networks, for a figure against depth; empty for none.
        console: Console of the short table; None for a new one.

    Returns:
        Path of the report.

    Raises:
        UserError: Two networks have the same name, or networks were measured on different draws.
    """
    console = console or Console()
    check_same_draws(list(runs))
    pictures, missing = model_pictures(runs, data, opening)
    if depths:
        pictures = [
            Exhibit('depth', 'Overview', 'Headline measures by layer', DEPTH_CAPTION, depth_figure(depths)),
            *pictures,
        ]
    report = write_report(out, runs, pictures, title, notes)
    for line in missing:
        console.print(f'Left out of the report: {line}', style='yellow', highlight=False)
    console.print(short_table(runs))
    for line in remarks({run.name: run.coupling for run in runs}):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for found in comparisons(runs)[:1]:
        console.print(found.sentence(), soft_wrap=True, highlight=False, markup=False)
    console.print(f'Report: {report.resolve()}', soft_wrap=True, highlight=False)
    return report


def measured_runs(folders: Mapping[str, Path]) -> list[Run]:
    """Returns runs with the measured values in their folders, after the untrained network of the first run.

    Args:
        folders: Name -> run folder.

    Raises:
        MissingFile: A folder lacks its config, checkpoint, losses or measured values.
    """
    runs = []
    for name, folder in folders.items():
        checkpoint, config = read_run(folder)
        measured, scalars = read_coupling(figures_file(folder, checkpoint)), read_scalars(folder)
        runs.append(Run(name, measured, folder, config, checkpoint, str(checkpoint), scalars))
    first = runs[0]
    untrained = read_coupling(figures_file(first.folder, None))
    return [Run(UNTRAINED, untrained, config=first.config, network=f'{UNTRAINED_PREFIX}{first.checkpoint}'), *runs]


def figures_file(folder: Path, checkpoint: Path | None) -> Path:
    """Returns the JSON file in a run folder with the measured values of a checkpoint; None for the untrained network.

    Args:
        folder: Run folder.
        checkpoint: Checkpoint of the run.
    """
    return folder / (UNTRAINED_FILE if checkpoint is None else COUPLING_FILE)


def is_measured(path: Path, config: Config, checkpoint: Path | None) -> bool:
    """Returns whether a file in a run folder holds the measured values of a network of this run.

    Args:
        path: File, as returned by `figures_file`.
        config: Config of the run.
        checkpoint: Checkpoint of the run; None for the untrained network.

    Returns:
        False if the config or the checkpoint differs, or if a layer or network was measured that differs from the
        config (`--layer`, `--role`).
    """
    facts = dict(made_from=made_from(config, checkpoint), layer=None, measured=None)
    return cached_coupling(path, **facts) is not None


def made_from(config: Config | None, checkpoint: Path | None) -> dict[str, str]:
    """Returns the SHA-256 of the text of a network's `config` and of its `checkpoint`, as far as it has them."""
    found = dict(
        config=config and config.text and digest_of_bytes(config.text.encode()),
        checkpoint=checkpoint and digest_of_file(checkpoint),
    )
    return {role: digest for role, digest in found.items() if digest}
