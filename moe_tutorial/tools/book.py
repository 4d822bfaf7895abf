"""Build the website with Jupyter Book: pages of the executed lessons, with all assets served from the site itself.

A build is skipped if none of its inputs has changed since the last one.
"""

import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
from filelock import FileLock
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.tools.jupyter.kernels import LessonError, execute
from moe_tutorial.tools.notebooks import executed


class BookError(CourseError):
    """The site could not be built; the message says why in one line."""


def changed(stamp: Path, made: Path, now: str) -> bool:
    """Whether the stamp file differs from ``now``, or the stamp file or the output ``made`` is missing."""
    return not stamp.exists() or not made.exists() or stamp.read_text() != now


def fetch_npm(web: Path, build: Path) -> Path:
    """Install the npm packages at their locked versions, unless they are up to date. Returns the node_modules folder.

    Raises:
        BookError: npm is missing, or could not fetch the packages.
    """
    build.mkdir(parents=True, exist_ok=True)
    with FileLock(build / "npm.lock"):  # parallel test workers may call this
        return _fetch_npm([web / "package.json", web / "package-lock.json"], build / "npm", build / "npm.stamp")


def _fetch_npm(wanted: list[Path], target: Path, stamp: Path) -> Path:
    now = executed.fingerprint(wanted)
    if not changed(stamp, target / "node_modules", now):
        return target / "node_modules"
    npm = shutil.which("npm")
    if not npm:
        raise BookError("there is no npm here; the site serves four npm packages. Install Node.js 20 or newer")
    target.mkdir(parents=True, exist_ok=True)
    for file in wanted:
        shutil.copy(file, target)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[0]
        raise BookError(f"npm could not fetch the site's packages (no network?): {reason}")
    stamp.write_text(now)
    return target / "node_modules"


def gather_assets(modules: Path, target: Path) -> None:
    """Copy the KaTeX and plotly.js files that the pages load into one folder, replacing its contents."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    katex, fonts = target / "katex", "fonts/*.woff2"  # all supported browsers read woff2
    (katex / "fonts").mkdir(parents=True)
    for path in (modules / "katex/dist/katex.min.css", *(modules / "katex/dist").glob(fonts)):
        shutil.copy(path, katex / path.relative_to(modules / "katex/dist"))
    shutil.copy(modules / "plotly.js-basic-dist-min/plotly-basic.min.js", target)


def execute_lessons(paths: list[Path], cache: Path, code: str, environment: dict[str, str]) -> list[NotebookNode]:
    """Return each lesson with its outputs, from the cache or else executed now and cached.

    Two at a time; then those with timed claims one after the other, as a second lesson would disturb the clock.

    Raises:
        BookError: a cell failed; the message names it.
    """
    done = {path: found for path in paths if (found := executed.find(path, cache, code))}
    failed = []
    missing = {path: nbformat.read(path, as_version=4) for path in paths if path not in done}
    timed = [path for path, notebook in missing.items() if "timed=True" in nbformat.writes(notebook)]
    for some, at_once in (([path for path in missing if path not in timed], 2), (timed, 1)):
        with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
            runs = {pool.submit(execute, missing[path], path, environment): path for path in some}
            for run in as_completed(runs):
                path = runs[run]
                try:
                    done[path] = run.result()
                    executed.store(done[path], cache / path.name, code)
                except LessonError as error:
                    failed.append(str(error))
    if failed:
        raise BookError("\n".join(failed))
    print(f"{len(paths) - len(missing)} lessons had run already, {len(missing)} ran now.", flush=True)
    return [done[path] for path in paths]


def fill_cache(notebooks: list[NotebookNode], folder: Path) -> None:
    """Replace the contents of Jupyter Book's cache by these executed notebooks."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    shutil.rmtree(folder, ignore_errors=True)
    cache = get_cache(folder)
    for number, notebook in enumerate(notebooks):
        cache.cache_notebook_bundle(CacheBundleIn(notebook, str(number)), check_validity=False)


def build(repository: Path, again: bool = False) -> Path:
    """Build the site if an input changed or ``again`` is set. Returns the folder of its pages.

    Raises:
        BookError: npm is missing, a lesson failed, or a page gave a warning or an error.
    """
    (repository / "_build").mkdir(exist_ok=True)
    with FileLock(repository / "_build" / "site.lock"):  # parallel test workers may call this
        return _build(repository, again)


def _build(repository: Path, again: bool) -> Path:
    import yaml

    from moe_tutorial.tools.notebooks.tables import contents

    out, config = repository / "_build", repository / "book.yml"
    notebooks, package = repository / "notebooks", repository / "moe_tutorial"
    html, stamp = out / "html", out / "html.stamp"
    now = executed.fingerprint([config, package, notebooks])
    if not again and not changed(stamp, html / "index.html", now):
        print(f"✓ the site is up to date: {html / 'index.html'}")
        return html

    from moe_tutorial.tools.site.content.cells import tag_answers
    from moe_tutorial.tools.site.content.lazy_assets import FOLDER, publish

    gather_assets(fetch_npm(package / "tools/web", out), out / "assets")
    toc = out / "_toc.yml"
    first, *pages = contents(repository)
    chapters = [{"file": page["file"]} for page in pages]
    toc.write_text(yaml.safe_dump({"format": "jb-book", "root": first["file"], "chapters": chapters}, sort_keys=False))

    shutil.rmtree(html, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    print("Building the site.", flush=True)
    environment = executed.environment(repository)
    cache, code = executed.folder(repository), executed.code_digest(repository)
    lessons = sorted(notebooks.glob("*.ipynb"), reverse=True)  # the later ones take longest
    shown = execute_lessons(lessons, cache, code, environment)
    for lesson in shown:
        tag_answers(lesson.cells)
    fill_cache([publish(lesson, out / "assets" / FOLDER) for lesson in shown], out / ".jupyter_cache")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(notebooks), "--config", str(config)]
    command += ["--toc", str(toc), "--path-output", str(repository), "-W", "--keep-going", "--all", "--quiet"]
    if subprocess.run(command, env=environment, cwd=repository, check=False).returncode or not html.exists():
        raise BookError("the site did not build without a warning; the warnings stand above")
    stamp.write_text(now)
    print(f"✓ the site is built: open {html / 'index.html'}")
    return html
