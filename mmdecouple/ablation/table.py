"""The table behind an ablation: `configs/ablations/NAME.yml`.

A table names runs of existing configs and what differs between them:

```yaml
title: Mask type of the de-coupling branch
source: paper, Tables 4 and 10
columns: [OKNN, CR inter, CR intra]        # labels of metrics; the paper's figure is shown beside ours
imports: [my_measure]                      # optional: modules with measures of your own
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

from dataclasses import dataclass
from typing import Any

SCALES = ('full', 'demo')
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
        columns: Names of `ablation.columns.columns`.
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
