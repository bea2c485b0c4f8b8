"""Safe reading of the files that mmengine itself opens."""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader, load_from_http

from .checkpoint import read_checkpoint, weights_only_loading


def install_safe_loading() -> None:
    """Replaces mmengine's loaders of local files and URLs with `load_from_file` and `load_from_web`."""
    CheckpointLoader.register_scheme('', load_from_file, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_web, force=True)


def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loads a local file with `read_checkpoint`, in place of mmengine's loader, which falls back to unpickling.

    It reads every file that a runner of mmengine or a `Pretrained` of a config opens.

    Args:
        filename: Local path.
        map_location: Device of the tensors; None or a callable for the CPU.
    """
    return read_checkpoint(
        filename, 'cpu' if map_location is None or callable(map_location) else map_location, allow_pickle=_trust.given
    )


def load_from_web(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loads a file from a URL in place of mmengine's loader, and refuses pickled code unless pickles are trusted."""
    if _trust.given:
        return load_from_http(filename, map_location)
    with weights_only_loading():
        return load_from_http(filename, map_location)


def trust_pickles(trusted: bool) -> None:
    """Sets for this process whether files that mmengine opens are trusted (config key allow_pickle_checkpoint)."""
    _trust.given = trusted


class _Trust:
    given = False


_trust = _Trust()
