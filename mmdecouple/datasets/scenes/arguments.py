"""Command-line options for the parameters of `SceneSpec`, the same in every tool."""

import argparse
from dataclasses import fields

from mmdecouple.datasets.scenes.spec import SceneSpec

_HELP = dict(
    seed='seed of the content of the scenes',
    size='size in pixels: 96 for a square, 96x128 for height x width',
    objects='smallest and largest number of objects',
    object_side='smallest and largest diameter as a fraction of the shorter image side',
    max_overlap='largest hidden fraction of an object',
    color_tells='degree to which color alone determines the class, 0 to 1',
    cooccurrence='probability that a class is drawn from the context group, 0 to 1',
    illumination='strength of the random illumination, 0 to 1',
    rotation='largest rotation of an object in degrees',
    noise='standard deviation of the pixel noise as a fraction of the gray range',
)


def _size(text: str) -> tuple[int, ...]:
    sides = tuple(int(side) for side in text.lower().split('x'))
    return sides if len(sides) > 1 else sides * 2


_TYPES = dict(seed=int, size=_size, objects=int)


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one option per parameter, such as `--color-tells 0.5`, with the defaults of `SceneSpec`."""
    group = parser.add_argument_group('scenes')
    for field in fields(SceneSpec):
        pair = field.name in ('objects', 'object_side')
        group.add_argument(
            f'--{field.name.replace("_", "-")}',
            type=_TYPES.get(field.name, float),
            nargs=2 if pair else None,
            metavar=('LOW', 'HIGH') if pair else 'X',
            default=field.default,
            help=f'{_HELP[field.name]} (default: {field.default})',
        )


def parse_scene_spec(parser: argparse.ArgumentParser, args: argparse.Namespace) -> SceneSpec:
    """Returns the spec of parsed arguments; a value out of range ends the program with one line."""
    parameters = {field.name: getattr(args, field.name) for field in fields(SceneSpec)}
    try:
        return SceneSpec.build(parameters)
    except ValueError as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
