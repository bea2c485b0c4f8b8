"""A small table for the tests, and its parts to break."""

from pathlib import Path

TABLE = """
title: A small table
source: nobody
columns: [OKNN, CR inter]
seeds: [0, 1]
settings:
  plain: {}
  long: {options: {train_cfg.max_epochs: 20}, demo: {train_cfg.max_epochs: 9}}
groups:
  DenseCL:
    base: {full: densecl/densecl_r50_8xb32-200e_coco.py, demo: demo/densecl_resnet-demo_scenes.py}
    demo: {train_dataloader.dataset.num_images: 128}
    rows:
      base: {published: {OKNN: 72.5}}
      D:
        base: {full: densecl/densecl-d_r50_8xb32-200e_coco.py, demo: demo/densecl-d_resnet-demo_scenes.py}
        options: {model.decoupling.mask: {_delete_: true, type: Cutout, cut_ratio: [0.3, 0.5]}}
        published: {OKNN: 74.5, CR inter: 1.1}
      untrained: {untrained: true, settings: [plain]}
  MaskAlign:
    base: {demo: demo/maskalign_vit-demo_scenes.py}
    rows:
      taught:
        after: {iBOT/teacher: model.teacher.checkpoint}
        demo: {train_dataloader.dataset.scenes.cooccurrence: 0.0}
  iBOT:
    base: {demo: demo/ibot_vit-demo_scenes.py}
    reference: teacher
    rows:
      teacher: {}
      other: {demo: {param_scheduler.0.warmup: 2}}
"""


def write_table(folder: Path, *changes: tuple[str, str], name: str = 'small') -> str:
    """The table as a file, with pieces of its text replaced."""
    text = TABLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / f'{name}.yml'
    path.write_text(text)
    return str(path)
