"""Writes docs/model_table.md: what each pre-training config trains, and what a step and the whole run cost.

    python tools/misc/model_table.py            # write it, in about two minutes
    python tools/misc/model_table.py --check    # exit with 1 if it is out of date

Parameters, operations and memory are computed from shapes (`mmdecouple.engine.step_cost`); hours are those that the
headers of the configs quote.
"""

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mmengine.config import Config

from mmdecouple.commands import options
from mmdecouple.engine.step_cost import StepCost, step_cost
from mmdecouple.runs.startup import program
from mmdecouple.table_of_truth.published import ROOT, Entry, read_entries
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.files import write_text

OUT = ROOT / 'docs' / 'model_table.md'
BEGIN, END = '<!-- table: written by tools/misc/model_table.py -->\n', '<!-- end of table -->\n'
_HEADS = (
    'config',
    'network',
    'GPUs x images',
    'epochs',
    'parameters, M',
    'GFLOP per image',
    'EFLOP of the run',
    'GiB per GPU',
    'hours, published',
)
# Images of the training split that the last part of a file name refers to.
_IMAGES = {'coco-5pct': 5_914, 'coco': 118_287, 'in1k': 1_281_167}
_READ = 'model', 'optim_wrapper', 'train_dataloader', 'model_wrapper_cfg'
_GIB = 2**30


def document() -> str:
    """Returns the page with its tables written anew."""
    lines: list[str] = []
    for folder in dict.fromkeys(Path(entry.path).parent.name for entry in read_entries()):
        entries = [entry for entry in read_entries() if Path(entry.path).parent.name == folder]
        lines += ['', f'## {(ROOT / "configs" / folder / "README.md").read_text().splitlines()[0].lstrip("# ")}', '']
        lines += [_line(_HEADS), _line(['---'] * len(_HEADS)), *(_line(row(entry)) for entry in entries)]
    table = BEGIN + '\n'.join(lines[1:]) + '\n\n' + END
    return re.sub(f'{BEGIN}.*{END}', lambda _: table, OUT.read_text(), flags=re.DOTALL)


def row(entry: Entry) -> list[str]:
    """Returns the cells of a config."""
    path = ROOT / entry.path
    config = load_config(str(path))
    network, gpus = re.search(r'_(r\d+|vit-[a-z]+\d+)[a-z\d-]*_(\d+)xb?', path.stem).groups()
    read = {key: config[key] for key in _READ if key in config}
    cost = _cost(Config(read).dump(), int(gpus))
    run = cost.flop * _IMAGES[re.search('|'.join(_IMAGES), path.stem)[0]] * entry.epochs
    return [
        f'[{path.stem}](../{entry.path})',
        _network(network),
        f'{gpus} x {config.train_dataloader.batch_size}',
        str(entry.epochs),
        f'{cost.parameters / 1e6:.1f}',
        _digits(cost.flop / 1e9),
        _digits(run / 1e18),
        f'{sum(cost.memory.values()) / _GIB:.1f}',
        _hours(path.read_text()),
    ]


@cache
def _cost(text: str, processes: int) -> StepCost:
    """Returns the cost of a step; configs that differ in their schedule only are computed once."""
    return step_cost(Config.fromstring(text, '.py'), processes)


def _network(name: str) -> str:
    """Returns the usual name of a network: `r50` is ResNet-50, `vit-s16` ViT-S/16 and `vit-g14` ViT-g/14."""
    if name.startswith('r'):
        return f'ResNet-{name[1:]}'
    letter, side = re.fullmatch(r'vit-([a-z])(\d+)', name).groups()
    return f'ViT-{letter if letter == "g" else letter.upper()}/{side}'


def _digits(value: float) -> str:
    """Returns a number with three significant digits."""
    return f'{float(f"{value:.3g}"):,g}'


def _hours(text: str) -> str:
    """Returns the sentence of a header that gives hours."""
    header = ' '.join(line[1:].strip() for line in re.match(r'(#.*\n)*', text)[0].splitlines())
    found = re.search(r'(?:[A-Z][a-z ]+: |\. )?([^.:]*\d+ h on [^.:]*)', header)
    return found[1].strip() if found else ''


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def main() -> None:
    parser = options.Parser(__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 if the page is out of date')
    args = parser.parse_args()
    with program():
        text = document()
        if not args.check:
            write_text(OUT, text)
            print(f'Wrote {OUT.relative_to(ROOT)}.')
        elif OUT.read_text() != text:
            sys.exit(f'{OUT.relative_to(ROOT)} is out of date; run python tools/misc/model_table.py.')


if __name__ == '__main__':
    main()
