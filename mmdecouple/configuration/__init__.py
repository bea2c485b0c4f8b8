"""What a config asks for, checked before anything is built, and answers that name its keys."""

from mmdecouple.configuration.check import check_config
from mmdecouple.configuration.failures import answering

__all__ = ['answering', 'check_config']
