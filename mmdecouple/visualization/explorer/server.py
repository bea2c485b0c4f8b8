"""Server of the page on 127.0.0.1, which computes features and LSC maps on request."""

import socket
import threading
import webbrowser
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from mmdecouple.networks.inference import exact_float32
from mmdecouple.utils.errors import UnwritableFile

from .page import Picture, build_page, fill_features
from .session import Session

HOST = '127.0.0.1'


def free_port(port: int = 0) -> int:
    """Returns `port` if this process can listen on it, or a free port for 0.

    Raises:
        UnwritableFile: The port is in use or not permitted.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise UnwritableFile(
                f'Explorer: port {port} cannot be used ({error}); choose another --port, or omit it for a free one.'
            ) from None
        return probe.getsockname()[1]


class ExplorerServer:
    """Server of the page for this machine only.

    Features and LSC maps, which take much longer, are computed in separate threads, each in the order of the requests.

    Args:
        session: Networks and images.
        port: Port, see `free_port`.

    Attributes:
        address: Address of the page.

    Raises:
        UserError: The features of the first image cannot be computed.
    """

    def __init__(self, session: Session, port: int) -> None:
        self.session, self.address = session, f'http://{HOST}:{port}/'
        self._stopping = threading.Event()
        exact_float32()
        self._workers = {kind: ThreadPoolExecutor(1) for kind in ('features', 'consistency')}
        # Computed now, so that the page opens with a map, and a network without a map is reported before.
        session.features(0)
        self._server = Server(
            {'/': Application(FunctionHandler(self._serve))},
            address=HOST,
            port=port,
            allow_websocket_origin=[f'{HOST}:{port}', f'localhost:{port}'],
        )
        self._server.start()

    def run(self, browser: bool = True) -> None:
        """Serves the page until Ctrl-C or `stop`.

        Args:
            browser: Whether to open the page in a browser.
        """
        loop = self._server.io_loop
        if browser:
            loop.add_callback(webbrowser.open, self.address)
        try:
            loop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self._stopping.set()
            for worker in self._workers.values():
                worker.shutdown(cancel_futures=True)
            self._server.stop()

    def stop(self) -> None:
        """Makes `run` return; may be called from any thread."""
        self._server.io_loop.add_callback(self._server.io_loop.stop)

    def _serve(self, document: Document) -> None:
        state = build_page(self.session, document)
        fill_features(state.pictures[0], self.session.features(0))
        asked = {(0, 'features')}

        def ask(attribute: str, old: object, new: object) -> None:
            for kind in ('features', 'consistency') if state.view == 'lsc' else ('features',):
                index = state.picture
                if (index, kind) not in asked:
                    asked.add((index, kind))
                    answer = self._workers[kind].submit(self._compute, kind, index)
                    fill = partial(_fill, state.pictures[index], kind, answer)
                    answer.add_done_callback(lambda _, fill=fill: document.add_next_tick_callback(fill))

        for name in ('picture', 'view'):
            state.on_change(name, ask)

    def _compute(self, kind: str, index: int) -> list:
        if kind == 'features':
            return self.session.features(index)
        return self.session.consistency(index, self._go_on)

    def _go_on(self, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise CancelledError


def _fill(picture: Picture, kind: str, answer: Future) -> None:
    try:
        found = answer.result()
    except Exception as error:
        picture.note = str(error)
        # Any other error is a bug, whose traceback is shown in the terminal.
        if not isinstance(error, ValueError):
            raise
    else:
        if kind == 'features':
            fill_features(picture, found)
        else:
            picture.consistency = found
