"""The 12 object classes, 8 backgrounds and 4 context groups of the scenes."""

from typing import NamedTuple

NUM_GROUPS = 4


class ObjectClass(NamedTuple):
    """One object class, defined by its hue in [0, 1), material and shape."""

    hue: float
    material: str
    shape: str

    @property
    def name(self) -> str:
        """Material and shape, as in `striped ring`."""
        return f'{self.material} {self.shape}'


class Background(NamedTuple):
    """One background class: a texture with a hue in [0, 1) and a saturation in [0, 1]."""

    name: str
    hue: float
    saturation: float


# Each shape is used by two classes and each material by three, so that neither identifies a class. Steps of 5/12
# distribute the hues of a group over the circle. Three consecutive classes form a group.
_MATERIAL_SHAPE = (
    ('plain', 'disc'), ('striped', 'triangle'), ('checkered', 'cross'),
    ('dotted', 'square'), ('plain', 'star'), ('striped', 'ring'),
    ('checkered', 'disc'), ('dotted', 'triangle'), ('plain', 'cross'),
    ('striped', 'square'), ('checkered', 'star'), ('dotted', 'ring'),
)  # yapf: disable
CLASSES = tuple(ObjectClass((5 * i % 12) / 12, *pair) for i, pair in enumerate(_MATERIAL_SHAPE))

# Two consecutive backgrounds form a group.
BACKGROUNDS = (
    Background('grass', 0.28, 0.55), Background('clouds', 0.60, 0.45),
    Background('bricks', 0.03, 0.50), Background('water', 0.52, 0.55),
    Background('sand', 0.13, 0.45), Background('tiles', 0.74, 0.25),
    Background('leaves', 0.40, 0.50), Background('coral', 0.90, 0.40),
)  # yapf: disable

CLASSES_PER_GROUP = len(CLASSES) // NUM_GROUPS
BACKGROUNDS_PER_GROUP = len(BACKGROUNDS) // NUM_GROUPS
