"""Building of networks from configs that the user names, and their random weights."""

from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError


def build_configured(name: str, config: Config) -> nn.Module:
    """Builds the network of a config.

    Args:
        name: Name of the network in messages.
        config: Complete config.

    Raises:
        UserError: The config has no model, or the model cannot be built.
    """
    if 'model' not in config:
        raise UserError(f'{name}: its config has no model; set the config key model.')
    try:
        return MODELS.build(config.model)
    except (KeyError, TypeError) as error:
        reason = str(error.args[0] if error.args else error).split('. ')[0]
        raise UserError(
            f'{name}: the network of its config cannot be built ({type(error).__name__}: {reason}); name '
            'a complete config, with its custom_imports (CONFIG.py=FILE).'
        ) from error


def initialize(model: nn.Module) -> None:
    """Initializes the weights of a model of OpenMMLab, without mmengine's line for every weight."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    model.init_weights()
    logger.setLevel(level)
