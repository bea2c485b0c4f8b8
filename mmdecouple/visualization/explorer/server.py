"""Server of the page on 127.0.0.1, which computes results on request."""

import socket
import sys
import threading
import traceback
import webbrowser
from concurrent.futures import CancelledError
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mmdecouple.networks.inference import exact_float32
from mmdecouple.utils.errors import UnwritableFile, UserError, one_line

from .answers import answer, photo, read_address, read_photo_address
from .page import encoded, served_page
from .session import Place, Session

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

    It answers to the page itself, `photo/N` and the addresses of results, and to nothing else; no part of an address
    names a file. Features and LSC maps, which take much longer, are computed in separate threads, one at a time.

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
        self.hosts = {f'{host}:{port}' for host in (HOST, 'localhost')}
        self.page = encoded(served_page(session))
        self.photo = lru_cache(64)(partial(photo, session))
        self._stopping = threading.Event()
        exact_float32()
        self._turns = {kind: threading.Lock() for kind in ('features', 'lsc')}
        # Computed now, so that the page opens with a map, and a network without a map is reported before.
        for network, layers in enumerate(session.layers):
            session.reading(Place(0, network, len(layers) - 1))
        self._server = _Server((HOST, port), partial(_Handler, self))

    def run(self, browser: bool = True) -> None:
        """Serves the page until Ctrl-C or `stop`.

        Args:
            browser: Whether to open the page in a browser.
        """
        if browser:
            threading.Thread(target=webbrowser.open, args=(self.address,), daemon=True).start()
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self._stopping.set()
            self._server.server_close()
            # A thread that computes while the interpreter ends could crash it.
            for turn in self._turns.values():
                with turn:
                    pass

    def stop(self) -> None:
        """Makes `run` return; may be called from any other thread."""
        self._stopping.set()
        self._server.shutdown()

    def compute(self, kind: str, place: Place) -> bytes:
        """Returns a result as JSON, after those that were requested before."""
        with self._turns['lsc' if kind == 'lsc' else 'features']:
            self._go_on(0, 1)
            return answer(self.session, kind, place, self._go_on).encode()

    def _go_on(self, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise CancelledError


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *request: object) -> None:
        """Prints the traceback of an error, unless the browser has closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = 'mmdecouple', ''

    def __init__(self, explorer: ExplorerServer, *args: object) -> None:
        self.explorer = explorer
        super().__init__(*args)

    def do_GET(self) -> None:
        # Another site could reach this address by a name of its own that it points to 127.0.0.1.
        if self.headers.get('Host') not in self.explorer.hosts:
            return self._send(HTTPStatus.FORBIDDEN, f'open {self.explorer.address}')
        try:
            return self._answer(self.path.removeprefix('/'))
        except UserError as error:
            return self._send(HTTPStatus.UNPROCESSABLE_ENTITY, one_line(str(error)))
        except (CancelledError, ConnectionError):
            return None
        except Exception:
            traceback.print_exc()
            return self._send(HTTPStatus.INTERNAL_SERVER_ERROR, 'an internal error, whose traceback is in the terminal')

    def _answer(self, path: str) -> None:
        session = self.explorer.session
        if not path:
            return self._send(HTTPStatus.OK, self.explorer.page, 'text/html; charset=utf-8')
        if (picture := read_photo_address(session, path)) is not None:
            return self._send(HTTPStatus.OK, self.explorer.photo(picture), 'image/jpeg')
        if (found := read_address(session, path)) is not None:
            return self._send(HTTPStatus.OK, self.explorer.compute(*found), 'application/json')
        return self._send(HTTPStatus.NOT_FOUND, 'there is nothing at this address')

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers a malformed request with one line."""
        self._send(HTTPStatus(code), HTTPStatus(code).phrase)

    def _send(self, status: HTTPStatus, content: str | bytes, kind: str = 'text/plain; charset=utf-8') -> None:
        body = f'{content}\n'.encode() if isinstance(content, str) else content
        self.send_response(status)
        for name, value in {
            'Content-Type': kind,
            'Content-Length': str(len(body)),
            'Cache-Control': 'no-store',
            'X-Content-Type-Options': 'nosniff',
            'Cross-Origin-Resource-Policy': 'same-origin',
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Prints nothing: requests are not of interest."""
