"""SHA-256 of plain values and of files: by these, runs, results and draws are recognized."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def digest_of(facts: Any) -> str:
    """SHA-256 of plain values, in hex; the order of keys makes no difference.

    Args:
        facts: JSON-able; anything else in it counts by its text.
    """
    return digest_of_bytes(json.dumps(facts, sort_keys=True, default=str).encode())


def digest_of_bytes(content: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def digest_of_file(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    found = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
