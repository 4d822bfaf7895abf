"""What setup.sh installs, by uv or by pip, and which PyTorch: shown with indexes of a few empty wheels."""

import functools
import http.server
import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "moe_tutorial/tools/setup.sh"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the Makefile's shell script is for POSIX shells")

# All that setup.sh needs beside Python.
TOOLS = ("basename", "cat", "cksum", "grep", "rm", "sed", "sh", "tail", "tee", "tr")
NOTHING = "http://127.0.0.1:9"  # the port of the discard service, on which nothing listens
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny-course"
version = "1"
dependencies = ["torch>=9"]
[project.optional-dependencies]
lab = []
"""
BACKEND = """
import zipfile
from pathlib import Path
{wheel}
def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "tiny_course", "1", 'Requires-Dist: torch>=9', 'Provides-Extra: lab').name
"""


def wheel(folder: Path | str, name: str, version: str, *metadata: str) -> Path:
    """Write a wheel that holds nothing but its metadata."""
    path = Path(folder) / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata]
        file.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def lay_tools(folder: Path, with_uv: bool = False) -> None:
    """Make a folder for the PATH that has what setup.sh needs and nothing else of this machine, but uv if asked."""
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    if with_uv:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert uv, "uv belongs to the test extra"
        (folder / "uv").symlink_to(uv)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A server with three indexes: usual/ stands for PyPI, cpu/ for PyTorch's own, and without/ has no PyTorch. Another
    one never answers."""
    folder = tmp_path_factory.mktemp("indexes")
    wheel(folder / "usual/torch", "torch", "9.9.9", "Requires-Dist: helper")
    wheel(folder / "usual/helper", "helper", "1.0")
    wheel(folder / "usual/pip", "pip", "99")
    wheel(folder / "cpu/torch", "torch", "9.9.9+cpu", "Requires-Dist: helper")
    wheel(folder / "cpu/helper", "helper", "2.0")  # newer, and not to be taken
    (folder / "without/torch").mkdir(parents=True)
    for name in ("helper", "pip"):
        shutil.copytree(folder / "usual" / name, folder / "without" / name)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, socket.socket() as silent:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server.asked, server.url = asked, f"http://127.0.0.1:{server.server_port}"
        server.silent = f"http://127.0.0.1:{silent.getsockname()[1]}"
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory) -> Path:
    """An environment as `python -m venv` makes it; it is copied, because making one takes seconds."""
    venv = tmp_path_factory.mktemp("with_pip") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (venv / "made-by-the-course").touch()
    return venv


@pytest.fixture
def machine(tmp_path, index, with_pip, request):
    """A machine with pip, or with uv, on which a tiny course is installed: call it with setup.sh's environment."""
    folder, bin_ = tmp_path / "course", tmp_path / "bin"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND.format(wheel=inspect.getsource(wheel)))
    lay_tools(bin_, with_uv=request.param == "uv")
    (bin_ / "python3").symlink_to(sys.executable)
    program(bin_ / "uname", "case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac")
    if request.param == "pip":
        shutil.copytree(with_pip, folder / ".venv", symlinks=True)

    def set_up(cpu_index=f"{index.url}/cpu", usual=f"{index.url}/usual", **environment):
        # The script as it is, but for PyTorch's address and the places where Linux shows an NVIDIA GPU.
        script = SETUP.read_text(encoding="utf-8")
        places = {
            "https://download.pytorch.org/whl/cpu": cpu_index,
            "/proc/driver/nvidia": f"{tmp_path}/driver",
            "/dev/nvidia0": f"{tmp_path}/device",
        }
        for place, here in places.items():
            assert script.count(place) == 1
            script = script.replace(place, here)
        (tmp_path / "setup.sh").write_text(script, encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("PIP_", "UV_", "TORCH_", "PYTHON"))}
        kept |= {"PATH": str(bin_), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "NO_PROXY": "127.0.0.1"}
        kept |= {"PIP_INDEX_URL": usual, "UV_DEFAULT_INDEX": usual, "UV_CACHE_DIR": str(tmp_path / "cache")}
        kept |= {"UV_HTTP_RETRIES": "0"} | environment
        index.asked.clear()
        return subprocess.run(
            ["sh", str(tmp_path / "setup.sh"), "", "lab"],
            cwd=folder, env=kept, capture_output=True, encoding="utf-8", check=False, timeout=120,
        )  # fmt: skip

    set_up.folder, set_up.bin = folder, bin_
    return set_up


def installed(machine) -> dict[str, str]:
    """Name and version of what the course's environment holds, pip aside."""
    folders = machine.folder.glob(".venv/lib/python*/site-packages/*.dist-info")
    pairs = dict(folder.name.removesuffix(".dist-info").split("-") for folder in folders)
    return {name: version for name, version in pairs.items() if name not in ("pip", "setuptools", "wheel")}


USUAL = {"tiny_course": "1", "torch": "9.9.9", "helper": "1.0"}
CPU = USUAL | {"torch": "9.9.9+cpu"}


@pytest.mark.parametrize("machine", ["pip", "uv"], indirect=True)
def test_without_a_gpu_pytorch_alone_is_the_cpu_build_and_a_second_run_asks_nothing_of_the_network(machine, index):
    run = machine()
    assert (run.returncode, run.stderr) == (0, "")
    assert "No NVIDIA GPU is here: PyTorch's CPU build is taken. TORCH_INDEX=pypi" in run.stdout
    assert installed(machine) == CPU
    assert list(machine.folder.glob(".venv/lib/python*/site-packages/pip-*.dist-info"))  # uv's have none of their own
    again = machine()
    assert (again.returncode, again.stdout, again.stderr, index.asked) == (0, "", "", [])
    (machine.folder / "pyproject.toml").write_text(PROJECT + "# changed\n")
    changed = machine(cpu_index=NOTHING)
    assert changed.returncode == 0
    assert "PyTorch" not in changed.stdout  # the one that is there fits
    assert installed(machine) == CPU


GPU, NO_GPU, MAC = {"nvidia-smi": "exit 0"}, {"nvidia-smi": "exit 9"}, {"uname": "echo Darwin arm64"}
NO_ANSWER = "PyTorch's own index does not answer, so PyTorch comes with CUDA"


@pytest.mark.parametrize("machine", ["uv"], indirect=True)  # the quicker one, where it makes no difference
@pytest.mark.parametrize(
    ("programs", "options", "said", "found"),
    [
        (GPU, {}, None, USUAL),
        (NO_GPU, {}, "No NVIDIA GPU is here", CPU),
        (MAC, {}, None, USUAL),  # there PyPI's is a CPU build
        ({}, {"TORCH_INDEX": "pypi"}, None, USUAL),
        (GPU, {"TORCH_INDEX": "{index.url}/cpu"}, "PyTorch comes from TORCH_INDEX, {index.url}/cpu.", CPU),
        ({}, {"cpu_index": "{index.silent}"}, NO_ANSWER, USUAL),
        ({}, {"cpu_index": "{index.url}/without"}, "It could not be had (", USUAL),
    ],
)
def test_which_pytorch_is_taken(machine, index, programs, options, said, found):
    for name, script in programs.items():
        program(machine.bin / name, script)
    run = machine(**{name: value.format(index=index) for name, value in options.items()})
    assert run.returncode == 0, run.stderr
    assert installed(machine) == found
    assert said.format(index=index) in run.stdout if said else "PyTorch" not in run.stdout
    assert said or not [path for path in index.asked if "/cpu/" in path]


@pytest.mark.parametrize("machine", ["uv", pytest.param("pip", marks=pytest.mark.nightly)], indirect=True)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"TORCH_INDEX": NOTHING}, "^The packages could not be fetched: no network"),
        ({"cpu_index": NOTHING, "usual": NOTHING}, "^The packages could not be fetched: no network"),
        ({"TORCH_INDEX": "pypi", "usual": "{index.url}/without"}, "^The install failed: .*torch"),
    ],
)
def test_what_stops_it_is_one_line(machine, index, options, says):
    run = machine(**{name: value.format(index=index) for name, value in options.items()})
    assert run.returncode != 0
    (line,) = run.stderr.splitlines()
    assert re.search(says, line)
    assert installed(machine) == {}
