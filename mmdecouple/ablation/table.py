"""The table behind an ablation: `configs/ablations/NAME.yml`, read and checked whole.

A table names runs of existing configs and what differs between them:

```yaml
title: Mask type of the de-coupling branch
source: paper, Tables 4 and 10
columns: [OKNN, CR inter, CR intra]        # of COLUMNS; the paper's figure is shown beside ours
seeds: [0, 1, 2]                           # optional; [0] if left out
contrasts: [[RCC, Cutout]]                 # optional: more differences to show, in groups that have both rows
settings:                                  # optional: every row runs in each of them
  cooccurrence: {}
  none: {demo: {train_dataloader.dataset.scenes.cooccurrence: 0.0}}
groups:                                    # one a base method
  iBOT:
    base: {full: ibot/ibot-d_vit-s16_8x64-200e_coco.py, demo: demo/ibot-d_vit-demo_scenes.py}
    reference: base                        # optional: the row that the others are compared with; `base` if there is one
    rows:
      RCC: {}
      Cutout:
        options: {model.decoupling.mask: {_delete_: true, type: Cutout, cut_ratio: [0.3, 0.5]}}
        published: {OKNN: 67.7, CR inter: 1.26}
      base: {base: {full: ibot/ibot_vit-s16_8x64-200e_coco.py, demo: demo/ibot_vit-demo_scenes.py}}
      untrained: {untrained: true}         # the network as it is initialized, measured only
      taught: {after: {iBOT/base: model.teacher.checkpoint}}   # that key is the last checkpoint of that row, same seed
      short: {settings: [cooccurrence], full: {train_cfg.max_epochs: 100}, demo: {train_cfg.max_epochs: 3}}
```

Overrides are dotted keys, with list positions as numbers (`param_scheduler.1.end`). They may stand under `options`
(both scales), `full` and `demo` of the table, a setting, a group and a row; what stands later in this list wins. A
base is a path below `configs/`; a row without one for a scale does not take part at that scale.
"""
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from mmdecouple.utils.configs import configs_folder
from mmdecouple.utils.errors import MissingFile, UserError

from .columns import COLUMNS

SCALES = ('full', 'demo')
REFERENCE = 'base'
_OVERRIDES = ('options', *SCALES)
_KEYS = {
    'table': ('title', 'source', 'columns', 'seeds', 'contrasts', 'settings', 'groups', *_OVERRIDES),
    'setting': _OVERRIDES,
    'group': ('base', 'reference', 'rows', *_OVERRIDES),
    'row': ('base', 'published', 'after', 'untrained', 'settings', *_OVERRIDES),
}

Options = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of a table, to be trained from every seed in each of its settings.

    Attributes:
        group: Base method that it belongs to.
        name: Of the row, unique in its group.
        bases: Scale -> config, as a path below `configs/`.
        options: (setting, scale) -> overrides with dotted keys.
        published: Column -> the paper's figure.
        after: `group/row` -> config key that takes the last checkpoint of that row's run of the same seed and setting.
        untrained: Whether the network is measured as it is initialized.
    """

    group: str
    name: str
    bases: dict[str, str]
    options: dict[tuple[str, str], Options]
    published: dict[str, float]
    after: dict[str, str]
    untrained: bool

    @property
    def label(self) -> str:
        """`group/row`, by which other rows name this one."""
        return f'{self.group}/{self.name}'

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings it runs in, in the table's order."""
        return tuple(dict.fromkeys(setting for setting, _ in self.options))


@dataclass(frozen=True)
class Table:
    """A whole table.

    Attributes:
        name: Of its file.
        title: Heading.
        source: Where the published figures stand.
        columns: Of `COLUMNS`.
        seeds: Seeds of the runs.
        settings: In their order; a table without has one, ''.
        rows: All groups' rows, in their order.
        references: Group -> name of the row that its others are compared with.
        contrasts: Pairs of row names that are compared too, the first minus the second.
    """

    name: str
    title: str
    source: str
    columns: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: tuple[str, ...]
    rows: tuple[Row, ...]
    references: dict[str, str]
    contrasts: tuple[tuple[str, str], ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Base methods, in their order."""
        return tuple(dict.fromkeys(row.group for row in self.rows))

    def row(self, label: str) -> Row:
        """The row `group/row`."""
        return next(row for row in self.rows if row.label == label)

    def rows_of(self, group: str, setting: str, scale: str) -> list[Row]:
        """Rows of a group that run in a setting at a scale."""
        return [row for row in self.rows if row.group == group and setting in row.settings and scale in row.bases]

    def compared(self, group: str, setting: str, scale: str) -> list[tuple[str, str]]:
        """Pairs of rows whose difference is shown: every row and the reference, then the contrasts."""
        names = [row.name for row in self.rows_of(group, setting, scale)]
        reference = self.references.get(group)
        pairs = [(name, reference) for name in names if reference in names and name != reference]
        return list(dict.fromkeys([*pairs, *(pair for pair in self.contrasts if {*pair} <= {*names})]))


def table_names() -> list[str]:
    """Names of the tables that there are."""
    return sorted(path.stem for path in (configs_folder() / 'ablations').glob('*.yml'))


def read_table(word: str) -> Table:
    """Read and check a table; what its options say is checked against the configs by `resolve`.

    Args:
        word: Name of a table in `configs/ablations/`, or a YAML file.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: Something in it is unknown or missing; the line says where.
    """
    path = Path(word) if word.endswith(('.yml', '.yaml')) else configs_folder() / 'ablations' / f'{word}.yml'
    if not path.is_file():
        raise MissingFile(f'There is no table {word}; there are {", ".join(table_names())}, or give a .yml file.')
    try:
        content = yaml.load(path.read_text(encoding='utf-8'), _UniqueKeys)
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
            raise UserError(f'{key} is missing.')
    columns = tuple(_list(content['columns'], 'columns'))
    for column in columns:
        _one_of(column, COLUMNS, 'columns')
    seeds = tuple(_list(content.get('seeds', [0]), 'seeds'))
    if not seeds or len(set(seeds)) < len(seeds) or any(type(seed) is not int or seed < 0 for seed in seeds):
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
            raise UserError(f'{where}.rows is missing.')
        rows += [_row(group, key, row, block, content, settings, columns) for key, row in blocks.items()]
        if 'reference' in block:
            _one_of(block['reference'], blocks, f'{where}.reference')
        if 'reference' in block or REFERENCE in blocks:
            references[group] = block.get('reference', REFERENCE)
    contrasts = []
    for pair in _list(content.get('contrasts', []), 'contrasts'):
        if len(set(_list(pair, 'contrasts'))) != 2:
            raise UserError(f'contrasts: each must be two rows, got {pair}.')
        for word in pair:
            _one_of(word, {row.name for row in rows}, 'contrasts')
        contrasts.append(tuple(pair))
    table = Table(name, content['title'], content['source'], columns, seeds, tuple(settings), tuple(rows), references,
                  tuple(contrasts))
    for row in rows:
        _check_dependencies(row, table)
    return table


def _row(group: str, name: str, block: Any, group_block: dict, table: dict, settings: dict,
         columns: tuple[str, ...]) -> Row:
    where = f'groups.{group}.rows.{name}'
    _known(block, 'row', where)
    bases = {**_mapping(group_block.get('base') or {}, f'groups.{group}.base'),
             **_mapping(block.get('base') or {}, f'{where}.base')}
    if not bases:
        raise UserError(f'{where}: no base, neither here nor in the group.')
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
        (setting, scale): {key: value for part in parts
                           for key, value in _overrides(settings[setting] if part is None else part, scale)}
        for setting in settings if setting in block.get('settings', settings) for scale in bases
    }
    after = _mapping(block.get('after') or {}, f'{where}.after')
    for label, key in after.items():
        if not isinstance(key, str):
            raise UserError(f'{where}.after.{label} must be a config key, got {key!r}.')
    return Row(group, name, bases, options, published, after, bool(block.get('untrained', False)))


def _overrides(block: Mapping, scale: str) -> Iterable[tuple[str, Any]]:
    for key in ('options', scale):
        yield from (block.get(key) or {}).items()


def _check_dependencies(row: Row, table: Table, seen: tuple[str, ...] = ()) -> None:
    labels = [other.label for other in table.rows]
    if row.label in seen:
        raise UserError(f'{" after ".join([*seen, row.label])}: rows wait for each other (after).')
    for label in row.after:
        where = f'groups.{row.group}.rows.{row.name}.after'
        _one_of(label, labels, where)
        other = table.row(label)
        if other.untrained:
            raise UserError(f'{where}: {label} is not trained and leaves no checkpoint.')
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
        raise UserError(f'{where} must be a mapping with words as keys, got {value!r}.')
    return value


def _list(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise UserError(f'{where} must be a list, got {value!r}.')
    return value


def _one_of(word: Any, known: Iterable[str], where: str) -> None:
    known = list(known)
    if word not in known:
        close = get_close_matches(str(word), known, n=3, cutoff=0.5) or known[:12]
        raise UserError(f'{where}: {word!r} is unknown; known are {", ".join(filter(None, close)) or "none"}.')


class _UniqueKeys(yaml.SafeLoader):
    """A loader to which a key that stands twice is a mistake, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if key.tag != 'tag:yaml.org,2002:merge']
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f'{key!r} stands twice', node.start_mark)
        return super().construct_mapping(node, deep)
