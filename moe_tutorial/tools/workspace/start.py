"""The front page of a learner's folder: where to go on, the map of the lessons, and how the folder works."""

import hashlib
import re
from datetime import datetime
from pathlib import Path

from moe_tutorial.course.progress import backups
from moe_tutorial.course.progress.file import FILE, Progress, write_file
from moe_tutorial.tools.workspace.copies import Page
from moe_tutorial.tools.workspace.status import count

START = "START.md"
MADE = re.compile(r"\n<!-- Made by the course (\w+)[^\n]*-->\n$")


def write_start(folder: Path, course: list[Page]) -> None:
    """Write the front page. A page that the learner edited is backed up first."""
    path, text = folder / START, start(folder, course)
    if path.exists():
        before = path.read_text(encoding="utf-8", errors="replace")
        made = MADE.search(before)
        if before == text:
            return
        if not made or made[1] != digest(before[: made.start()]):
            backups.back_up(path, datetime.now())
    write_file(path, text.encode())


def digest(text: str) -> str:
    """A digest in the front page, which shows whether the learner has edited it."""
    return hashlib.sha1(text.encode()).hexdigest()[:12]


def start(folder: Path, course: list[Page]) -> str:
    """The front page: where to go on, the map of the lessons with what is done, and how the folder works."""
    kept = Progress(folder / FILE).read()
    counts = {page.name: count(page, kept) for page in course}
    lessons = [page for page in course if page.name[:2].isdecimal()]
    begun = [number for number, page in enumerate(lessons) if counts[page.name].is_begun]
    following = lessons[begun[-1] if begun else 0]
    if counts[following.name].is_all and following != lessons[-1]:
        following = lessons[begun[-1] + 1]
    rows = [
        f"| {'✓' if counts[page.name].is_all else ''} | [{page.lesson.title}]({page.file}) | {page.asks} "
        f"| {', '.join(need[:2] for need in page.needs)} | {counts[page.name]} |"
        for page in lessons
    ]
    others = [f"[{page.lesson.title}]({page.file})" for page in course if page not in lessons]
    name = f"{'Go on' if begun else 'Begin'} with **[{following.lesson.title}]({following.file})**"
    text = f"""# Mixture of experts, measured

{name}. A click on its name opens it here.

| | lesson | the question | needs | done |
|---|---|---|---|---|
{chr(10).join(rows)}

{"To play with in between: " + ", ".join(others) + "." if others else ""}

## This folder is yours

Write in every cell you like, and add your own. What you solve, guess and answer is counted in `{FILE}`, and the table
above is made from it when the course is opened. In a terminal (*File*, *New*, *Terminal*):

| this | does |
|---|---|
| `moe-tutorial update` | brings the lessons up to date, with your answers in them; cells of your own stand at the end |
| `moe-tutorial reset 03` | gives lesson 03 anew |
| `moe-tutorial my-moe` | collects what you wrote into `my_moe.py`, a mixture of experts of your own |

Whatever they replace is kept in the folder `old`, with its date. A lesson that is open in JupyterLab is not replaced.
To go on at another machine, copy this whole folder.
"""
    return f"{text}\n<!-- Made by the course {digest(text)}, again and again; what you add is kept in old/ -->\n"
