"""The `mmdecouple` program: `mmdecouple COMMAND ...` runs the command of that name."""

import sys
from collections.abc import Sequence
from importlib import import_module

from mmdecouple.version import __version__

# Name -> module with `main(argv)`, and what the command does.
COMMANDS: dict[str, tuple[str, str]] = {
    'train': ('mmdecouple.commands.train', 'pre-train a network, with a config or without one'),
    'test': ('mmdecouple.commands.test', 'measure a trained network with the test data of its config'),
    'transfer': ('mmdecouple.commands.transfer', 'fine-tune a network on a downstream task'),
    'ablate': ('mmdecouple.commands.ablate', 'run a table of ablations'),
    'demo': ('mmdecouple.commands.demo', 'train, measure and compare small networks on built-in data'),
    'doctor': ('mmdecouple.commands.doctor', 'report what is installed and what works'),
    'config': ('mmdecouple.commands.config', 'print a config with all bases and overrides merged'),
    'coupling': ('mmdecouple.commands.coupling', 'measure the coupling of networks'),
    'compare': ('mmdecouple.commands.compare', 'measure networks and write a report of their comparison'),
    'affinity': ('mmdecouple.commands.affinity', 'draw the similarity of all positions to a point'),
    'lsc': ('mmdecouple.commands.lsc', 'draw the effect of the rest of an image on its windows'),
    'explore': ('mmdecouple.commands.explore', 'open a page of affinity maps, for points that you choose'),
    'segment': ('mmdecouple.commands.segment', 'segment with the frozen features of networks'),
    'card': ('mmdecouple.commands.card', 'write the protocol card of networks: all dense measures on one page'),
    'masks': ('mmdecouple.commands.masks', 'measure cut masks, and draw them'),
    'pack': ('mmdecouple.commands.pack', 'pack images into a few large files'),
    'proposals': ('mmdecouple.commands.proposals', 'compute box proposals, which SoCo needs'),
    'scenes': ('mmdecouple.commands.scenes', 'write built-in scenes as a data set'),
    'subset': ('mmdecouple.commands.subset', "list a few percent of COCO's training images"),
    'remove-position': ('mmdecouple.commands.remove_position', 'remove the place of a patch from features'),
    'convert': ('mmdecouple.commands.convert', 'convert a network for other projects, ONNX or Hugging Face'),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command, or prints the list of commands.

    Args:
        argv: Words after the name of the program; None for those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in ([], ['-h'], ['--help']):
        print(overview())
    elif words[0] == '--version':
        print(__version__)
    elif words[0] in COMMANDS:
        sys.argv[0] = f'mmdecouple {words[0]}'
        import_module(COMMANDS[words[0]][0]).main(words[1:])
    else:
        sys.exit(f'mmdecouple: unknown command {words[0]}; commands: {", ".join(COMMANDS)}')


def overview() -> str:
    """Returns the names of all commands with one line each."""
    width = max(map(len, COMMANDS), default=0)
    lines = [f'    {name:{width}}  {summary}' for name, (_, summary) in COMMANDS.items()]
    return '\n'.join(['usage: mmdecouple COMMAND [options]', '', *lines, '', 'mmdecouple COMMAND --help: its options'])


if __name__ == '__main__':
    main()
