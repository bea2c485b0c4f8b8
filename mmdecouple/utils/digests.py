"""SHA-256 digests of plain values and files, which identify runs, results and draws."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def digest_of(facts: Any) -> str:
    """Returns the SHA-256 of plain values, in hex; the order of keys does not matter.

    Args:
        facts: JSON-serializable values; any other object is represented by its `str`.
    """
    return digest_of_bytes(json.dumps(facts, sort_keys=True, default=str).encode())


def digest_of_bytes(content: bytes) -> str:
    """Returns the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def digest_of_file(path: str | Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    found = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
