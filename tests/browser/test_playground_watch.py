"""The playground as something to watch, to go back in, to share and to win: a link replays what was on the screen."""

import ast
import json
import random
import re
import time

import pytest
from on_page import FRAMES
from playing import PRESETS, TWO_FRAMES, Opened, pages, visit, wide
from sampled import sampled

__all__ = ["pages", "visit", "wide"]  # fixtures
WATCHED = [known for known in PRESETS if "goal" not in known]
NAMES = {known["id"]: known["name"] for known in PRESETS}


def told(opened):
    """The comparison, once it stands there: [heads, rows]."""
    table = opened.root.locator(".pg-told table")
    table.wait_for()
    rows = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
    return table.locator("thead th").all_inner_texts(), rows


def address(known, settings):
    """A link's words for a preset with other settings from the start."""
    words = {"layer": known["kind"]} | known["settings"] | settings
    return "&".join(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in words.items())


@pytest.mark.parametrize("known", sampled(WATCHED, kept=WATCHED[-1:]), ids=lambda known: known["id"])
def test_what_follows_a_preset_is_asked_computed_and_replayed_by_its_link(wide, visit, known):
    wide.preset(known["name"])
    wide.follow()
    heads, rows = told(wide)
    assert [row[0] for row in rows] == ["changed at step 600", "never changed", "so from the start"]
    reads = wide.readouts()
    assert rows[0][1:] == [reads[head] for head in heads]
    for row, settings in zip(rows[1:], ({}, known["then"]["set"]), strict=True):
        theirs = visit(fragment=f"#{address(known, settings)}&steps=1200").readouts()
        assert row[1:] == [theirs[head] for head in heads]
    again = visit(fragment=wide.hash())
    told(again)
    assert again.screen() == wide.screen()


def test_the_pace_is_kept_and_can_be_changed(visit):
    opened = visit(fragment="#E=4&steps=0")
    assert opened.root.get_by_label("Pace", exact=True).input_value() == "60"
    opened.button("Play").click()
    for pace, enough in (("60", 30), ("10", 4), ("300", 100)):
        opened.choose("Pace", pace).page.evaluate(FRAMES)  # steps of the pace before may not be shown yet
        begun, before = time.monotonic(), opened.step()
        opened.until(f"step >= {before + enough}")
        assert opened.step() - before <= int(pace) * (time.monotonic() - begun + 0.3) + 1  # a slow machine has fewer
    opened.fast().until("step > 2000").button("Pause").click()
    opened.settle()


def test_one_can_go_back_to_any_step_and_play_the_same_again(wide, visit):
    wide.preset(NAMES["kill"]).follow()
    slider = wide.slider("Go back to step")
    assert slider.get_attribute("aria-valuetext") == "1,200 of 1,200"
    end = wide.bars(), wide.readouts()
    slider.fill("333")
    wide.until("step === 333").settle()
    assert slider.get_attribute("max") == "1200"
    assert wide.slider("Noise on the logits").get_attribute("aria-valuetext") == "2.0"
    there = visit(fragment=wide.hash())
    assert (there.step(), there.bars(), there.readouts()) == (333, wide.bars(), wide.readouts())
    wide.button("Play").click()  # with the change at 600, as before
    wide.until("step === 1200").settle()
    assert (wide.bars(), wide.readouts()) == end


def test_an_experiment_waits_for_play_and_its_address_and_its_link_are_right_in_training(visit):
    opened = visit(fragment="#preset=rules&steps=52")
    opened.choose("Experiment", NAMES["revive"])
    opened.page.wait_for_function("location.hash === '#preset=revive'")
    assert opened.settle().step() == 0
    opened.button("Play").click()
    opened.until("step > 5").button("Copy").click()
    opened.root.get_by_text(re.compile("link copied|copy the link")).wait_for()
    fragment = opened.link().partition("#")[2]
    steps = int(fragment.partition("&steps=")[2])
    assert fragment == f"preset=revive&steps={steps}"
    assert 5 < steps <= opened.step() < 600  # it still trains
    assert visit(fragment=f"#{fragment}").step() == steps
    opened.choose("Gate", "hash")
    opened.page.wait_for_function("location.hash.endsWith(':gate:hash')")
    opened.button("Pause").click()
    assert opened.settle().link() == opened.page.url


def test_a_run_with_too_many_changes_says_so_instead_of_a_wrong_link(visit):
    words = ",".join(f"1:noise:{i % 30 / 10}" for i in range(290))
    opened = visit(fragment=f"#steps=300&then={words}")
    assert len(opened.hash()) > 1980
    opened.press("Noise on the logits", "End").press("Learning rate", "Home").settle()
    assert opened.link().startswith("More was changed on the way than a link can hold.")
    assert opened.button("Copy").is_disabled()
    opened.button("Reset").click()
    assert opened.settle().link().startswith("http")


@pytest.mark.parametrize(
    ("left", "back", "called"),
    [
        ("#preset=rules&steps=70&then=60:out:2,0:balance:none", "#preset=rules", NAMES["rules"]),
        ("#E=4&steps=70&then=60:out:2,0:noise:2", "#E=4&noise=2", "your own settings"),
    ],
)
def test_reset_begins_the_same_experiment_with_all_its_experts(visit, left, back, called):
    opened = visit(fragment=left)
    assert opened.readouts()["Dead experts"].endswith("of 4, 1 out")
    opened.button("Reset").click()
    assert (opened.settle().step(), opened.hash(), opened.experiment()) == (0, back, called)
    assert "out" not in opened.shares()


WON = "#preset=seven&steps=1200&then=600:noise:0,0:balance:switch,0:coefficient:1"


def test_a_challenge_is_scored_by_the_run_and_its_link_is_the_result(wide, visit):
    opened = wide.preset(NAMES["seven"])
    assert (opened.step(), opened.root.get_by_label("Pace").input_value()) == (600, "60")  # or they would be gone
    score = opened.fast().root.locator(".pg-score")
    assert score.inner_text().startswith("Dead: 7.")
    assert opened.slider("Experts, E").is_disabled()
    opened.press("Noise on the logits", "Home")
    opened.root.get_by_label("Balanced by").select_option("switch")
    opened.press("Coefficient", "ArrowRight", 4).settle()
    opened.button("Play").click()
    opened.page.wait_for_function("document.querySelector('.pg-score').textContent.startsWith('✓')")
    opened.settle()
    assert "Your score: 600 steps" in score.inner_text()
    assert opened.hash() == WON  # it has stopped at step 1200
    won = "Object.fromEntries(Object.entries(localStorage).filter(([key]) => key.includes(' challenge ')))"
    assert opened.page.evaluate(won) == {"moe / challenge 06.seven": '{"won":1200,"score":600}'}
    again = visit(fragment=WON)
    assert (again.page.evaluate(won), again.screen()) == ({}, opened.screen())  # somebody else won it
    assert "✓" not in visit(fragment=WON.replace("1200", "1180")).root.locator(".pg-score").inner_text()
    changed, runs = "You changed something before step 600.", "First it runs to step 600."
    for early, says in (("1200&then=260:noise:0", changed), ("1200&noise=0", changed), ("500", runs)):
        opened = visit(fragment=f"#preset=seven&steps={early}")
        assert opened.root.locator(".pg-score").inner_text().startswith(says)
        assert opened.root.locator("[inert]").count() == 2 * (says == runs)  # controls and bars wait


def test_a_challenge_that_is_not_reached_in_time_says_so(visit):
    opened = visit(fragment="#preset=few&E=3&steps=1000")
    assert opened.root.locator(".pg-score").inner_text().startswith("✗ Not within 1,000 steps.")
    assert opened.experiment() == f"{NAMES['few']}, changed"


def test_the_run_goes_along_as_pytorch(visit):
    """What its script computes is asked of the engine in tests/show."""
    opened = visit(fragment="#preset=spare&steps=700&then=600:balance:switch,0:coefficient:1,50:out:3")
    opened.button("Copy as PyTorch").click()
    script = opened.root.get_by_label("The script", exact=True).input_value()
    assert f"The run in the page: {opened.page.url}\n" in script
    settings = ast.literal_eval(script.partition("settings = ")[2].partition("\n}\n")[0] + "\n}")
    assert settings["changes"] == [(600, "balance", "switch"), (600, "coefficient", 1), (650, "out", [3])]


# What a reader may move, and how often.
MOVED = {
    ".pg-controls input[type=range]": 3,
    ".pg-controls select": 2,
    ".pg-points input": 0.5,
    ".pg-usage button": 1,
    ".pg-transport button": 4,
    ".pg-timeline input": 1,
    ".pg-start select": 0.3,
    ".pg-kinds button": 0.3,
}
# One of these that can be used, and something to do with it, in one go: a frame may come between two looks.
MOVE = """(root, [selector, which, part]) => {
  const usable = [...root.querySelectorAll(selector)].filter((node) => !node.disabled && node.checkVisibility());
  const node = usable[Math.floor(which * usable.length)];
  if (!node || ["button", "radio"].includes(node.type)) return node?.click();
  const choices = [...(node.options ?? [])].filter((option) => !option.disabled);
  if (node.options) choices[Math.floor(part * choices.length)].selected = true;
  else node.value = +node.min + part * (node.max - node.min);
  for (const kind of ["input", "change"]) node.dispatchEvent(new Event(kind, { bubbles: true }));
}"""


def wander(opened, dice, moves):
    """Random moves of somebody who tries things."""
    opened.more()
    for selector in dice.choices(list(MOVED), MOVED.values(), k=moves):
        opened.root.evaluate(MOVE, [selector, dice.random(), dice.random()])
        opened.page.wait_for_timeout(dice.choice([0, 60]))
    halt(opened)


def halt(opened):
    """Paused, if it still trains: it may end between two looks, and a preset begins in the frame after its button."""
    opened.page.evaluate(TWO_FRAMES)
    opened.root.locator(".pg-transport .moe-button").first.evaluate("(b) => b.textContent === 'Pause' && b.click()")
    opened.settle()


@pytest.mark.parametrize(
    "seeds",
    [range(2), *(pytest.param(range(n, n + 20), marks=pytest.mark.nightly) for n in range(1000, 1200, 20))],
    ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}",
)
def test_a_random_session_is_replayed_by_its_link(visit, seeds):
    mine, other = visit().fast(), visit(fragment="#steps=0")
    for seed in seeds:
        wander(mine, random.Random(seed), 15)
        link = mine.link()
        if link.startswith("More"):
            continue
        other.page.goto("about:blank")
        other.page.goto(link)
        again = Opened(other.page).settle()
        same = [(again.step(), again.bars(), again.readouts(), again.message(), again.hash())]
        assert same == [(mine.step(), mine.bars(), mine.readouts(), mine.message(), mine.hash())], (
            f"seed {seed}: {link}"
        )
        assert again.pictures() == mine.pictures(), f"seed {seed}: {link}"
