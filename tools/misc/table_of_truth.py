"""Writes docs/table_of_truth.md: every method and config, its published numbers, and ours next to them.

    python tools/misc/table_of_truth.py            # write it
    python tools/misc/table_of_truth.py --check    # exit with 1 if it is out of date, or if two files disagree

Published numbers come from configs/*/metafile.yml and from the tables in configs/ablations/, ours from the files in
docs/results/: copies of what the commands transfer (results.jsonl), coupling and segment (JSON) and ablate (rows.jsonl)
wrote. The check also compares the published numbers in the headers of configs, in the READMEs and in the ablations with
the metafiles.
"""

import sys

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.table_of_truth.document import OUT, document
from mmdecouple.table_of_truth.published import ROOT, disagreements, read_entries
from mmdecouple.utils.files import write_text


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 if anything disagrees')
    return parser


def main() -> None:
    args = parser().parse_args()
    with program():
        wrong, (text, left_out) = disagreements(read_entries()), document()
        if not args.check:
            write_text(OUT, text)
            print(f'Wrote {OUT.relative_to(ROOT)}.')
        elif not OUT.is_file() or OUT.read_text() != text:
            wrong.append(f'{OUT.relative_to(ROOT)} is out of date; run python tools/misc/table_of_truth.py.')
    for line in left_out:
        print(line)
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == '__main__':
    main()
