"""The files that mmengine itself opens are read as safely as ours."""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader, load_from_http

from .checkpoint import read_checkpoint, refusing_code


def install_safe_loading() -> None:
    """Puts `load_from_file` and `load_from_web` in the place of mmengine's loaders of local files and addresses."""
    CheckpointLoader.register_scheme('', load_from_file, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_web, force=True)


def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Stands in for mmengine's loader of local files, which unpickles whatever is in one that it cannot read safely.

    So every file comes through `read_checkpoint` that a runner of mmengine or a `Pretrained` of a config opens.
    """
    return read_checkpoint(
        filename, 'cpu' if map_location is None or callable(map_location) else map_location, allow_pickle=_trust.given
    )


def load_from_web(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Stands in for mmengine's loader of addresses in the same way."""
    if _trust.given:
        return load_from_http(filename, map_location)
    with refusing_code(str):
        return load_from_http(filename, map_location)


def trust_pickles(trusted: bool) -> None:
    """Says for this process whether files that mmengine opens are trusted (config key allow_pickle_checkpoint)."""
    _trust.given = trusted


class _Trust:
    given = False


_trust = _Trust()
