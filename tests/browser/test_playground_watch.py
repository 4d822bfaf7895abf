"""The playground as something to watch, to go back in, to share and to win: a link replays what was on the screen."""

import json
import random
import re
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image
from playing import STEP, TWO_FRAMES, Opened, pages, visit, wide
from sampled import sampled

from moe_tutorial.show.web import read

__all__ = ["pages", "visit", "wide"]  # fixtures
PRESETS = json.loads(read("playground/experiment.json"))["presets"]
WATCHED = [known for known in PRESETS if "goal" not in known]
A_FEW = [known for known in WATCHED if known["id"] in ("rules", "kill", "leaves")]
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


@pytest.mark.parametrize("known", sampled(WATCHED, kept=A_FEW), ids=lambda known: known["id"])
def test_what_follows_a_preset_is_asked_computed_and_replayed_by_its_link(wide, visit, known):
    wide.preset(known["name"])
    story = wide.root.locator(".pg-told").inner_text()
    assert known["ask"] in story
    assert known["then"]["ask"] in story
    wide.follow()
    heads, rows = told(wide)
    assert wide.root.locator(".pg-story").inner_text() in story  # it stays where it was
    assert [row[0] for row in rows] == ["changed at step 600", "never changed", "so from the start"]
    reads = wide.readouts()
    assert rows[0][1:] == [reads[head] for head in heads]
    assert wide.root.locator("caption").inner_text() == "At step 1,200"
    for row, settings in zip(rows[1:], ({}, known["then"]["set"]), strict=True):
        theirs = visit(fragment=f"#{address(known, settings)}&steps=1200").readouts()
        assert row[1:] == [theirs[head] for head in heads]
    again = visit(fragment=wide.hash())
    told(again)
    assert again.screen() == wide.screen()
    assert again.page.title() == wide.page.title() == f"{wide.message()} · Widgets"


def test_what_follows_waits_until_there_is_something_to_change(visit):
    opened = visit(fragment="#preset=rules")
    then = opened.root.locator(".pg-then")
    assert then.is_disabled()
    opened.button("Step").click()
    opened.until("step === 1").settle()
    then.click()
    opened.until("step > 5")
    assert opened.root.locator(".pg-story").is_visible()


def test_the_pace_is_kept_and_can_be_changed(visit):
    opened = visit(fragment="#E=4&steps=0")
    assert opened.root.get_by_label("Pace", exact=True).input_value() == "60"
    opened.button("Play").click()
    for pace, enough in (("60", 30), ("10", 4), ("300", 100)):
        opened.root.get_by_label("Pace", exact=True).select_option(pace)
        steps, seconds = opened.page.evaluate(
            f"""(enough) => new Promise((done) => {{
              let from, begun;
              const before = {STEP};  // steps of the pace before may be done already and not be shown yet
              const look = () => {{
                if (from === undefined && {STEP} !== before) [from, begun] = [{STEP}, performance.now()];
                if (from === undefined || {STEP} - from < enough) requestAnimationFrame(look);
                else done([{STEP} - from, (performance.now() - begun) / 1000]);
              }};
              look();
            }})""",
            enough,
        )
        assert steps <= int(pace) * (seconds + 0.3) + 1  # a slow machine has fewer
    opened.fast().until("step > 2000").button("Pause").click()
    opened.settle()


def test_one_can_go_back_to_any_step_and_play_the_same_again(wide, visit):
    wide.preset(NAMES["kill"]).follow()
    slider = wide.slider("Go back to step")
    assert slider.get_attribute("aria-valuetext") == "1,200 of 1,200"
    end = wide.bars(), wide.readouts()
    for step, noise in ((901, "off"), (333, "σ = 2.0")):
        slider.fill(str(step))
        wide.until(f"step === {step}").settle()
        assert wide.slider("Noise on the logits").get_attribute("aria-valuetext") == noise
        there = visit(fragment=wide.hash())
        assert (there.step(), there.bars(), there.readouts()) == (step, wide.bars(), wide.readouts())
    assert wide.root.locator(".pg-marks i").count() == 1
    wide.button("Play").click()  # with the change at 600, as before
    wide.until("step === 1200").settle()
    assert (wide.bars(), wide.readouts()) == end
    slider.fill("100")
    wide.until("step === 100").press("Learning rate", "ArrowLeft").settle()  # another way from here
    assert slider.get_attribute("aria-valuetext") == "100 of 100"
    assert wide.hash().endswith("&steps=100&then=100:rate:0.018")


def test_a_change_at_the_beginning_is_how_it_begins(wide):
    wide.page.evaluate("location.hash = '#E=5&steps=0'")
    wide.page.wait_for_function("document.querySelectorAll('.moe-shares li').length === 5")
    wide.settle().press("Noise on the logits", "ArrowRight").settle()
    wide.page.wait_for_function("location.hash === '#E=5&noise=0.1'")


def test_a_run_with_too_many_changes_says_so_instead_of_a_wrong_link(visit):
    words = ",".join(f"1:noise:{i % 30 / 10}" for i in range(282))
    opened = visit(fragment=f"#steps=300&then={words}")
    kept = opened.hash()
    assert len(kept) > 1900
    for step in range(301, 311):
        opened.button("Step").click()
        opened.until(f"step === {step}").press("Noise on the logits", "Home" if step % 2 else "End")
        opened.press("Learning rate", "Home" if step % 2 else "End").settle()
    assert opened.link().startswith("More was changed on the way than a link can hold.")
    assert opened.button("Copy").is_disabled()
    assert len(opened.hash()) > len(kept)  # the last that fitted
    opened.button("Reset").click()
    assert opened.settle().link().startswith("http")


WON = "#preset=seven&steps=1200&then=600:noise:0,0:balance:switch,0:coefficient:1"


def test_a_challenge_is_scored_by_the_run_and_its_link_is_the_result(wide, visit):
    opened = wide.preset(NAMES["seven"])
    assert opened.step() == 600
    score = opened.root.locator(".pg-score")
    assert score.inner_text() == "Dead: 7. 2,000 steps are left."
    for fixed in ("Experts, E", "Neurons per expert", "Seed", "Points"):
        assert opened.root.get_by_label(fixed, exact=True).is_disabled()
    opened.press("Noise on the logits", "Home")
    opened.root.get_by_label("Balanced by").select_option("switch")
    opened.press("Coefficient", "ArrowRight", 4).settle()
    opened.button("Play").click()
    opened.page.wait_for_function("document.querySelector('.pg-score').textContent.startsWith('✓')")
    opened.settle()
    assert score.inner_text() == (
        "✓ Reached at step 1,200. Your score: 600 steps; fewer is better. The link below replays it."
    )
    assert opened.step() == 1200  # it has stopped there
    assert opened.hash() == WON
    again = visit(fragment=WON)
    assert again.screen() == opened.screen()
    forged = visit(fragment=WON.replace("1200", "1180"))
    assert "✓" not in forged.root.locator(".pg-score").inner_text()
    opened.button("Reset").click()
    opened.until("step === 600")
    assert score.inner_text() == "Dead: 7. 2,000 steps are left."


def test_a_challenge_that_is_not_reached_in_time_says_so(visit):
    opened = visit(fragment="#preset=few&E=2&steps=1000")
    said = opened.root.locator(".pg-score").inner_text()
    assert re.fullmatch(r"✗ Not within 1,000 steps\. Right, held out: \d\d %\. Reset, and try another way\.", said)
    assert opened.root.locator(".pg-try .pg-chip[aria-pressed=true]").inner_text() == NAMES["few"]


def test_the_run_goes_along_as_pytorch(visit, tmp_path):
    opened = visit(fragment="#preset=spare&steps=700&then=600:balance:switch,0:coefficient:1")
    opened.button("Copy as PyTorch").click()
    script = opened.root.get_by_label("The script", exact=True).input_value()
    assert opened.page.url in script
    file = tmp_path / "run.py"
    file.write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    said = re.fullmatch(r"step 700: loss 0\.\d+, held-out accuracy ([\d.]+), shares of the experts ([\d. ]+)", last)
    bars = [share.removesuffix(" %") for share in opened.shares()]
    shares = [100 * float(share) for share in said[2].split()]
    assert [bar == "dead" for bar in bars] == [share < 1 for share in shares]
    assert [share for share in shares if share >= 1] == pytest.approx([float(b) for b in bars if b != "dead"], abs=0.51)
    assert f"{100 * float(said[1]):.0f} %" == opened.readouts()["Right, held out"]


def test_the_picture_to_share_shows_the_run(visit):
    opened = visit(fragment="#preset=kill&steps=600")
    with opened.page.expect_download() as waiting:
        opened.button("Save the picture").click()
    assert waiting.value.suggested_filename == "mixture-step-600.png"
    picture = Image.open(BytesIO(waiting.value.path().read_bytes()))
    assert picture.size == (1200, 630)
    assert len(picture.convert("RGB").getcolors(2**20)) > 200  # a map, bars, words


def test_each_picture_says_what_one_looks_at(wide):
    for name in (NAMES["rules"], NAMES["leaves"]):
        wide.preset(name)
        asked = wide.root.get_by_label("What am I looking at?").all()
        asked = [mark for mark in asked if mark.is_visible()]
        assert len(asked) >= 7
        words = set()
        for mark in asked:
            mark.click()
            said = mark.locator("xpath=following-sibling::p")
            assert said.is_visible()
            words.add(said.inner_text())
            mark.click()
        assert len(words) == len(asked)
        assert min(map(len, words)) > 25


def test_the_tour_has_at_most_eight_stops_and_gives_the_focus_back(wide):
    wide.preset(NAMES["rules"])
    opener = wide.button("Take a tour")
    opener.click()
    card = wide.root.get_by_role("dialog", name="A tour")
    stops = []
    while card.get_by_role("button", name="Next").count():
        stops.append(card.locator("p").inner_text())
        assert wide.root.locator(".pg-lit").count() == 1
        card.get_by_role("button", name="Next").click()
    stops.append(card.locator("p").inner_text())
    assert len(set(stops)) == len(stops) <= 8
    assert card.locator("span").inner_text() == f"{len(stops)} of {len(stops)}"
    wide.page.keyboard.press("Escape")
    assert card.is_hidden()
    assert wide.root.locator(".pg-lit").count() == 0
    assert opener.evaluate("e => e === document.activeElement")


# To a part of the run, in one go: a frame may come between two looks at the slider.
SOUGHT = """(slider, part) => {
  if (slider.disabled) return;
  slider.value = Math.round(part * slider.max);
  slider.dispatchEvent(new Event("input"));
}"""

# One of the menus, and one of its options, in one go: what is in sight may change between two looks.
CHOSEN = """(root, [menu, option]) => {
  const menus = [...root.querySelectorAll(".pg-controls select:enabled")].filter((n) => n.checkVisibility());
  const chosen = menus[Math.floor(menu * menus.length)];
  chosen.selectedIndex = Math.floor(option * chosen.options.length);
  for (const kind of ["input", "change"]) chosen.dispatchEvent(new Event(kind, { bubbles: true }));
}"""


def wander(opened, dice, moves):
    """Random moves of somebody who tries things."""
    page = opened.page
    for _ in range(moves):
        move = dice.choice(["slider", "slider", "choice", "knock", "step", "play", "back", "preset", "kind", "reset"])
        if move == "slider":
            sliders = opened.root.locator(".pg-controls input[type=range]:visible:enabled").all()
            slider = dice.choice(sliders)
            slider.focus()
            for _ in range(dice.randint(1, 3)):
                page.keyboard.press(dice.choice(["ArrowLeft", "ArrowRight", "Home", "End"]))
        elif move == "choice":
            opened.root.evaluate(CHOSEN, [dice.random(), dice.random()])
        elif move == "knock":
            button = opened.root.locator(".pg-meddle .moe-button")
            if button.is_visible() and button.is_enabled():
                button.click()
        elif move == "step" and opened.button("Step").is_enabled():
            opened.button("Step").click()
        elif move == "play":
            opened.root.locator(".pg-transport .moe-button").first.click()
            page.wait_for_timeout(dice.randint(1, 60))
            halt(opened)
        elif move == "back":
            opened.slider("Go back to step").evaluate(SOUGHT, dice.random())
        elif move == "preset" and dice.random() < 0.3:
            dice.choice(opened.root.locator(".pg-try .pg-chip:visible").all()).click()
        elif move == "kind" and dice.random() < 0.3:
            dice.choice(opened.root.locator(".pg-kinds .pg-chip").all()).click()
        elif move == "reset" and dice.random() < 0.3:
            opened.button("Reset").click()
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
