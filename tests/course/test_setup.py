"""What is missing on a reader's machine is said in one clear line."""

import os
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
from test_install import lay_tools, program

from moe_tutorial.course.lab import free_port

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the Makefile's shell script is for POSIX shells")

OLD = """#!/bin/sh
# A Python 3.10, as far as setup.sh asks: it prints its version, and says no to the question whether it fits.
case "$2" in *print*) echo 3.10 ;; *) exit 1 ;; esac
"""
NOT_A_PYTHON = "#!/bin/sh\nexit 1\n"
NO_VENV = """#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.14 ;; esac
"""


def set_up(folder: Path, python: str, with_uv: bool = False) -> subprocess.CompletedProcess:
    """Run the script in a folder that holds what it reads, on a machine that has no more than it needs."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    lay_tools(folder / "bin", with_uv)
    command = ["sh", str(ROOT / "moe_tutorial/course/setup.sh"), python, "lab"]
    environment = os.environ | {"PATH": str(folder / "bin")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def one_line(run: subprocess.CompletedProcess) -> str:
    assert run.returncode != 0
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    return lines[0]


def test_a_missing_python(tmp_path):
    assert "There is no python9.9 here" in one_line(set_up(tmp_path, "python9.9"))
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (OLD, "is Python 3.10; the course runs on 3.11 to 3.14"),
        (NOT_A_PYTHON, "does not answer as a Python"),
        (NO_VENV, "lacks its venv module"),
    ],
)
def test_a_python_that_does_not_do(tmp_path, script, says):
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)
    assert says in one_line(set_up(tmp_path, str(python)))
    assert not (tmp_path / ".venv").exists()


def test_no_python_that_fits(tmp_path):
    assert "No Python 3.11 to 3.14 was found" in one_line(set_up(tmp_path, ""))


def test_uv_needs_no_venv_module_but_a_python(tmp_path):
    program(tmp_path / "python", "case $2 in *print*) echo 3.14 ;; *sys.exit*) ;; *) exit 1 ;; esac")
    line = one_line(set_up(tmp_path, str(tmp_path / "python"), with_uv=True))
    assert line.startswith("uv could not make .venv with ")
    assert not (tmp_path / ".venv").exists()


def test_a_venv_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/precious").touch()
    assert "was not made by this Makefile" in one_line(set_up(tmp_path, ""))
    assert (tmp_path / ".venv/precious").exists()


def test_a_taken_port_moves_on_and_says_so(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(str(port)) > port
    assert f"Port {port} is taken: JupyterLab opens on" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["eighty", "0", "70000", "-1"])
def test_a_port_that_is_none(port):
    with pytest.raises(SystemExit, match=f"PORT is '{port}'"):
        free_port(port)


def test_make_alone_lists_the_targets():
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("lab", "test", "lessons", "book", "check", "reference"):
        assert f"  {target} " in run.stdout


def test_make_fresh_says_what_it_needs(tmp_path):
    for tool in ("bash", "dirname", "id"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    environment = os.environ | {"PATH": str(tmp_path)}
    command = [str(tmp_path / "bash"), str(ROOT / ".ci/fresh")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "debootstrap as root, docker, or podman. None is here." in one_line(run)


def read(address: str, seconds: float = 30) -> str:
    """The page at an address; JupyterLab names its address a moment before it answers there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=seconds) as page:
                return page.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_make_lab_opens_the_learners_own_folder_on_a_free_port(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moe_tutorial.course", "lab", "--port", str(port), "--no-browser"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1"}
    lab = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    too_late = threading.Timer(60, lab.kill)  # or a Lab that never names its address would be waited for forever
    too_late.start()
    try:
        address = next((line for line in lab.stdout if "/lab/tree/START.md" in line), "")
        assert f":{port}/" in address
        assert "JupyterLab" in read(address.split()[-1])
        assert (tmp_path / "my-course/00_start_here.ipynb").exists()
    finally:
        too_late.cancel()
        os.killpg(lab.pid, signal.SIGKILL)  # a Lab that is asked to stop takes its time on a busy machine
        lab.communicate()
