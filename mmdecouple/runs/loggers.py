"""Logging that does not end a training: a failure is reported once."""

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
    """Starts the visualization backends of a run, and prevents their later failures from ending the run.

    A backend that fails is set up again up to three times, which also recreates a deleted folder. What it still cannot
    record is dropped with one warning.

    Args:
        backends: Name -> backend of the visualizer.

    Raises:
        WrongInstallation: A backend requires a package that is not installed.
        UserError: A backend cannot start for another reason.
    """
    for backend in backends.values():
        kind = type(backend).__name__
        try:
            # The first access sets up a backend of mmengine.
            _ = backend.experiment
        except ImportError as error:
            package = getattr(error.__context__, 'name', None) or error.name
            remedy = f'pip install {package.partition(".")[0]}' if package else str(error)
            raise WrongInstallation(
                f'{kind} requires a package that is not installed: {remedy}, or remove it from the '
                'config key visualizer.vis_backends.'
            ) from error
        except Exception as error:
            raise UserError(
                f'{kind} cannot start ({type(error).__name__}: {error}); repair it, or remove it from the '
                'config key visualizer.vis_backends.'
            ) from error
        warn = _once(kind, lambda text: print_log(text, 'current', logging.WARNING))
        restarts = iter(range(_RESTARTS))
        for method in _RECORDING:
            setattr(backend, method, _forgiving(backend, getattr(backend, method), restarts, warn))


def steady_handlers(logger: logging.Logger) -> None:
    """Makes a log report a write error once and recreate a deleted file.

    Args:
        logger: Logger of the run, whose handlers are replaced.
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
    """Starts to buffer the lines that are logged before the log of a run exists, see `hand_over`."""
    lines = _EarlyLines()
    lines.said_to.addHandler(lines)
    return lines


class _EarlyLines(MemoryHandler):
    def __init__(self) -> None:
        super().__init__(capacity=10_000, flushLevel=sys.maxsize)
        self.said_to = MMLogger.get_current_instance()

    def hand_over(self, logger: logging.Logger) -> None:
        """Writes the buffered lines into the files of the run's log; the terminal has shown them before."""
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
                    f'{what} cannot record any more ({type(error).__name__}: {error}); training continues without it.'
                )
            )

    return warn


def _say_directly(text: str) -> None:
    print(f'mmdecouple: warning: {text}', file=sys.stderr)
