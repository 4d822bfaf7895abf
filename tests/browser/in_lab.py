"""A JupyterLab of its own for a test or a benchmark, and what a reader does in it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import v4

ROOT = Path(__file__).parents[2]


def workspace_with(home: Path, name: str, *sources: str) -> Path:
    """Make ``home`` a learner's folder with a notebook of these cells, and return it."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, home / name)
    (home / "progress.json").write_text("{}\n")
    return home


@contextmanager
def jupyterlab(home: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves this folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {f"JUPYTER_{name}_DIR": str(home / ".jupyter" / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = os.environ | places | {"IPYTHONDIR": str(home / ".ipython"), "OMP_NUM_THREADS": "1"}
    env["JUPYTER_CONFIG_PATH"] = str(ROOT / "moe_tutorial/tools/jupyter")  # JupyterLab's settings for the course
    env.pop("MOE_SITE", None)
    log = (home / "lab.log").open("w")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={home}"]
    options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    server = subprocess.Popen([*command, *options], cwd=home, env=env, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25 if server.poll() is None else 0)
        else:
            raise AssertionError(f"JupyterLab did not start:\n{(home / 'lab.log').read_text()[-2000:]}")
        yield address
    finally:
        server.terminate()  # it shuts its kernels down first
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def open_notebook(page, lab, name):
    """Open a notebook with a kernel that has answered and run nothing yet."""
    page.goto(f"{lab}/lab/tree/{name}?reset")
    page.locator(".jp-NotebookPanel .jp-Toolbar-kernelName").wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="attached")
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()  # the kernel has answered


def run_all(page, lab, name):
    """Open a notebook, run all its cells, and fail on a cell that fails."""
    open_notebook(page, lab, name)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(
        r"""() => {const p = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
            return p.length && p.every((x) => /\[\d+\]:/.test(x.textContent))}""",
        timeout=120_000,
    )
    failed = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'] .ansi-red-fg")
    assert failed.count() == 0, failed.first.inner_text()


def run_cell(page, number, wait=True):
    """Run one cell again, and return what it shows."""
    cell = page.locator(".jp-CodeCell").nth(number)
    before = cell.locator(".jp-InputArea-prompt").inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    if not wait:
        return ""
    page.wait_for_function(
        r"""([n, before]) => {const t = document.querySelectorAll('.jp-CodeCell')[n]
            .querySelector('.jp-InputArea-prompt').innerText; return t !== before && /\d/.test(t)}""",
        arg=[number, before],
    )
    return cell.locator(".jp-OutputArea").inner_text()


def close(page):
    """Close the notebook and end its kernel."""
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text("Close and Shut Down Notebook").click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.locator(".jp-NotebookPanel").wait_for(state="detached")


def picture(canvas):
    return canvas.evaluate("(c) => c.toDataURL()")


def move(page, slider, key="ArrowRight"):
    slider.scroll_into_view_if_needed()
    slider.focus()
    page.keyboard.press(key)
