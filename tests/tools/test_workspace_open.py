"""A notebook that is open in a running Jupyter server is not replaced."""

import http.server
import json
import os
import threading

import pytest
from tiny_course import NEW, learn, write_course

from moe_tutorial.course import CourseError
from moe_tutorial.tools.workspace.copies import read_course
from moe_tutorial.tools.workspace.update import make_or_update, reset


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A learner's folder, and no Jupyter server but those of this test."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "runtime").mkdir()
    make_or_update(tmp_path / "mine", read_course(write_course(tmp_path / "course")))
    return tmp_path / "mine"


@pytest.fixture
def server(tmp_path):
    """Starts a server that says which notebooks have a kernel, to those who know its token."""
    running = []

    def start(root, paths, status=200, token="known"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers["Authorization"] == "token known"
                self.send_response(status if known else 403)
                self.end_headers()
                self.wfile.write(json.dumps([{"path": path, "type": "notebook"} for path in paths]).encode())

            def log_message(self, *_):
                pass

        one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=one.serve_forever, daemon=True).start()
        running.append(one)
        address = f"http://127.0.0.1:{one.server_port}/"
        info = {"url": address, "token": token, "root_dir": str(root), "pid": os.getpid()}
        (tmp_path / f"runtime/jpserver-{len(running)}.json").write_text(json.dumps(info))
        return address

    yield start
    for one in running:
        one.shutdown()


def new_course(tmp_path):
    return read_course(write_course(tmp_path / "course", NEW))


@pytest.mark.parametrize("below", [True, False])
def test_an_open_notebook_is_left_alone_and_said(mine, tmp_path, server, below):
    server(mine if below else tmp_path, ["01_add.ipynb" if below else "mine/01_add.ipynb"])
    learn(mine / "01_add.ipynb", added={"print": "x = 1"})
    before = (mine / "01_add.ipynb").read_bytes()
    report = make_or_update(mine, new_course(tmp_path))
    assert report.done == ["✓ 02_double is the course's present version"]
    assert report.amiss == [
        "01_add.ipynb is open in JupyterLab, and was left alone. "
        "Save there, choose File, Close and Shut Down Notebook, and try again"
    ]
    with pytest.raises(CourseError, match=r"01_add\.ipynb is open in JupyterLab, and nothing was changed\. Save"):
        reset(mine, new_course(tmp_path), "01")
    assert (mine / "01_add.ipynb").read_bytes() == before
    assert not (mine / "old").exists()


def test_other_open_notebooks_do_not_matter(mine, tmp_path, server):
    server(mine, ["scratch.ipynb"])
    server(tmp_path / "elsewhere", ["01_add.ipynb"])
    assert not make_or_update(mine, new_course(tmp_path)).amiss


def test_a_server_that_does_not_say_is_not_trusted(mine, tmp_path, server):
    address = server(mine, [], status=500)
    said = rf"\({address}, process {os.getpid()}\) does not say which notebooks are open"
    with pytest.raises(CourseError, match=said):
        make_or_update(mine, new_course(tmp_path))


def test_on_a_hub_the_users_own_token_opens(mine, tmp_path, server, monkeypatch):
    server(mine, [], token="")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "known")
    assert make_or_update(mine, new_course(tmp_path)).done
