"""Check the project's JavaScript: format (prettier), rules (eslint), and types of files with @ts-check (tsc)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from moe_tutorial.tools.book import fetch_npm

FOLDERS = ("moe_tutorial", "tests")
TYPES = "--noEmit --allowJs --strict false --target es2024 --module esnext --lib es2024,dom"


def check(repository: Path) -> int:
    """Run the three tools in the versions of package-lock.json; returns the exit status.

    Without Node.js it prints a message and passes, or fails if ``CI`` is set.

    Raises:
        BookError: npm could not fetch the tools.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        in_ci = bool(os.environ.get("CI"))
        print("✗" if in_ci else "–", "JavaScript is not checked: install Node.js 20 or newer", file=sys.stderr)
        return int(in_ci)
    web, build = repository / "moe_tutorial/tools/web", repository / "_build"
    modules = fetch_npm(web, build)
    config = modules.parent / "eslint.config.js"  # beside the packages that it imports
    shutil.copy(web / config.name, config)
    scripts = sorted(str(path) for folder in FOLDERS for path in (repository / folder).rglob("*.*js"))
    commands = [
        ["prettier", "--config", web / "package.json", "--check", "--log-level", "warn", *scripts],
        ["eslint", "--config", config, *scripts],
        ["tsc", *TYPES.split(), *scripts],
    ]
    return max(subprocess.run([modules / ".bin" / name, *rest], check=False).returncode for name, *rest in commands)
