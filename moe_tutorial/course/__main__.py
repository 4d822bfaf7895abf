"""The course's command line: ``python -m moe_tutorial.course lab|lessons|reference|sync|scripts|book``."""

import argparse
import sys
from pathlib import Path

from moe_tutorial.course import CourseError

REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may not be UTF-8, and the marks are
        stream.reconfigure(encoding="utf-8", errors="replace")
    parser = argparse.ArgumentParser(prog="python -m moe_tutorial.course", description="Run the course.")
    commands = parser.add_subparsers(dest="command", required=True)
    lab = commands.add_parser("lab", help="open JupyterLab on the first lesson (further options go to JupyterLab)")
    lab.add_argument("--port", default="8888")
    for name, text in {
        "lessons": "run every lesson and count the claims that hold; writes nothing",
        "reference": "run the lessons and store their text outputs in the .ipynb",
        "sync": "check that every .ipynb equals its .py and stores text only",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--folder", type=Path, default=REPOSITORY / "notebooks")
        if name == "reference":
            command.add_argument("lesson", nargs="*", help="such as 03_router: run these alone; without one, run all")
    book = commands.add_parser("book", help="build the website into _build/html")
    book.add_argument("--again", action="store_true", help="build even if nothing changed")
    commands.add_parser("scripts", help="check the JavaScript: prettier, eslint, and types")
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command != "lab":
        parser.error(f"unknown: {' '.join(rest)}")

    try:
        return run(chosen, rest)
    except CourseError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1


def run(chosen: argparse.Namespace, rest: list[str]) -> int:
    """Run this command; returns the exit status. Each imports only what it uses, so that `sync` stays quick."""
    if chosen.command == "lab":
        from moe_tutorial.course.lab import open_lab

        open_lab(REPOSITORY, chosen.port, rest)
        return 0
    if chosen.command == "book":
        from moe_tutorial.course.book import build

        build(REPOSITORY, again=chosen.again)
        return 0
    if chosen.command == "scripts":
        from moe_tutorial.course.scripts import check

        return check(REPOSITORY)
    from moe_tutorial.course import lessons

    folder = chosen.folder.resolve()
    if chosen.command == "reference":
        lessons.reference(folder, chosen.lesson)
        return 0
    return int({"lessons": lessons.run, "sync": lessons.sync}[chosen.command](folder) > 0)


if __name__ == "__main__":
    sys.exit(main())
