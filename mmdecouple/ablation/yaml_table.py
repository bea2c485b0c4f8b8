"""Reading of the YAML file of a table, which is checked completely before anything runs."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from mmengine.utils import import_modules_from_strings

from mmdecouple.evaluation.measures.catalog import measure_types
from mmdecouple.evaluation.segmentation.catalog import segmentation_types
from mmdecouple.registry import MEASURES
from mmdecouple.utils.configs import configs_folder
from mmdecouple.utils.data_spec import LABELS, MEASURED, read_spec
from mmdecouple.utils.errors import MissingFile, UserError

from .columns import columns as known_columns
from .table import SCALES, Row, Table

REFERENCE = 'base'
_OVERRIDES = ('options', *SCALES)
_KEYS = {
    'table': (
        'title',
        'source',
        'columns',
        'imports',
        'seeds',
        'measured',
        'image_intervals',
        'contrasts',
        'settings',
        'groups',
        *_OVERRIDES,
    ),
    'measured': ('data', 'size', 'cell', 'measures'),
    'setting': _OVERRIDES,
    'group': ('base', 'reference', 'rows', *_OVERRIDES),
    'row': ('base', 'published', 'after', 'untrained', 'settings', *_OVERRIDES),
}


def table_names() -> list[str]:
    """Returns the names of all tables in `configs/ablations/`."""
    return sorted(path.stem for path in (configs_folder() / 'ablations').glob('*.yml'))


def read_table(name: str) -> Table:
    """Reads and checks a table; `resolve` checks its overrides against the configs.

    Args:
        name: Name of a table in `configs/ablations/`, or path of a YAML file.

    Raises:
        MissingFile: The table does not exist.
        UserError: An entry is unknown or missing; the message names its place.
    """
    path = Path(name) if name.endswith(('.yml', '.yaml')) else configs_folder() / 'ablations' / f'{name}.yml'
    if not path.is_file():
        raise MissingFile(
            f'The table {name} does not exist; choose from {", ".join(table_names())}, or name a .yml file.'
        )
    try:
        content = yaml.load(path.read_text(encoding='utf-8'), _UniqueKeys)
    except UnicodeDecodeError as error:
        raise UserError(
            f'{path}: not a text file in UTF-8 ({error.reason} at byte {error.start}); save it as such.'
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f'{path}: not valid YAML: {" ".join(str(error).split())}.') from error
    try:
        return _table(path.stem, content)
    except ValueError as error:
        raise UserError(f'{path}: {error}') from error


def _table(name: str, content: Any) -> Table:
    _known(content, 'table', '')
    for key in ('title', 'source', 'columns', 'groups'):
        if not content.get(key):
            raise UserError(f'{key} is missing; add it to the table.')
    _import(_list(content.get('imports', []), 'imports'))
    measured = _measured(content.get('measured') or {})
    columns, known = tuple(_list(content['columns'], 'columns')), known_columns(measured)
    for column in columns:
        _one_of(column, known, 'columns')
    seeds = tuple(_list(content.get('seeds', [0]), 'seeds'))
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f'seeds must be different whole numbers >= 0, got {list(seeds)}.')
    settings = _mapping(content.get('settings') or {'': {}}, 'settings')
    for key, setting in settings.items():
        _known(setting, 'setting', f'settings.{key}')
    rows, references = [], {}
    for group, block in _mapping(content['groups'], 'groups').items():
        where = f'groups.{group}'
        _known(block, 'group', where)
        blocks = _mapping(block.get('rows') or {}, f'{where}.rows')
        if not blocks:
            raise UserError(f'{where}.rows is missing; add at least one row.')
        rows += [_row(group, key, row, block, content, settings, columns) for key, row in blocks.items()]
        if 'reference' in block:
            _one_of(block['reference'], blocks, f'{where}.reference')
        if 'reference' in block or REFERENCE in blocks:
            references[group] = block.get('reference', REFERENCE)
    table = Table(
        name,
        content['title'],
        content['source'],
        columns,
        seeds,
        tuple(settings),
        tuple(rows),
        references,
        _contrasts(content.get('contrasts', []), {row.name for row in rows}),
        measured,
        _flag(content.get('image_intervals', False), 'image_intervals'),
    )
    for row in rows:
        _check_dependencies(row, table)
    return table


def _import(modules: list) -> None:
    try:
        import_modules_from_strings(modules)
    except (ImportError, TypeError) as error:
        raise UserError(f'imports: {error}; add the module to PYTHONPATH.') from error


def _contrasts(pairs: Any, names: set[str]) -> tuple[tuple[str, str], ...]:
    for pair in _list(pairs, 'contrasts'):
        if len(_list(pair, 'contrasts')) != 2 or not all(isinstance(name, str) for name in pair) or pair[0] == pair[1]:
            raise UserError(f'contrasts: each must be two rows, got {pair}.')
        for name in pair:
            _one_of(name, names, 'contrasts')
    return tuple(tuple(pair) for pair in pairs)


def _measured(blocks: Any) -> dict[str, dict[str, Any]]:
    for name, block in _mapping(blocks, 'measured').items():
        where = f'measured.{name}'
        _known(block, 'measured', where)
        for key in ('data', 'measures'):
            if not block.get(key):
                raise UserError(f'{where}.{key} is missing; add it.')
        try:
            spec = read_spec(str(block['data']), sorted({*MEASURED, *LABELS}))
        except UserError as error:
            raise UserError(f'{where}.data: {error}') from error
        for measure in _list(block['measures'], f'{where}.measures'):
            kind = _mapping(measure, f'{where}.measures').get('type')
            usable = [
                *(measure_types() if spec.kind in MEASURED else ()),
                *(segmentation_types() if spec.kind in LABELS else ()),
            ]
            _one_of(kind, usable, f'{where}.measures')
            try:
                MEASURES.build(measure)
            except (TypeError, UserError) as error:
                raise UserError(f'{where}.measures: {error}') from error
    return blocks


def _row(
    group: str, name: str, block: Any, group_block: dict, table: dict, settings: dict, columns: tuple[str, ...]
) -> Row:
    where = f'groups.{group}.rows.{name}'
    _known(block, 'row', where)
    bases = {
        **_mapping(group_block.get('base') or {}, f'groups.{group}.base'),
        **_mapping(block.get('base') or {}, f'{where}.base'),
    }
    if not bases:
        raise UserError(f'{where}: the row has no base; add one to the row or to its group.')
    for scale, base in bases.items():
        _one_of(scale, SCALES, f'{where}.base')
        if not (configs_folder() / str(base)).is_file():
            known = [str(path.relative_to(configs_folder())) for path in configs_folder().rglob('*.py')]
            _one_of(base, known, f'{where}.base.{scale}')
    published = _mapping(block.get('published') or {}, f'{where}.published')
    for column, value in published.items():
        _one_of(column, columns, f'{where}.published')
        if type(value) not in (int, float):
            raise UserError(f'{where}.published.{column} must be a number, got {value!r}.')
    for setting in _list(block.get('settings', []), f'{where}.settings'):
        _one_of(setting, settings, f'{where}.settings')
    parts = (table, None, group_block, block)
    options = {
        (setting, scale): {
            key: value
            for part in parts
            for key, value in _overrides(settings[setting] if part is None else part, scale)
        }
        for setting in settings
        if setting in block.get('settings', settings)
        for scale in bases
    }
    after = _mapping(block.get('after') or {}, f'{where}.after')
    for label, key in after.items():
        if not isinstance(key, str):
            raise UserError(f'{where}.after.{label} must be a config key, got {key!r}.')
    return Row(
        group, name, bases, options, published, after, _flag(block.get('untrained', False), f'{where}.untrained')
    )


def _overrides(block: Mapping, scale: str) -> Iterable[tuple[str, Any]]:
    for key in ('options', scale):
        yield from (block.get(key) or {}).items()


def _check_dependencies(row: Row, table: Table, seen: tuple[str, ...] = ()) -> None:
    labels = [other.label for other in table.rows]
    if row.label in seen:
        raise UserError(
            f'{" after ".join([*seen, row.label])}: rows depend on each other (after); remove a dependency.'
        )
    for label in row.after:
        where = f'groups.{row.group}.rows.{row.name}.after'
        _one_of(label, labels, where)
        other = table.row(label)
        if other.untrained:
            raise UserError(f'{where}: {label} is not trained and has no checkpoint; choose another row.')
        for setting in row.settings:
            _one_of(setting, other.settings, f'{where}.{label}: settings')
        for scale in row.bases:
            _one_of(scale, other.bases, f'{where}.{label}: base')
        _check_dependencies(other, table, (*seen, row.label))


def _known(block: Any, kind: str, where: str) -> None:
    for key in _mapping(block, where or 'the table'):
        _one_of(key, _KEYS[kind], where or 'the table')
    for key in _OVERRIDES:
        _mapping(block.get(key) or {}, f'{where}.{key}'.lstrip('.'))


def _mapping(value: Any, where: str) -> dict:
    if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
        raise UserError(f'{where} must be a mapping with strings as keys, got {value!r}.')
    return value


def _list(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise UserError(f'{where} must be a list, got {value!r}.')
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise UserError(f'{where} must be true or false, got {value!r}.')
    return value


def _one_of(value: Any, known: Iterable[str], where: str) -> None:
    known = list(known)
    if value not in known:
        close = get_close_matches(str(value), known, n=3, cutoff=0.5) or known[:12]
        raise UserError(f'{where}: {value!r} is unknown; known are {", ".join(filter(None, close)) or "none"}.')


class _UniqueKeys(yaml.SafeLoader):
    """Loader that refuses a key that occurs twice, instead of using its last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if key.tag != 'tag:yaml.org,2002:merge']
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f'{key!r} occurs twice', node.start_mark)
        return super().construct_mapping(node, deep)
