"""Stamp of a run folder: identity of the run, and whether it has finished."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json

STAMP = 'run.json'
# Stamps of version 0.1, read where the folder has no newer stamp.
_EARLIER = ('demo.json', 'transfer.json')


@dataclass(frozen=True)
class Stamp:
    """Stamp `run.json` of a run folder.

    Attributes:
        folder: Folder of the run.
        identity: Digest of everything that determines the result of the run; equal runs have equal identities.
    """

    folder: Path
    identity: str

    def claim(self, remedy: str) -> None:
        """Stamps the folder with this run, unless it is stamped already.

        Args:
            remedy: What to do if the folder holds another run, for the message.

        Raises:
            UserError: The folder holds another run, or its stamp is damaged.
        """
        found = self._read()
        if found is None:
            write_json(self.folder / STAMP, dict(identity=self.identity, finished=False), indent=1)
        elif found['identity'] != self.identity:
            raise UserError(f'{self.folder} holds a run of another seed, config or checkpoint; {remedy}.')

    def finish(self, **facts: Any) -> None:
        """Records that the run has finished.

        Args:
            facts: Facts about the run that are stored in the stamp, JSON-able.
        """
        write_json(self.folder / STAMP, dict(identity=self.identity, finished=True, **facts), indent=1)

    def finished(self) -> dict[str, Any] | None:
        """Returns the content of the stamp if this run has finished, else None."""
        found = self._read()
        return found if found and found['finished'] and found['identity'] == self.identity else None

    def _read(self) -> dict[str, Any] | None:
        path = next((self.folder / name for name in (STAMP, *_EARLIER) if (self.folder / name).is_file()), None)
        if path is None:
            return None
        try:
            found = json.loads(path.read_text())
            # In version 0.1, an ablation wrote its stamp at its end, and a transfer at its start.
            return dict(
                found, identity=found.get('identity') or found['key'], finished=found.get('finished', 'key' in found)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f'{path} does not state which run the folder holds ({error}); remove the folder to run it again.'
            ) from error
