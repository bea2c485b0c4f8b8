"""From run folders to the report: find what each run left, measure what is missing, draw, write."""

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
    """Write the report of some run folders, measuring first what was not measured yet.

    Args:
        folders (Sequence[Path]): Run folders.
        names (Sequence[str]): Their names, as many.
        out (Path): Folder of the report.
        measure (Measurer): Called as (specification of a network, JSON to write).
        dataset (str | None): Name of the data set that `measure` uses; figures of each are kept
            apart. None = the one that the config says.
        cell (int | None): Side in pixels of the patch cells that `measure` uses; None = the config's.
        untrained (bool): Whether to add the untrained network of the first run's config.
        remeasure (bool): Whether to ignore figures measured before.
        allow_pickle (bool): Whether to trust the checkpoints, as `open_network` does.
        title (str): Heading of the report.
        notes (Sequence[str]): Remarks on this comparison.
        console (Console | None): Where the short table goes; default: the terminal.

    Returns:
        Path: The report.

    Raises:
        FileNotFoundError: A folder lacks its config, checkpoint or losses.
        ValueError: Names do not fit, or runs were measured on different draws.
    """
    console = console or Console()
    if len(names) != len(folders):
        raise UserError(f'{len(names)} names for {len(folders)} runs; give one name a run.')

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
    """Return where the figures of a run (or of the untrained network of its config) are kept."""
    path = folder / (UNTRAINED_FILE if checkpoint is None else COUPLING_FILE)
    if dataset is None:
        return path
    return path.with_stem(f'{path.stem}-{re.sub(r"[^A-Za-z0-9]+", "-", dataset).strip("-")}')


def is_measured(path: Path, config: Config, checkpoint: Path | None, cell: int | None = None) -> bool:
    """Tell whether a file in a run folder holds the figures of a network of this run.

    Args:
        path (Path): As `figures_file` gives it.
        config (Config): The config of the run.
        checkpoint (Path | None): A checkpoint of the run; None for the untrained network.
        cell (int | None): Side in pixels of the patch cells to measure with; None for any.

    Returns:
        bool: False if the config or the checkpoint had another content, or the cells another size, or if another
            layer or network was read than the config says (`--layer`, `--measured`).
    """
    facts = dict(made_from=made_from(config, checkpoint), layer=None, measured=None)
    return cached_coupling(path, **facts, **({} if cell is None else dict(cell=cell))) is not None


def made_from(config: Config | None, checkpoint: Path | None) -> dict[str, str]:
    """Return the SHA-256 of what a network comes from: of the text of its `config`, of its `checkpoint`."""
    found = dict(
        config=config and config.text and digest_of_bytes(config.text.encode()),
        checkpoint=checkpoint and digest_of_file(checkpoint),
    )
    return {role: digest for role, digest in found.items() if digest}
