"""Options for the parameters of `SceneSpec`."""

import argparse
from typing import TYPE_CHECKING

from mmdecouple.utils.arguments import seed

if TYPE_CHECKING:
    from mmdecouple.datasets.scenes.spec import SceneSpec

# Those of `SceneSpec`, whose module takes seconds to import.
DEFAULTS = dict(
    seed=0,
    size=96,
    objects=(2, 5),
    object_side=(0.28, 0.5),
    max_overlap=0.3,
    color_tells=0.7,
    cooccurrence=0.8,
    illumination=0.5,
    rotation=25.0,
    noise=0.02,
)
_HELP = dict(
    seed='seed of the scenes',
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
    try:
        sides = tuple(int(side) for side in text.lower().split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be a size such as 96 or 96x128, got {text}') from None
    return sides if len(sides) > 1 else sides * 2


_TYPES = dict(seed=seed, size=_size, objects=int)
_METAVARS = dict(seed='N', size='SIZE', objects=('LOW', 'HIGH'), object_side=('LOW', 'HIGH'))


def add_scene_options(parser: argparse.ArgumentParser) -> None:
    """Adds one option per parameter, such as `--color-tells 0.5`, with the defaults of `SceneSpec`."""
    group = parser.add_argument_group('scenes')
    for name, default in DEFAULTS.items():
        metavar = _METAVARS.get(name, 'X')
        shown = ' '.join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            f'--{name.replace("_", "-")}',
            type=_TYPES.get(name, float),
            nargs=2 if isinstance(metavar, tuple) else None,
            metavar=metavar,
            default=default,
            help=f'{_HELP[name]} (default: {shown})',
        )


def read_scenes(args: argparse.Namespace) -> 'SceneSpec':
    """Returns the settings of the scenes.

    Raises:
        UserError: A value is out of range.
    """
    from mmdecouple.datasets.scenes.spec import SceneSpec

    return SceneSpec.build({name: getattr(args, name) for name in DEFAULTS})
