"""Writes the table of all metrics to docs/measuring_coupling.md, from the `MetricSpec`s of the measures."""

import re
from pathlib import Path

from mmdecouple.evaluation.measures.catalog import markdown_table
from mmdecouple.utils.files import write_bytes

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'measuring_coupling.md'
BEGIN, END = '<!-- metrics: written by tools/misc/metrics_table.py -->\n', '<!-- end of metrics -->\n'


def main() -> None:
    text = re.sub(f'{BEGIN}.*{END}', lambda _: f'{BEGIN}{markdown_table()}{END}', PAGE.read_text(), flags=re.DOTALL)
    write_bytes(PAGE, text.encode())


if __name__ == '__main__':
    main()
