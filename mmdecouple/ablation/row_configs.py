"""Config files for all rows of a table at full scale, so that `mim train mmdecouple` finds every row."""

import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdecouple.utils.configs import configs_folder
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text

from .resolve import check_scale, resolve
from .table import Row, Table

_SCALE = 'full'
_WIDTH = 120


def write_configs(table: Table) -> list[Path]:
    """Writes `configs/ablations/TABLE/TABLE_GROUP_ROW.py` for every row, and removes configs of former rows.

    Returns:
        Paths of the configs.

    Raises:
        UserError: The table has no full scale, an override fits no key, or two rows have the same file name.
    """
    folder = configs_folder() / 'ablations' / table.name
    texts = config_texts(table)
    for name, text in texts.items():
        write_text(folder / name, text)
    for path in folder.glob('*.py'):
        if path.name not in texts:
            path.unlink()
    return [folder / name for name in texts]


def config_texts(table: Table) -> dict[str, str]:
    """Returns a dict that maps file names to the text of the configs: header, base and overrides.

    Raises:
        UserError: See `write_configs`.
    """
    check_scale(table, _SCALE)
    texts = {}
    for row in table.rows:
        for setting in row.settings:
            if _SCALE in row.bases and not row.untrained:
                parts = [table.name, row.group, row.name, *([setting] if len(table.settings) > 1 else [])]
                name = '_'.join(re.sub(r'[^a-z0-9.]+', '-', part.lower()).strip('-') for part in parts) + '.py'
                if name in texts:
                    raise UserError(f'{row.label}: another row is also written to {name}; rename one of them.')
                texts[name] = _text(table, row, setting)
    return texts


def _text(table: Table, row: Row, setting: str) -> str:
    published = ', '.join(f'{column} {value:g}' for column, value in row.published.items())
    header = (
        f'{table.title}: {row.label}{f", {setting}" if setting else ""} ({table.source}). '
        + (f'Published: {published}. ' if published else '')
        + 'Not yet run here. '
        + (f'Weights come from the row {" and ".join(row.after)}. ' if row.after else '')
        + f'Written by `tools/ablate.py {table.name} --write-configs` from ../{table.name}.yml.'
    )
    lines, line = [], '#'
    for word in header.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = '#'
        line += f' {word}'
    head = '\n'.join([*lines, line, f"_base_ = ['../../{row.bases[_SCALE]}']"]) + '\n'
    changes = _changes(row, setting)
    return head + (Config(changes).pretty_text if changes else '')


def _changes(row: Row, setting: str) -> dict[str, Any]:
    """Returns the overrides as nested blocks, with whole lists, as inheritance replaces lists."""
    merged, changes = resolve(row, setting, _SCALE)._cfg_dict.to_dict(), {}
    for path, value in row.options[setting, _SCALE].items():
        parts, node = path.split('.'), merged
        for place, part in enumerate(parts):
            if isinstance(node, (list, tuple)):
                parts, value = parts[:place], node
                break
            node = node.get(part)
        target = changes
        for part in parts[:-1]:
            target = target.setdefault(part, {})
        target[parts[-1]] = value
    return changes
