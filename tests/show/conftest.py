"""What the tests of the playground share."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def engine(node, root, tmp_path_factory):
    """A job of playground_engine.mjs: job, request -> its answer."""
    modules = tmp_path_factory.mktemp("engine")
    for folder in ("playground", "web"):
        shutil.copytree(root / "moe_tutorial" / "show" / folder, modules / folder)
    (modules / "package.json").write_text('{"type": "module"}', encoding="utf-8")

    def run(job: str, **request):
        command = [node, Path(__file__).with_name("playground_engine.mjs"), modules / "playground"]
        asked = json.dumps({"job": job} | request)
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=240, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
