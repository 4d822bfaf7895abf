"""A learner's progress, counted for each lesson."""

from typing import Any, NamedTuple

from moe_tutorial.tools.workspace.copies import Page


class Count(NamedTuple):
    """The tasks of a lesson: for each kind how many are done, and how many there are."""

    exercises: tuple[int, int]
    guesses: tuple[int, int]
    questions: tuple[int, int]  # of the quizzes that were begun: answered right, and all
    quizzes: int

    def __str__(self) -> str:
        (solved, tasks), (made, guesses), (right, questions) = self.exercises, self.guesses, self.questions
        said = [f"{solved} of {tasks} exercises"] if tasks else []
        said += [f"{made} of {guesses} guesses"] if guesses else []
        said += [f"quiz {right} of {questions}" if questions else "quiz to come"] if self.quizzes else []
        return ", ".join(said)

    @property
    def is_begun(self) -> bool:
        """Whether anything is done."""
        return any(done for done, _ in (self.exercises, self.guesses, self.questions))

    @property
    def is_all(self) -> bool:
        """Whether everything is done; False if the lesson has no tasks."""
        whole = all(done == of for done, of in (self.exercises, self.guesses, self.questions))
        return whole and bool(self.questions[1]) == bool(self.quizzes) and bool(str(self))


def count(page: Page, kept: dict[str, dict[str, Any]]) -> Count:
    """How much of a lesson is done."""
    of = page.lesson.asked
    solved = sum(bool(kept.get("exercise", {}).get(id, {}).get("solved")) for id in of["exercise"])
    made = sum(id in kept.get("guess", {}) for id in of["guess"])
    quizzes = [kept["quiz"][id] for id in of["quiz"] if id in kept.get("quiz", {})]
    right = sum(len(quiz["right"]) for quiz in quizzes), sum(quiz["of"] for quiz in quizzes)
    return Count((solved, len(of["exercise"])), (made, len(of["guess"])), right, len(of["quiz"]))
