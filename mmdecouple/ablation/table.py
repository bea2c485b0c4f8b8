"""Ablation tables, which are defined in `configs/ablations/NAME.yml`.

A table names runs of existing configs and what differs between them:

```yaml
title: Mask type of the de-coupling branch
source: paper, Tables 4 and 10
columns: [OKNN, CR inter, CR intra]        # labels of metrics; published values are shown beside measured ones
imports: [my_measure]                      # optional: modules with additional measures
seeds: [0, 1, 2]                           # optional; default [0]
measured:                                  # optional: data to measure on; default: the probes of the configs
  CamVid: {data: 'camvid:data/camvid', size: 448, measures: [{type: OKNN}, {type: LinearSegmentation}]}
image_intervals: true                      # optional: differences of each seed with intervals over images
contrasts: [[RCC, Cutout]]                 # optional: additional differences, in groups with both rows
settings:                                  # optional: every row runs in each of them
  cooccurrence: {}
  none: {demo: {train_dataloader.dataset.scenes.cooccurrence: 0.0}}
groups:                                    # one per base method
  iBOT:
    base: {full: ibot/ibot-d_vit-s16_8x64-200e_coco.py, demo: demo/ibot-d_vit-demo_scenes.py}
    reference: base                        # optional: row with which others are compared; default `base`
    rows:
      RCC: {}
      Cutout:
        options: {model.decoupling.mask: {_delete_: true, type: Cutout, cut_ratio: [0.3, 0.5]}}
        published: {OKNN: 67.7, CR inter: 1.26}
      base: {base: {full: ibot/ibot_vit-s16_8x64-200e_coco.py, demo: demo/ibot_vit-demo_scenes.py}}
      untrained: {untrained: true}         # the untrained network, which is only measured
      taught: {after: {iBOT/base: model.teacher.checkpoint}}   # last checkpoint of that row with the same seed
      short: {settings: [cooccurrence], full: {train_cfg.max_epochs: 100}, demo: {train_cfg.max_epochs: 3}}
```

Overrides are dotted keys, with list positions as numbers (`param_scheduler.1.end`). They may stand under `options`
(both scales), `full` and `demo` of the table, a setting, a group and a row; later entries of this list take
precedence. Columns of `measured` data are named `CamVid: OKNN`. A base is a path below `configs/`; a row without a base
for a scale is omitted at that scale.
"""

from dataclasses import dataclass, field
from typing import Any

SCALES = ('full', 'demo')
Options = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of a table, which is trained with every seed in each of its settings.

    Attributes:
        group: Base method to which the row belongs.
        name: Name of the row, unique in its group.
        bases: Scale -> config, as a path below `configs/`.
        options: (setting, scale) -> overrides with dotted keys.
        published: Column -> published value.
        after: `group/row` -> config key that is set to the last checkpoint of that row's run with the same seed and
            setting.
        untrained: Whether to measure the untrained network.
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
        """Label `group/row`, with which other rows refer to this row."""
        return f'{self.group}/{self.name}'

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings of the row, in the order of the table."""
        return tuple(dict.fromkeys(setting for setting, _ in self.options))


@dataclass(frozen=True)
class Table:
    """Ablation table.

    Attributes:
        name: Name of its file, without suffix.
        title: Heading.
        source: Source of the published values.
        columns: Keys of `columns(measured)`.
        seeds: Seeds of the runs.
        settings: Names of the settings; a table without settings has the single setting ''.
        rows: Rows of all groups.
        references: Group -> name of the row with which the others are compared.
        contrasts: Additional pairs of row names to compare, the first minus the second.
        measured: Name of data -> block with `data`, `measures` and optionally `size` and `cell`; empty for the probes
            of the configs.
        image_intervals: Whether differences of single seeds are shown with intervals over images.
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
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    image_intervals: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """Base methods, in the order of the rows."""
        return tuple(dict.fromkeys(row.group for row in self.rows))

    def row(self, label: str) -> Row:
        """Returns the row with the label `group/row`."""
        return next(row for row in self.rows if row.label == label)

    def rows_of(self, group: str, setting: str, scale: str) -> list[Row]:
        """Returns the rows of a group that exist in a setting at a scale."""
        return [row for row in self.rows if row.group == group and setting in row.settings and scale in row.bases]

    def compared(self, group: str, setting: str, scale: str) -> list[tuple[str, str]]:
        """Returns the pairs of rows whose difference is shown: every row and the reference, then the contrasts."""
        names = [row.name for row in self.rows_of(group, setting, scale)]
        reference = self.references.get(group)
        pairs = [(name, reference) for name in names if reference in names and name != reference]
        return list(dict.fromkeys([*pairs, *(pair for pair in self.contrasts if {*pair} <= {*names})]))
