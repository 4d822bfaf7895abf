"""What is missing on a reader's machine is said in one clear line."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import websocket
from test_install import lay_tools, program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the Makefile's shell script is for POSIX shells")


def set_up(folder: Path, python: str) -> subprocess.CompletedProcess:
    """Run the script in a folder that holds what it reads, on a machine that has no more than it needs."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    lay_tools(folder / "bin")
    command = ["sh", str(ROOT / "moe_tutorial/tools/setup.sh"), python, "lab"]
    environment = os.environ | {"PATH": str(folder / "bin")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def one_line(run: subprocess.CompletedProcess) -> str:
    assert run.returncode != 0
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "There is no "),
        ("", "No Python 3.11 to 3.14 was found"),
        ("case $2 in *print*) echo 3.10 ;; *) exit 1 ;; esac", "is Python 3.10; the course runs on 3.11 to"),
        ("exit 1", "does not answer as a Python"),
        ("case $2 in *ensurepip*) exit 1 ;; *print*) echo 3.14 ;; esac", "lacks its venv module"),
    ],
)
def test_a_python_that_does_not_do(tmp_path, script, says):
    """As far as setup.sh asks them, these are Pythons: they print a version, and say whether they fit."""
    python = "" if script == "" else str(tmp_path / "python")
    if script:
        program(tmp_path / "python", script)
    assert says in one_line(set_up(tmp_path, python))
    assert not (tmp_path / ".venv").exists()


def test_a_venv_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/precious").touch()
    assert "was not made by this Makefile" in one_line(set_up(tmp_path, ""))
    assert (tmp_path / ".venv/precious").exists()


def in_terminal(address: str, command: str) -> str:
    """What this command prints in a terminal of the JupyterLab at this address."""
    base, token = re.fullmatch(r"http(://[^/]*/).*(token=.*)", address).groups()
    request = urllib.request.Request(f"http{base}api/terminals?{token}", method="POST")
    with urllib.request.urlopen(request, timeout=60) as made:
        name = json.load(made)["name"]
    terminal = websocket.create_connection(f"ws{base}terminals/websocket/{name}?{token}", timeout=60)
    terminal.send(json.dumps(["stdin", f"{command}; echo do''ne\r"]))
    printed = ""
    while "done" not in printed:
        kind, *words = json.loads(terminal.recv())
        printed += words[0] if kind == "stdout" else ""
    terminal.close()
    return printed


def test_make_lab_opens_the_learners_own_folder_on_the_next_port_if_the_wanted_one_is_taken(tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    command = [sys.executable, "-m", "moe_tutorial.tools", "lab", "--port", str(port), "--no-browser"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1", "HOME": str(tmp_path), "SHELL": "/bin/sh"}
    (tmp_path / ".profile").write_text("PATH=/usr/bin:/bin\n")  # as a login shell on many systems
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    lab = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipe)
    too_late = threading.Timer(60, lab.kill)  # or a Lab that never names its address would be waited for forever
    too_late.start()
    try:
        address = next((line for line in lab.stdout if "/lab/tree/START.md" in line), "")
        assert port < int(re.search(r":(\d+)/", address)[1]) <= port + 4
        while True:  # it names its address a moment before it answers there
            try:
                with urllib.request.urlopen(address.split()[-1], timeout=60) as page:
                    assert "JupyterLab" in page.read().decode()
                break
            except urllib.error.URLError:
                assert lab.poll() is None
                time.sleep(0.2)
        assert (tmp_path / "my-course/00_start_here.ipynb").exists()
        assert f"{Path(sys.executable).parent}/python" in in_terminal(address.split()[-1], "command -v python")
    finally:
        too_late.cancel()
        os.killpg(lab.pid, signal.SIGKILL)  # a Lab that is asked to stop takes its time on a busy machine
        lab.communicate()
        taken.close()
