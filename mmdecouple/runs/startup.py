"""What a process needs before its first work. Every entry point comes past here: tools, runners, opened networks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.fileio import LocalBackend, register_backend

from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import write_bytes
from mmdecouple.utils.versions import check_versions


class AtomicLocalBackend(LocalBackend):
    """Local files whose content is replaced as a whole: a reader or a crash sees old or new."""

    def put(self, obj: bytes | memoryview, filepath: str) -> None:
        """Writes bytes; see ``write_bytes``."""
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: str, encoding: str = 'utf-8') -> None:
        """Writes a text in the same way."""
        self.put(obj.encode(encoding), filepath)


def prepare_process() -> None:
    """Sets what is global to a process; calling it again changes nothing.

    mmengine gets the file backend `atomic` and opens checkpoints without running code in them; messages of other
    packages that say what is reported or handled here anyway are turned off.
    """
    # Not at the top: `check_versions` comes before the imports that a wrong installation makes fail.
    import cv2

    from mmdecouple.weights.mmengine_loading import install_safe_loading

    register_backend('atomic', AtomicLocalBackend, force=True)
    install_safe_loading()
    # OpenCV prints its own lines for files that UnreadableImage reports.
    cv2.setLogLevel(0)
    # mmdet says so at every start; the package is used on request alone, and its absence is then an error.
    warnings.filterwarnings('ignore', 'faster_coco_eval is not installed')


@contextmanager
def program() -> Iterator[None]:
    """The body of a command-line program: `check_versions`, `prepare_process`, and one line for a `UserError`."""
    with one_line_errors():
        check_versions()
        prepare_process()
        yield
