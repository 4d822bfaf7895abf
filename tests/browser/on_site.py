"""The built site as its readers meet it: its pages, a server that compresses as hosts do, and a way down to the end."""

import gzip
import mimetypes
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, TimeoutError

from moe_tutorial.tools.notebooks.tables import contents

PAGES = [page["file"] for page in contents(Path(__file__).parents[2])] + ["search"]
SCREEN = {"width": 1280, "height": 800}
COMPRESSED = {".webp", ".png", ".woff2"}  # by themselves
PARTS = ".moe-late, .moe-plotly, .moe-figure img"  # what comes when a reader is near
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
CAME = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map((entry) => [entry.encodedBodySize, entry.responseEnd])"""
SLOW_4G = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
UNHURT = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
ARRIVED = "part => part.complete || part.dataset.drawn || part.dataset.mounted || !part.checkVisibility()"


class Compressing(SimpleHTTPRequestHandler):
    """A file server that compresses, and keeps its log to itself.

    What is not there is answered by 404.html, if there is one, as GitHub's pages do.
    """

    protocol_version = "HTTP/1.1"
    root = "/"

    def do_GET(self) -> None:
        path = Path(self.translate_path("/" + self.path.removeprefix(self.root)))
        status, missing = 200, Path(self.directory, "404.html")
        if not path.is_file():
            status, path = 404, missing
        if not path.is_file():
            return self.send_error(404)
        body, small = path.read_bytes(), path.suffix in COMPRESSED
        body = body if small else gzip.compress(body, 6)
        self.send_response(status)
        self.send_header("Content-Type", mimetypes.guess_type(path.name)[0] or "application/octet-stream")
        if not small:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


class Server(ThreadingHTTPServer):
    """One that lets a browser's connections wait, however busy the machine is."""

    request_queue_size = 64


@contextmanager
def serving(folder: Path, root: str = "/"):
    """The address at which a folder is served, below this root, as long as it is needed."""
    handler = type("Rooted", (Compressing,), {"root": root})
    server = Server(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{root.rstrip('/')}"
    server.shutdown()


@contextmanager
def opening(chromium: Browser, address: str, folder: Path):
    """A function that opens a page of the site in a context of its own; what goes wrong there is in ``page.wrong``."""
    contexts = []

    def open_page(name: str, scheme: str = "http", **options) -> Page:
        contexts.append(chromium.new_context(**{"viewport": SCREEN} | options))
        page = contexts[-1].new_page()
        page.wrong = []
        page.home = address if scheme == "http" else folder.as_uri()
        known = (page.home, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(known) or page.wrong.append(f"asks {r.url}"))
        # What still loads when the page is left is aborted.
        page.on("requestfailed", lambda r: "ABORTED" in r.failure or page.wrong.append(f"cannot load {r.url}"))
        page.on("response", lambda r: r.status >= 400 and page.wrong.append(f"{r.status} {r.url}"))
        page.on("pageerror", lambda error: page.wrong.append(f"error {error}"))
        page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
        page.goto(f"{page.home}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()


def unfold(page: Page) -> None:
    """Open every fold, and show what is hidden until a guess is locked."""
    page.evaluate("document.querySelectorAll('.moe-veiled button').forEach((show) => show.click())")
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")


def read_on(page: Page) -> None:
    """Scroll to every picture and widget, to the end, and back: all that loads late has come."""
    for part in page.locator(PARTS).element_handles():
        if part.is_visible():
            part.scroll_into_view_if_needed()
            page.wait_for_function(ARRIVED, arg=part)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")


class Weight(NamedTuple):
    """What a page costs a reader on a phone's line, in bytes as they travel."""

    painted: float
    """Milliseconds until the first text or picture stands on the screen."""
    before: int
    """Bytes that had come by then."""
    whole: int
    """Bytes in all, when the page is read to its end and nothing is played."""
    requests: int


def load_slowly(page: Page, address: str) -> None:
    """Open a page over a slow line.

    Rarely, a request of a Chromium with a slow line never ends (Playwright's issue 22676): the page is then loaded
    again, once.
    """
    try:
        page.goto(address, timeout=45_000)
    except TimeoutError:
        page.reload()


def weigh(browser: Browser, address: str) -> Weight:
    """Open a page over Lighthouse's slow 4G: 1.6 Mbit/s down, .75 up, 150 ms a request.

    Its server is on this machine, and the processor is this machine's.
    """
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    tools = page.context.new_cdp_session(page)
    tools.send("Network.emulateNetworkConditions", SLOW_4G)
    load_slowly(page, address)
    painted = page.wait_for_function(PAINTED).json_value()
    page.wait_for_load_state("networkidle")
    tools.send("Network.emulateNetworkConditions", UNHURT)
    read_on(page)
    came = page.evaluate(CAME)
    page.context.close()
    before = sum(size for size, end in came if end <= painted)
    return Weight(painted, before, sum(size for size, _ in came), len(came))
