"""A playground on a page without a kernel, and what a reader does with it: for the tests of the playground."""

import json
import shutil
from contextlib import contextmanager

import pytest
from in_lab import ROOT
from on_page import page_of
from on_site import opening, serving

from moe_tutorial.show import playground
from moe_tutorial.show.web import read

TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SETTLED = "document.querySelectorAll('.moe-root')[{n}]?.dataset.settled === 'true'"
STEP = "+document.querySelector('.moe-root')?.dataset.step"
FOCUSED = "[...document.querySelectorAll('.moe-pg :is(button,input,select,summary)')]"
PRESETS = json.loads(read("playground/experiment/experiment.json"))["presets"]


def names(kind):
    """What the presets of a kind are called."""
    return [known["name"] for known in PRESETS if known["kind"] == kind]


class Opened:
    """A playground on a page, and what a reader does with it."""

    def __init__(self, page, number=0):
        self.page, self.number = page, number
        self.root = page.locator(".moe-root").nth(number)

    def settle(self):
        self.page.evaluate(TWO_FRAMES)  # until then it may still say so of the picture before
        self.page.wait_for_function(SETTLED.format(n=self.number))
        return self

    def until(self, condition):
        """Wait for a condition on the step."""
        self.page.wait_for_function(f"((step) => {condition})({STEP})")
        return self

    def data(self, name):
        return self.root.get_attribute(f"data-{name}")

    def step(self):
        return int(self.data("step"))

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name):
        return self.root.get_by_role("slider", name=name, exact=True)

    def choose(self, label, option):
        if label == "Points":  # pictures
            self.root.locator(f".pg-points label:has([value={option}])").click()
            return self
        self.root.get_by_label(label, exact=True).select_option(option)
        return self

    def message(self):
        return self.root.locator(".pg-message").inner_text()

    def fast(self):
        """As fast as it can: most tests look at what comes of a run."""
        return self.choose("Pace", "0")

    def link(self):
        return self.root.get_by_label("A link to this run").input_value()

    def bars(self):
        return self.root.locator(".moe-shares li").all_inner_texts()

    def shares(self):
        """What the bars say: "12 %", "dead", "out"."""
        return [bar.split("\n")[-1] for bar in self.bars()]

    def readouts(self):
        texts = self.root.locator(".pg-reads div").all_inner_texts()
        return dict(text.split("\n", 1) for text in texts)

    def pictures(self):
        return self.root.evaluate(
            "(r) => [...r.querySelectorAll('canvas')].filter((c) => c.offsetWidth).map((c) => c.toDataURL())"
        )

    def hash(self):
        return self.page.evaluate("location.hash")

    def screen(self):
        """All that there is to read, and all that is drawn."""
        self.more()
        parts = (".pg-point tbody", ".pg-told > *", ".pg-count")
        texts = [self.root.locator(part).locator("visible=true").all_inner_texts() for part in parts]
        there = f"{FOCUSED}.filter((n) => n.checkVisibility() && n.ariaLabel !== 'Pace')"
        values = self.page.evaluate(f"{there}.map((n) => /checkbox|radio/.test(n.type) ? n.checked : n.value)")
        seen = [self.bars(), self.readouts(), self.message(), self.step(), self.hash(), self.pictures()]
        return [*seen, *texts, values]

    def more(self):
        """Open the fold of what few readers change."""
        self.root.locator(".pg-more").evaluate("fold => { fold.open = true; }")
        return self

    def knock(self, expert):
        """Press an expert's bar."""
        self.root.locator(".pg-usage li button").nth(expert).click()
        return self

    def press(self, slider, key, times=1):
        self.more().slider(slider).focus()
        for _ in range(times):
            self.page.keyboard.press(key)
        return self

    def begins(self, act):
        """Do what begins an experiment, and wait until its picture stands still."""
        serial = int(self.data("serial"))
        act()
        self.page.wait_for_function(f"+document.querySelector('.moe-root').dataset.serial > {serial}")
        return self.settle()

    def kind(self, name):
        """Mixture or Tree."""
        if self.button(name).get_attribute("aria-pressed") == "false":
            self.begins(self.button(name).click)
        return self

    def preset(self, name):
        """Choose an experiment of the menu, and play it to its end; a challenge waits for a change."""
        self.kind("Tree" if name in names("tree") else "Mixture")
        self.begins(lambda: self.choose("Experiment", name))
        if any("goal" in known for known in PRESETS if known["name"] == name):
            return self
        self.button("Play").click()
        return self.until("step === 600").settle()

    def experiment(self):
        """What the menu shows."""
        return self.root.get_by_label("Experiment", exact=True).evaluate("menu => menu.selectedOptions[0].text")

    def follow(self):
        """What the preset proposes, to its end."""
        step = self.step()
        self.root.locator(".pg-then").click()
        return self.until(f"step === {step + 600}").settle()


@contextmanager
def visiting(chromium, pages):
    """A function that opens one of the pages; what goes wrong on any is an error at the end."""
    visited = []
    with opening(chromium, pages, ROOT) as open_page:

        def visit(name="playground", fragment="", width=1280, **options):
            visited.append(open_page(f"{name}.html{fragment}", viewport={"width": width, "height": 900}, **options))
            return Opened(visited[-1]).settle()

        yield visit
    assert [page.wrong for page in visited if page.wrong] == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The address of pages of playgrounds, with the engine's own files beside them."""
    folder = tmp_path_factory.mktemp("playground")
    for part in ("playground", "web"):
        shutil.copytree(ROOT / "moe_tutorial/show" / part, folder / part)
    widgets = {
        "playground": [playground(preset="rules", link=True)],
        "two": [playground(preset="rules", link=True), playground(preset="hash")],
    }
    for name, shown in widgets.items():
        (folder / f"{name}.html").write_text(page_of(*shown), encoding="utf-8")
    with serving(folder) as address:
        yield address


@pytest.fixture
def visit(chromium, pages):
    with visiting(chromium, pages) as visit:
        yield visit


@pytest.fixture(scope="module")
def wide(chromium, pages):
    """One page that most tests share; each begins by pressing a preset."""
    with visiting(chromium, pages) as visit:
        yield visit().fast()
