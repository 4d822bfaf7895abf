"""Build the website with Jupyter Book: the lessons, executed, as pages that need no other host.

A build is skipped when nothing that it reads has changed since the last one.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

AT_ONCE = 2  # lessons; more would disturb the ones that measure times
IGNORED = {"__pycache__", ".ipynb_checkpoints", "node_modules"}


class BookError(Exception):
    """The site could not be built; the message says why in one line."""


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of every file in these files and folders: their names and contents."""
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if not IGNORED & set(file.parts) and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def changed(stamp: Path, now: str) -> bool:
    """Whether the stamp file holds something else."""
    return not stamp.exists() or stamp.read_text() != now


def fetch_npm(web: Path, build: Path) -> Path:
    """The npm packages that the pages serve, at the locked versions; fetched only when the lock changed.

    Raises:
        BookError: there is no npm, or it could not fetch.
    """
    target, stamp = build / "npm", build / "npm.stamp"
    now = fingerprint([web / "package.json", web / "package-lock.json"])
    if not changed(stamp, now):
        return target / "node_modules"
    npm = shutil.which("npm")
    if not npm:
        raise BookError("there is no npm here; the site serves three npm packages. Install Node.js 18 or newer")
    target.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(web / name, target)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BookError(
            f"npm could not fetch the site's packages (no network?): {reason[0] if reason else 'no reason given'}"
        )
    stamp.write_text(now)
    return target / "node_modules"


def gather_assets(modules: Path, target: Path) -> None:
    """Copy what the pages load from the npm packages and from pip's into one folder."""
    import plotly

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(modules / "requirejs/require.js", target)
    shutil.copytree(
        modules / "@jupyter-widgets/html-manager/dist",
        target / "html-manager",
        ignore=lambda _, names: [
            n for n in names if n.endswith((".map", ".txt")) or ("embed" in n and n != "embed-amd.js")
        ],
    )
    mathjax, es5 = target / "mathjax", modules / "mathjax/es5"
    mathjax.mkdir()
    shutil.copy(es5 / "tex-mml-chtml.js", mathjax)
    for part in ("input/tex/extensions", "output/chtml/fonts/woff-v2"):
        shutil.copytree(es5 / part, mathjax / part)
    shutil.copy(Path(sys.prefix, "share/jupyter/nbextensions/anywidget/index.js"), target / "anywidget.js")
    shutil.copy(Path(plotly.__file__).parent / "package_data/plotly.min.js", target)


def enter(environment: dict[str, str]) -> None:
    """Give a process, and the kernels that it starts, this environment and no other."""
    os.environ.clear()
    os.environ.update(environment)


def executed(path: Path) -> Any:
    """A lesson's notebook with its outputs."""
    import nbformat

    from moe_tutorial.course.lessons import execute

    return execute(nbformat.read(path, as_version=4), path)


def execute_lessons(folder: Path, kept: Path, environment: dict[str, str]) -> None:
    """Run the lessons that changed, two at a time, and keep their outputs where Jupyter Book looks for them.

    Left to itself, it would run one after another.

    Raises:
        BookError: a cell failed; the message names it.
    """
    import nbformat
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    from moe_tutorial.course.lessons import LessonError

    cache, due = get_cache(kept), []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"), reverse=True):  # the later ones take longest
        try:
            cache.match_cache_notebook(nbformat.read(path, as_version=4))
        except KeyError:
            due.append(path)
    failed = []
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn"), enter, (environment,)) as pool:
        runs = {pool.submit(executed, path): path for path in due}
        for run in as_completed(runs):
            try:
                bundle = CacheBundleIn(run.result(), str(runs[run]))
            except LessonError as error:
                failed.append(str(error))
            else:
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    if failed:
        raise BookError("\n".join(failed))


def build(repository: Path, again: bool = False) -> Path:
    """Build the site if anything changed. Returns the folder of its pages.

    Raises:
        BookError: npm is missing, a lesson failed, or a page did not build without a warning.
    """
    import yaml

    out, config = repository / "_build", repository / "book.yml"
    notebooks, package = repository / "notebooks", repository / "moe_tutorial"
    html, stamp = out / "html", out / "html.stamp"
    measured = sorted((out / "comparison").glob("*-seed-0.json"))  # a lesson shows it, so a new one is a new page
    now = fingerprint([config, package, notebooks, *measured])
    if not again and not changed(stamp, now):
        print(f"✓ the site is up to date: {html / 'index.html'}")
        return html

    out.mkdir(exist_ok=True)
    gather_assets(fetch_npm(package / "course/web", out), out / "assets")
    toc = out / "_toc.yml"
    contents = {"format": "jb-book", **yaml.safe_load(config.read_text(encoding="utf-8"))["toc"]}
    toc.write_text(yaml.safe_dump(contents, sort_keys=False))

    # Executed lessons are kept from build to build, unless the code that they import changed.
    floors = [package / floor for floor in ("layers", "study", "show")]
    kept, code = out / "executed.stamp", fingerprint(floors + measured)
    if changed(kept, code):
        shutil.rmtree(out / ".jupyter_cache", ignore_errors=True)
        kept.write_text(code)

    shutil.rmtree(html, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    print("Building the site. Lessons that changed run first.", flush=True)
    environment = os.environ | {"MOE_SITE": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    environment.pop("MOE_SEED", None)
    # The kernels start from IPython's own settings, whatever the reader's are.
    environment["IPYTHONDIR"] = str(out / "ipython")
    execute_lessons(notebooks, out / ".jupyter_cache", environment)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(notebooks), "--config", str(config)]
    command += ["--toc", str(toc), "--path-output", str(repository), "-W", "--keep-going", "--all", "--quiet"]
    if subprocess.run(command, env=environment, cwd=repository, check=False).returncode or not html.exists():
        raise BookError("the site did not build without a warning; the warnings stand above")
    stamp.write_text(now)
    print(f"✓ the site is built: open {html / 'index.html'}")
    return html
