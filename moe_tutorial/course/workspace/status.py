"""How far a learner is: counted for `status`, drawn up on the front page, forgotten lesson by lesson, taken along."""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import FILE, Progress
from moe_tutorial.course.workspace import files
from moe_tutorial.course.workspace.copies import Page
from moe_tutorial.course.workspace.merge import exercises

START = "START.md"
ASKED = {kind: re.compile(rf"""^\s*{kind}\(\s*["']([^"']+)["']""", re.MULTILINE) for kind in ("guess", "quiz")}
FORM = "progress in the course on mixtures of experts"
MADE = re.compile(r"\n<!-- Made by the course (\w+)[^\n]*-->\n$")


class Count(NamedTuple):
    """What there is to do in a lesson, and how much of it is done."""

    exercises: tuple[int, int]
    guesses: tuple[int, int]
    questions: tuple[int, int]  # of its quizzes: right, and all; (0, 0) before one is begun
    quizzes: int

    def __str__(self) -> str:
        (solved, tasks), (made, guesses), (right, questions) = self.exercises, self.guesses, self.questions
        said = [f"{solved} of {tasks} exercises"] if tasks else []
        said += [f"{made} of {guesses} guesses"] if guesses else []
        said += [f"quiz {right} of {questions}" if questions else "quiz to come"] if self.quizzes else []
        return ", ".join(said)

    @property
    def is_all(self) -> bool:
        """Whether nothing is left to do; never where there was nothing."""
        whole = all(done == of for done, of in (self.exercises, self.guesses, self.questions))
        return whole and bool(self.questions[1]) == bool(self.quizzes) and bool(str(self))


def asked(page: Page) -> dict[str, list[str]]:
    """The ids of what a lesson asks: kind -> ids."""
    code = "\n".join(cell.source for cell in page.notebook.cells if cell.cell_type == "code")
    return {"exercise": exercises(page.notebook)} | {kind: form.findall(code) for kind, form in ASKED.items()}


def count(page: Page, kept: dict[str, dict[str, Any]]) -> Count:
    """How much of a lesson is done."""
    of = asked(page)
    solved = sum(bool(kept.get("exercise", {}).get(id, {}).get("solved")) for id in of["exercise"])
    made = sum(id in kept.get("guess", {}) for id in of["guess"])
    quizzes = [kept["quiz"][id] for id in of["quiz"] if id in kept.get("quiz", {})]
    right = sum(len(quiz["right"]) for quiz in quizzes), sum(quiz["of"] for quiz in quizzes)
    return Count((solved, len(of["exercise"])), (made, len(of["guess"])), right, len(of["quiz"]))


def lines(folder: Path, course: list[Page]) -> Iterator[str]:
    """A line for each lesson."""
    kept = Progress(folder / FILE).read()
    width = max(len(page.title) for page in course)
    for page in course:
        done = count(page, kept)
        yield f"{'✓' if done.is_all else ' '} {page.title:{width}}  {done}".rstrip()


def write_start(folder: Path, course: list[Page]) -> None:
    """Write the front page. A learner's own words in it are kept first."""
    path, text = folder / START, start(folder, course)
    if path.exists():
        before = path.read_text(encoding="utf-8")
        made = MADE.search(before)
        if before == text:
            return
        if not made or made[1] != digest(before[: made.start()]):
            files.keep(path, datetime.now())
    files.write(path, text.encode())


def digest(text: str) -> str:
    """By which the course knows its own words again."""
    return hashlib.sha1(text.encode()).hexdigest()[:12]


def start(folder: Path, course: list[Page]) -> str:
    """The front page: where to go on, the map of the lessons with what is done, and how the folder works."""
    kept = Progress(folder / FILE).read()
    counts = {page.name: count(page, kept) for page in course}
    lessons = [page for page in course if page.name[:2].isdecimal()]
    begun = any(any(done[0] for done in each[:3]) for each in counts.values())
    following = next((page for page in lessons if not counts[page.name].is_all), lessons[0])
    titles = {page.name: page.title for page in course}
    rows = [
        f"| {'✓' if counts[page.name].is_all else ''} | [{page.title}]({page.file}) | {page.asks} "
        f"| {', '.join(titles.get(need, need)[:2] for need in page.needs)} | {counts[page.name]} |"
        for page in lessons
    ]
    others = [f"[{page.title}]({page.file})" for page in course if page not in lessons]
    text = f"""# Mixture of experts, measured

{"Go on" if begun else "Begin"} with **[{following.title}]({following.file})**. A click on its name opens it here.

| | lesson | the question | needs | done |
|---|---|---|---|---|
{chr(10).join(rows)}

{"To play with in between: " + ", ".join(others) + "." if others else ""}

## This folder is yours

Write in every cell you like, and add your own. What you solve, guess and answer is counted in `{FILE}`, and the table
above is made from it when the course is opened. In a terminal (*File*, *New*, *Terminal*):

| this | does |
|---|---|
| `moe-tutorial status` | says how far you are |
| `moe-tutorial update` | brings the lessons up to date, with your answers and your own cells in them |
| `moe-tutorial reset 03` | gives lesson 03 anew |
| `moe-tutorial export` | writes your progress to a file, which `moe-tutorial import` reads on another machine |

Whatever they replace is kept in the folder `old`, with its date.
"""
    return f"{text}\n<!-- Made by the course {digest(text)}, again and again; what you add is kept in old/ -->\n"


def forget(folder: Path, page: Page, now: datetime) -> Path | None:
    """Take a lesson out of the progress; returns where the former is kept, or None where it had nothing of it."""
    file = Progress(folder / FILE)
    with file.alone():
        kept = file.read()
        ids = {kind: set(found) & kept.get(kind, {}).keys() for kind, found in asked(page).items()}
        if not any(ids.values()):
            return None
        copy = files.keep(file.file, now)
        rest = {
            kind: {id: value for id, value in each.items() if id not in ids.get(kind, ())}
            for kind, each in kept.items()
        }
        file.write(rest)
    return copy


def export(folder: Path, target: Path) -> None:
    """Write the progress to one file, for another machine.

    Raises:
        CourseError: there is a file of that name already.
    """
    if target.exists():
        raise CourseError(f"{target} is there already; name another file")
    kept = {"form": FORM, "written": f"{datetime.now():%Y-%m-%d %H:%M}", "progress": Progress(folder / FILE).read()}
    files.write(target, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def take_in(folder: Path, source: Path) -> tuple[int, Path]:
    """Put an exported progress in; what it says nothing of stays. Returns how many entries it had, and where the former
    progress is kept.

    Raises:
        CourseError: the file is not there, or holds something else.
    """
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
        new = found["progress"] if found["form"] == FORM else None
        entries = sum(len(each.keys()) for each in new.values())
    except OSError as error:
        raise CourseError(f"{source} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CourseError(f"{source} is no progress that `moe-tutorial export` wrote; nothing was changed") from None
    file = Progress(folder / FILE)
    with file.alone():
        copy = files.keep(file.file, datetime.now())
        kept = file.read()
        for kind, each in new.items():
            kept[kind] = kept.get(kind, {}) | each
        file.write(kept)
    return entries, copy
