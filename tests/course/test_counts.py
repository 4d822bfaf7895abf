"""What a lesson asks of its learner, counted."""

import re

import pytest

from moe_tutorial.course.counts import counts

LESSON = """# %% [markdown]
# # Dice
#
# 5 minutes. You leave able to throw. <!-- not this --> A [link](of-no-words.md) and $x + y$.

# %%
guess("13.six", "How often does a six come?", slider=(0, 100, 1, "%"))

# %% tags=["exercise"]
def my_dice(n):
    ### BEGIN SOLUTION
    # a comment is no line

    rolls = torch.randint(6, (n,))
    return rolls + 1
    ### END SOLUTION

# %%
from moe_tutorial.show import picture, sweep

picture(draw)
claim("13.1", "A six comes as often as a one")

# %% [markdown]
# ## Try it
#
# These words fold away.

# %%
sweep(draw)

# %% [markdown]
# ## Recap
#
# Three words more.
"""


def test_a_lesson_is_counted_without_what_folds_away(tmp_path):
    lesson = tmp_path / "13_dice.py"
    lesson.write_text(LESSON, encoding="utf-8")
    found = counts(lesson)
    words = 15  # Dice 5 minutes You leave able to throw A link and Recap Three words more
    assert found[:7] == (words, 2, 1, 1, 1, 1, 2)
    assert found.minutes == pytest.approx(words / 180 + 2 + 0.5 * 3)
    assert found.stretch == pytest.approx(4 / 180 + 1)  # the picture and the claim, and what follows


def test_a_widget_is_an_act_and_a_quiz_as_many_as_its_questions(tmp_path):
    lesson = tmp_path / "13_dice.py"
    lesson.write_text('# %%\nsweep(draw)\n\n# %%\nquiz("00")\n', encoding="utf-8")
    found = counts(lesson)
    assert found.acts == 1 + found.questions
    assert found.questions >= 3
    assert found.stretch == 0


@pytest.mark.parametrize("name", ["00_start_here", "01_why_experts", "02_experts", "03_router", "04_training"])
def test_a_lesson_with_exercises_asks_for_little_at_a_time(root, name):
    lesson = root / f"notebooks/{name}.py"
    found = counts(lesson)
    assert 3 <= found.exercises <= 5
    assert found.claims <= 4
    assert found.minutes <= 35
    assert found.stretch <= 4
    told = int(re.search(r"^# (\d+) minutes\.", lesson.read_text(encoding="utf-8"), re.MULTILINE)[1])
    assert 0 <= told - found.minutes <= 7  # and running the cells takes time
