"""``score_card()``: what a learner has done so far, lesson by lesson: guesses, exercises, quizzes, suspects."""

import traitlets as t

from moe_tutorial.course.progress.storage import Asking, answered, place, when_stored
from moe_tutorial.show.web import bundle

NOTHING = "Nothing is counted yet. Lock a guess, solve an exercise, answer a quiz, and it stands here."


class ScoreCard(Asking):
    """The widget behind `score_card`. On the site, its data come from the browser."""

    _esm = bundle("web/ask/score.js")
    label = t.Unicode("Your score card").tag(sync=True)
    stored = t.Dict().tag(sync=True)  # kind -> id -> value
    nothing = t.Unicode(NOTHING).tag(sync=True)

    def __repr__(self) -> str:
        return f"{self.label} (an interactive table)"

    def page(self) -> str:
        """HTML shown until the widget loads, and without JavaScript."""
        return f'<section class="moe-ask"><p class="moe-label">{self.label}</p><p>{self.nothing}</p></section>'


def score_card() -> ScoreCard:
    """Show how close your guesses were, which exercises you solved, and your quiz results, over the whole course."""
    card = ScoreCard(place=place(), stored=answered())
    when_stored.append(lambda: card.set_trait("stored", answered()))
    return card
