"""Record of the choices in a run folder, with which the same command continues the run."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json, write_text

from .choose import Choice, Chosen, Request

FOLDER, _CHOICES = 'chosen', 'choices.json'


@dataclass(frozen=True)
class Record:
    """Choices of a run.

    Attributes:
        config: File of the complete config.
        choices: Table of choices.
        seconds: Expected duration.
        date: Time at which they were chosen; None if that was now.
    """

    config: Path
    choices: list[Choice]
    seconds: float
    date: str | None = None

    def show(self, console: Console) -> None:
        """Prints the table."""
        made = f' on {self.date}' if self.date else ''
        table = Table(title=f'Chosen{made}: {self.config}', title_justify='left', box=None, pad_edge=False)
        table.add_column('')
        table.add_column('', style='bold', overflow='fold')
        table.add_column('why', overflow='fold')
        for choice in self.choices:
            table.add_row(*choice)
        console.print(table)


def write_record(out: Path, request: Request, chosen: Chosen) -> Record:
    """Writes the config, which other configs can inherit, and the choices.

    Args:
        out: Run folder.
        request: What the user asks for.
        chosen: The choices.
    """
    config = out / FOLDER / f'{chosen.name}.py'
    header = [f'# {choice.name}: {choice.value} ({choice.reason})' for choice in chosen.choices]
    write_text(config, '\n'.join([*header, chosen.config.pretty_text, '']))
    content = dict(
        request=_asked(request),
        config=config.name,
        choices=chosen.choices,
        seconds=round(chosen.seconds, 1),
        date=time.strftime('%Y-%m-%d %H:%M'),
    )
    # Written last: without it, the folder has no choices.
    write_json(out / FOLDER / _CHOICES, content, indent=1)
    return Record(config, chosen.choices, chosen.seconds)


def read_record(out: Path, request: Request) -> Record | None:
    """Returns the recorded choices of a run folder; None for a folder without.

    Args:
        out: Run folder.
        request: What the user asks for.

    Raises:
        UserError: The folder holds a run of another command, or the record is damaged.
    """
    path = out / FOLDER / _CHOICES
    if not path.is_file():
        if any(out.glob('*.pth')):
            raise UserError(f'{out} holds checkpoints of another run; choose another folder (--out).')
        return None
    try:
        content = json.loads(path.read_text())
        found = content['request']
        record = Record(
            out / FOLDER / Path(content['config']).name,
            [Choice(*map(str, choice)) for choice in content['choices']],
            float(content['seconds']),
            str(content['date']),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error}); choose another folder (--out), or remove it.') from error
    now = _asked(request)
    changed = [key for key in now if found.get(key) != now[key]]
    if changed:
        raise UserError(
            f'{out} holds a run with another --{changed[0].replace("_", "-")} ({found.get(changed[0])}, now '
            f'{now[changed[0]]}); choose another folder (--out).'
        )
    return record


def _asked(request: Request) -> dict[str, Any]:
    """Returns what a user asks for by the names of the options, as JSON would return it."""
    facts = dict(
        method=request.method.name,
        data=str(request.data),
        weights=request.weights,
        minutes=request.minutes,
        epochs=request.epochs,
        seed=request.seed,
        cfg_options=request.options,
    )
    return json.loads(json.dumps(facts, default=str))
