"""Check of configs before anything is built, and errors that name the config key."""

from mmdecouple.configuration.check import check_config
from mmdecouple.configuration.failures import naming_config_keys

__all__ = ['check_config', 'naming_config_keys']
