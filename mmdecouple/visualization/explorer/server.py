"""The page on 127.0.0.1, with features computed when a picture is chosen."""
import socket
import webbrowser

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from .looking import Looking
from .page import build_page, fill_features

HOST = '127.0.0.1'


def free_port(port: int = 0) -> int:
    """Return `port` if this program may listen on it, or a free one for 0.

    Raises:
        OSError: The port is taken or not allowed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise OSError(f'Explorer: port {port} cannot be used ({error}); give another --port, or none for a free '
                          'one.') from None
        return probe.getsockname()[1]


def start_server(looking: Looking, port: int) -> tuple[Server, str]:
    """Start serving the page to this machine only; the caller runs `server.io_loop`.

    Args:
        looking: Networks and images.
        port: From :func:`free_port`.

    Returns:
        tuple[Server, str]: The server and the address of the page.
    """
    application = Application(FunctionHandler(lambda document: _serve_page(looking, document)))
    server = Server({'/': application}, address=HOST, port=port,
                    allow_websocket_origin=[f'{HOST}:{port}', f'localhost:{port}'])
    server.start()
    return server, f'http://{HOST}:{port}/'


def run_server(server: Server, address: str, browser: bool = True) -> None:
    """Serve until Ctrl-C.

    Args:
        server: A started server.
        address: Of the page.
        browser: Whether to open the page.
    """
    if browser:
        server.io_loop.add_callback(webbrowser.open, address)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def _serve_page(looking: Looking, document: Document) -> None:
    state = build_page(looking, document)
    fill_features(state.pictures[0], looking.features(0))

    def fill() -> None:
        index = state.picture
        picture = state.pictures[index]
        try:
            if not picture.features:
                fill_features(picture, looking.features(index))
            if state.view == 'lsc' and not picture.consistency:
                picture.consistency = looking.consistency(index)
            picture.note = ''
        except Exception as error:
            picture.note = str(error)
            if not isinstance(error, ValueError):
                raise

    # Later, so that the browser can say first that it waits.
    for name in ('picture', 'view'):
        state.on_change(name, lambda attribute, old, new: document.add_next_tick_callback(fill))
