"""Global setup of a process, which every entry point performs: tools, runners and opened networks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.fileio import LocalBackend, register_backend

from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import write_bytes
from mmdecouple.utils.versions import check_versions


class AtomicLocalBackend(LocalBackend):
    """File backend that replaces files atomically: after a crash, a file holds either the old or the new content."""

    def put(self, obj: bytes | memoryview, filepath: str) -> None:
        """Writes bytes, see `write_bytes`."""
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: str, encoding: str = 'utf-8') -> None:
        """Writes a text, see `put`."""
        self.put(obj.encode(encoding), filepath)


def prepare_process() -> None:
    """Applies the global settings of a process; further calls have no effect.

    Registers the file backend `atomic` with mmengine, makes mmengine open checkpoints without running code in them, and
    silences messages of other packages about conditions that this package reports or handles.
    """
    # Imported here, because `check_versions` has to run before imports that fail in a wrong installation.
    import cv2

    from mmdecouple.weights.mmengine_loading import install_safe_loading

    register_backend('atomic', AtomicLocalBackend, force=True)
    install_safe_loading()
    # OpenCV prints messages of its own for files that `UnreadableImage` reports.
    cv2.setLogLevel(0)
    # mmdet warns at every start; the package is used on request only, and its absence is an error then.
    warnings.filterwarnings('ignore', 'faster_coco_eval is not installed')


@contextmanager
def program() -> Iterator[None]:
    """Context of a command-line program: checks versions, prepares the process, prints a `UserError` as one line."""
    with one_line_errors():
        check_versions()
        prepare_process()
        yield
