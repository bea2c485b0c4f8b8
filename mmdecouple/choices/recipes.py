"""Methods that can be trained by name, and the shipped configs from which each is made."""

from dataclasses import dataclass
from difflib import get_close_matches

from mmengine.config import Config

from mmdecouple.utils.configs import SCOPE, load_config
from mmdecouple.utils.errors import UserError

VARIANTS = ('', '-d', '-control')


@dataclass(frozen=True)
class Recipe:
    """Configs of one method, in which `{}` is `-d` for the de-coupled form and empty for the base method.

    Attributes:
        full: Published config for GPUs, at 224 pixels.
        small: Config of the demo, for CPUs and small images.
        weights: Config key of a weight file without which the method cannot be trained; None for none.
        longest: Epochs of the longest published training.
    """

    full: str
    small: str
    weights: str | None = None
    longest: int = 800


RECIPES = {
    'densecl': Recipe('densecl/densecl{}_r50_8xb32-200e_coco', 'demo/densecl{}_resnet-demo_scenes'),
    'ibot': Recipe('ibot/ibot{}_vit-s16_8x64-200e_coco', 'demo/ibot{}_vit-demo_scenes'),
    'leopart': Recipe(
        'leopart/leopart{}_vit-s16_2xb32-50e_coco', 'demo/leopart{}_vit-demo_scenes', 'model.backbone.weights', 50
    ),
    'maskalign': Recipe(
        'maskalign/maskalign{}_vit-s16_8x128-200e_coco', 'demo/maskalign{}_vit-demo_scenes', 'model.teacher.checkpoint'
    ),
    'neco': Recipe('neco/neco{}_vit-s16_1xb45-50e_coco', 'demo/neco{}_vit-demo_scenes', 'model.backbone.weights', 50),
    'paka': Recipe('paka/paka{}_vit-s16_1xb64-50e_coco', 'demo/paka{}_vit-demo_scenes', 'model.backbone.weights', 50),
    'pixpro': Recipe('pixpro/pixpro{}_r50_8xb128-200e_coco', 'demo/pixpro{}_resnet-demo_scenes'),
    'plrc': Recipe('plrc/plrc{}_r50_8xb32-200e_coco', 'demo/plrc{}_resnet-demo_scenes'),
    'resim': Recipe('resim/resim-fpn{}_r50_8xb32-200e_coco', 'demo/resim{}_resnet-demo_scenes'),
    'soco': Recipe('soco/soco-c4{}_r50_8xb128-200e_coco', 'demo/soco{}_resnet-demo_scenes'),
    'unirefiner': Recipe(
        'unirefiner/unirefiner{}_vit-s16_2xb8-2e_coco-5pct',
        'demo/unirefiner{}_vit-demo_scenes',
        'model.backbone.weights',
        2,
    ),
}
METHODS = tuple(f'{name}{variant}' for name in RECIPES for variant in VARIANTS)


@dataclass(frozen=True)
class Method:
    """Method with its variant.

    Attributes:
        name: Name of the method with its variant, one of `METHODS`.
        recipe: Configs of the method.
        variant: One of `VARIANTS`.
    """

    name: str
    recipe: Recipe
    variant: str

    def config(self, small: bool) -> tuple[str, Config]:
        """Returns the name and the content of the shipped config.

        A control is the de-coupled form with nothing mixed in, as in `_base_/decoupling/control.py`.

        Args:
            small: Whether to use the network of the demo instead of the published one.
        """
        pattern = self.recipe.small if small else self.recipe.full
        name = pattern.format('-d' if self.variant else '')
        config = load_config(f'{SCOPE}::{name}.py')
        if self.variant == '-control':
            config.model.decoupling.background = 'none'
        return name, config


def find_method(name: str) -> Method:
    """Returns the method of a name such as `ibot-d`; case and underscores do not matter.

    Raises:
        UserError: The name is unknown; the message states the nearest ones.
    """
    given = name.lower().replace('_', '-')
    for method, recipe in RECIPES.items():
        for variant in VARIANTS:
            if given == f'{method}{variant}':
                return Method(given, recipe, variant)
    close = get_close_matches(given, METHODS, n=3, cutoff=0.5)
    hint = (
        f'close names: {", ".join(close)}' if close else f'methods: {", ".join(RECIPES)}, each also with -d, -control'
    )
    raise UserError(f'--method {name} is unknown; {hint}.')
