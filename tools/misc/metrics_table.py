"""Writes the tables of all metrics into the docs, from the `MetricSpec`s of the measures."""

import re
from pathlib import Path

from mmdecouple.evaluation.measures.catalog import markdown_table
from mmdecouple.evaluation.segmentation.catalog import segmentation_table
from mmdecouple.utils.files import write_bytes

DOCS = Path(__file__).resolve().parents[2] / 'docs'
PAGES = {'measuring_coupling.md': markdown_table, 'segmentation.md': segmentation_table}
BEGIN, END = '<!-- metrics: written by tools/misc/metrics_table.py -->\n', '<!-- end of metrics -->\n'


def main() -> None:
    for name, table in PAGES.items():
        new = f'{BEGIN}{table()}{END}'
        text = re.sub(f'{BEGIN}.*{END}', lambda _, new=new: new, (DOCS / name).read_text(), flags=re.DOTALL)
        write_bytes(DOCS / name, text.encode())


if __name__ == '__main__':
    main()
