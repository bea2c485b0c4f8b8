"""A log that fails is reported once and does not end a training."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from logging.handlers import MemoryHandler, WatchedFileHandler
from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.visualization.vis_backend import BaseVisBackend

from mmdecouple.utils.errors import UserError, WrongInstallation, one_line

_RECORDING = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars', 'close')
_RESTARTS = 3


def start_backends(backends: dict[str, BaseVisBackend]) -> None:
    """Starts what records the curves of a run, and keeps a later failure of it from ending the run.

    A back end that fails is set up anew, at most three times, which makes a deleted folder again; what it still
    cannot record is left out, with one warning.

    Args:
        backends: The visualizer's, by name.

    Raises:
        WrongInstallation: A back end needs a package that is not installed.
        UserError: It cannot start for another reason.
    """
    for backend in backends.values():
        kind = type(backend).__name__
        try:
            # mmengine sets a back end up when this is first asked for.
            _ = backend.experiment
        except ImportError as error:
            package = getattr(error.__context__, 'name', None) or error.name
            remedy = f'pip install {package.partition(".")[0]}' if package else str(error)
            raise WrongInstallation(
                f'{kind} needs a package that is not installed: {remedy}, or take it out of the '
                'config key visualizer.vis_backends.'
            ) from error
        except Exception as error:
            raise UserError(
                f'{kind} cannot start ({type(error).__name__}: {error}); repair it, or take it out of the '
                'config key visualizer.vis_backends.'
            ) from error
        warn = _once(kind, lambda text: print_log(text, 'current', logging.WARNING))
        restarts = iter(range(_RESTARTS))
        for method in _RECORDING:
            setattr(backend, method, _forgiving(backend, getattr(backend, method), restarts, warn))


def steady_handlers(logger: logging.Logger) -> None:
    """Lets a log that cannot be written say so once, and a deleted log file be made again.

    Args:
        logger: The run's; its handlers are changed.
    """
    for index, handler in enumerate(logger.handlers):
        if type(handler) is logging.FileHandler:
            handler.close()
            steady = _SteadyFileHandler(handler.baseFilename, handler.mode, handler.encoding)
            steady.setLevel(handler.level)
            steady.setFormatter(handler.formatter)
            steady.filters = handler.filters
            logger.handlers[index] = handler = steady
        warn = _once(getattr(handler, 'baseFilename', 'the terminal'), _say_directly)
        handler.handleError = functools.partial(_warn_of_failure, warn)  # type: ignore[method-assign]


def _warn_of_failure(warn: Callable[[BaseException | None], None], _: logging.LogRecord) -> None:
    warn(sys.exc_info()[1])


def keep_lines() -> '_EarlyLines':
    """Starts to keep what is logged before a run has its log, for ``hand_over``."""
    lines = _EarlyLines()
    lines.said_to.addHandler(lines)
    return lines


class _EarlyLines(MemoryHandler):
    def __init__(self) -> None:
        super().__init__(capacity=10_000, flushLevel=sys.maxsize)
        self.said_to = MMLogger.get_current_instance()

    def hand_over(self, logger: logging.Logger) -> None:
        """Writes the lines into the files of the run's log; the terminal has them already."""
        self.said_to.removeHandler(self)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                for record in self.buffer:
                    handler.handle(record)
        self.buffer.clear()


class _SteadyFileHandler(WatchedFileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
            super().emit(record)
        except OSError:
            self.handleError(record)


def _forgiving(backend: BaseVisBackend, method: Callable, restarts: Iterator[int], warn: Callable) -> Callable:

    @functools.wraps(method)
    def recording(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            failure = error
        if next(restarts, None) is not None:
            backend._env_initialized = False
            try:
                return method(*args, **kwargs)
            except Exception as error:
                failure = error
        return warn(failure)

    return recording


def _once(what: str, say: Callable[[str], None]) -> Callable[[BaseException | None], None]:
    said: list[bool] = []

    def warn(error: BaseException | None) -> None:
        if not said:
            said.append(True)
            say(
                one_line(
                    f'{what} cannot record any more ({type(error).__name__}: {error}); training goes on without it.'
                )
            )

    return warn


def _say_directly(text: str) -> None:
    print(f'mmdecouple: warning: {text}', file=sys.stderr)
