"""Which run a folder holds, and whether it has ended."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json

STAMP = 'run.json'
# Stamps of version 0.1, read where there is no other.
_EARLIER = ('demo.json', 'transfer.json')


@dataclass(frozen=True)
class Stamp:
    """The stamp `run.json` of a folder.

    Attributes:
        folder: Folder of the run.
        identity: Digest of all that decides what the run gives; runs of the same identity are one.
    """

    folder: Path
    identity: str

    def claim(self, remedy: str) -> None:
        """Takes a folder for this run.

        Args:
            remedy: What to do if it holds another one, for the message.

        Raises:
            UserError: It does, or its stamp is damaged.
        """
        found = self._read()
        if found is None:
            write_json(self.folder / STAMP, dict(identity=self.identity, finished=False), indent=1)
        elif found['identity'] != self.identity:
            raise UserError(f'{self.folder} holds a run of another seed, config or checkpoint; {remedy}.')

    def finish(self, **facts: Any) -> None:
        """Notes that the run has ended, and what there is to say about it.

        Args:
            facts: JSON-able.
        """
        write_json(self.folder / STAMP, dict(identity=self.identity, finished=True, **facts), indent=1)

    def finished(self) -> dict[str, Any] | None:
        """The facts of this run if it has ended, else None."""
        found = self._read()
        return found if found and found['finished'] and found['identity'] == self.identity else None

    def _read(self) -> dict[str, Any] | None:
        path = next((self.folder / name for name in (STAMP, *_EARLIER) if (self.folder / name).is_file()), None)
        if path is None:
            return None
        try:
            found = json.loads(path.read_text())
            # Before, an ablation wrote its stamp at its end, a transfer at its start.
            return dict(
                found, identity=found.get('identity') or found['key'], finished=found.get('finished', 'key' in found)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f'{path} does not say which run the folder holds ({error}); remove the folder to run it again.'
            ) from error
