"""Origin of pre-trained weights, as listed in tables of results."""

import ast
from contextlib import suppress
from typing import Any

from mmdecouple.utils.digests import digest_of_file

from .checkpoint import read_checkpoint
from .pretrained import read_pretrained

UNKNOWN = 'unknown'


def describe(path: str, role: str = 'auto', allow_pickle: bool = False, method: str | None = None) -> dict[str, Any]:
    """Returns facts about a checkpoint, JSON-able.

    Args:
        path: Local file, see `read_pretrained`.
        role: See `read_pretrained`.
        allow_pickle: Whether to trust the file and unpickle all of its content.
        method: Name of the method; None for the method recorded in the file.

    Returns:
        Dict with `checkpoint`, `sha256`, `method` (such as `DenseCL-D`; `unknown` for files of other projects, as
        several methods share a format), `format`, `role`, `architecture` and `pretraining` (name of the run and epochs;
        empty for files of other projects).

    Raises:
        MissingFile: The file does not exist.
        UserError: See `read_pretrained`.
    """
    weights = read_pretrained(path, role, allow_pickle)
    meta: dict[str, Any] = {}
    with suppress(ValueError):  # pickles of numpy and safetensors have no meta
        meta = read_checkpoint(path, allow_pickle=allow_pickle, mmap=True).get('meta') or {}
    name, epochs = str(meta.get('experiment_name', '')), meta.get('epoch')
    return dict(
        checkpoint=path,
        sha256=digest_of_file(path),
        method=method or recorded_method(str(meta.get('cfg', ''))) or UNKNOWN,
        format=weights.format,
        role=weights.role,
        architecture=weights.architecture,
        pretraining=f'{name}, {epochs} epochs' if name and epochs is not None else name,
    )


def recorded_method(text: str) -> str | None:
    """Returns the algorithm in a config's text, which is parsed but not run; `-D` marks a de-coupling branch.

    Args:
        text: Config as mmengine stores it in a checkpoint; the result is None for any other text.
    """
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.parse(text).body:
            if (
                isinstance(node, ast.Assign)
                and getattr(node.targets[0], 'id', '') == 'model'
                and isinstance(node.value, ast.Call)
            ):
                keys = {keyword.arg: keyword.value for keyword in node.value.keywords}
                kind = getattr(keys.get('type'), 'value', None)
                branch = keys.get('decoupling')
                decoupled = branch is not None and not (isinstance(branch, ast.Constant) and branch.value is None)
                return (f'{kind}-D' if decoupled else kind) if isinstance(kind, str) else None
    return None
