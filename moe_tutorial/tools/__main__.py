"""The course's command line: ``moe-tutorial``, or ``python -m moe_tutorial.tools``."""

import argparse
import sys
from pathlib import Path

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import lessons_folder, repository

LEARNERS = {
    "lab": "open your own folder of the course in JupyterLab, and make it if there is none (options go to JupyterLab)",
    "new": "make your own folder of the course, without opening it",
    "update": "bring your folder up to date with the course: your answers and your own cells go into the new lessons",
    "reset": "replace a lesson by the original; yours is saved in old/",
    "my-moe": "collect what you wrote into my_moe.py, a mixture of experts that needs PyTorch alone",
}
INSTRUCTORS = {"nbgrader": "make an nbgrader course from the lessons with exercises, in a new folder"}
CONTRIBUTORS = {
    "lessons": "run every lesson and count the claims that hold; writes nothing",
    "reference": "run the lessons and store their text outputs in the .ipynb",
    "sync": "check that every .ipynb equals its .py and stores text only",
    "book": "build the website into _build/html",
    "scripts": "check the JavaScript: prettier, eslint, and types",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):  # for ✓ and ✗: a Windows console may not use UTF-8
        stream.reconfigure(encoding="utf-8", errors="replace")
    chosen, rest = parsed(arguments)
    try:
        return learn(chosen, rest) if chosen.command in LEARNERS | INSTRUCTORS else contribute(chosen)
    except CourseError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1


def parsed(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Parse the arguments. Returns the command with its options, and the arguments to pass on to JupyterLab."""
    name = "moe-tutorial" if not sys.argv[0].endswith("__main__.py") else "python -m moe_tutorial.tools"
    parser = argparse.ArgumentParser(prog=name, description="Learn with the course, or work on it.")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = LEARNERS | INSTRUCTORS | CONTRIBUTORS
    added = {name: commands.add_parser(name, help=text) for name, text in texts.items()}
    for name in LEARNERS:
        said = "your folder of the course; default: the current folder if it is one, otherwise my-course in it"
        added[name].add_argument("--folder", type=Path, help=said)
    for name in ("lessons", "reference", "sync"):
        added[name].add_argument("--folder", type=Path, default=lessons_folder())
    added["lab"].add_argument("--port", type=int, default=8888)
    added["lab"].add_argument("--repository", action="store_true", help="for contributors: open the repository itself")
    added["reset"].add_argument("lesson", help="such as 03")
    added["nbgrader"].add_argument("folder", type=Path)
    added["reference"].add_argument("lesson", nargs="*", help="such as 03_router; without one, all run")
    added["book"].add_argument("--again", action="store_true", help="build even if nothing changed")
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command != "lab":
        parser.error(f"unknown: {' '.join(rest)}")
    return chosen, rest


def learn(chosen: argparse.Namespace, rest: list[str]) -> int:
    """Run a learner's command, or an instructor's; returns the exit status."""
    try:
        from moe_tutorial.tools.workspace import commands
    except ModuleNotFoundError as error:
        raise CourseError(f'{error.name} is missing here: pip install "moe-tutorial[lab]"') from None

    return commands.run(chosen, rest)


def contribute(chosen: argparse.Namespace) -> int:
    """Run a contributor's command; returns the exit status. Imports are local so that `sync` starts quickly."""
    if chosen.command == "book":
        from moe_tutorial.tools.book import build

        build(repository(), again=chosen.again)
        return 0
    if chosen.command == "scripts":
        from moe_tutorial.tools.scripts import check

        return check(repository())
    from moe_tutorial.tools.notebooks import lessons

    folder = chosen.folder.resolve()
    if chosen.command == "reference":
        lessons.reference(folder, chosen.lesson)
        return 0
    return int({"lessons": lessons.run, "sync": lessons.sync}[chosen.command](folder) > 0)


if __name__ == "__main__":
    sys.exit(main())
