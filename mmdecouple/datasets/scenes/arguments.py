"""The knobs of ``SceneSpec`` as command-line options, the same in every tool."""

import argparse
from dataclasses import fields

from mmdecouple.datasets.scenes.spec import SceneSpec

_HELP = dict(
    seed="seed of the scenes' content",
    size='pixels: 96 for a square, 96x128 for height x width',
    objects='smallest and largest number of objects',
    object_side='smallest and largest diameter as a share of the shorter image side',
    max_overlap='largest hidden share of an object',
    color_tells='how much color alone tells the class, 0 to 1',
    cooccurrence='probability that a class comes from the context group, 0 to 1',
    illumination='strength of the random light, 0 to 1',
    rotation='largest turn of an object in degrees',
    noise='deviation of the pixel noise as a share of the gray range',
)


def _size(text: str) -> tuple[int, ...]:
    sides = tuple(int(side) for side in text.lower().split('x'))
    return sides if len(sides) > 1 else sides * 2


_TYPES = dict(seed=int, size=_size, objects=int)


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option a knob, such as ``--color-tells 0.5``; the defaults are those of SceneSpec."""
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
    """Return the spec of parsed arguments; a knob out of range ends the program with one line."""
    knobs = {field.name: getattr(args, field.name) for field in fields(SceneSpec)}
    try:
        return SceneSpec.build(knobs)
    except ValueError as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
