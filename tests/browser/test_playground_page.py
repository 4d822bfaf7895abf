"""The playground in a browser: what it shows is what it computed, a link is an experiment, and it is kind."""

import json
import math
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from in_lab import ROOT, jupyterlab, notebook, run_all
from on_page import FRAMES, page_of
from playwright.sync_api import expect
from sampled import LOOKS, TWO_LOOKS, sampled

from moe_tutorial.show import playground
from moe_tutorial.study.data import Dataset

CODE = ROOT / "moe_tutorial/show"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SETTLED = "document.querySelectorAll('.moe-root')[{n}]?.dataset.settled === 'true'"
# What the page shows must be what this computes, from the same settings and as many steps.
ENGINE = """async ([settings, steps]) => {
  const { createMixture } = await import("/playground/mixture/model.js");
  const model = createMixture(settings);
  model.train(steps);
  const { shares, accuracy, dead, entropy, nmi, largest, predicted } = model.evaluate(), recent = model.recent();
  const right = predicted.filter((c, i) => c === model.data.y[i]).length;
  return { shares: [...shares], accuracy, dead, entropy, nmi, largest, right,
    recent: [...recent.shares], gradient: recent.routerGradient };
}"""
ENGINE_OF_TREE = """async ([settings, steps]) => {
  const { createTree } = await import("/playground/tree/model.js");
  const tree = createTree(settings);
  tree.train(steps);
  const { shares, nodes, soft, hard, predicted, dead, undecided } = tree.evaluate(), { path, leaf } = tree.inspect(0);
  const count = (says) => says.filter((c, i) => c === tree.data.y[i]).length;
  return { shares: [...shares], nodes: [...nodes], dead, undecided, soft: soft.accuracy, hard: hard.accuracy, path,
    leaf, recent: [...tree.recent().shares], right: { soft: count(soft.predicted), hard: count(predicted) } };
}"""
# Pixels of each leaf's colour in the row above the leaves, where the streams end.
STREAMS = """() => {
  const canvas = document.querySelector("[data-picture=flow]"), style = getComputedStyle(canvas);
  const { data } = canvas.getContext("2d").getImageData(0, canvas.height - 30, canvas.width, 1);
  return Array.from({ length: 16 }, (_, e) => {
    const colour = style.getPropertyValue("--moe-e" + e).trim();
    const wanted = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += wanted.every((v, j) => Math.abs(v - data[i + j]) < 12);
    return count;
  });
}"""
FOCUSED = "[...document.querySelectorAll('.moe-pg :is(button,input,select,summary)')]"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with pages of playgrounds, its address on this machine, and the engine's own files beside them."""
    folder = tmp_path_factory.mktemp("playground")
    for part in ("playground", "web"):
        shutil.copytree(CODE / part, folder / part)
    pages = {
        "playground": [playground(preset="rules", link=True)],
        "two": [playground(preset="rules", link=True), playground(preset="hash", title="The second")],
        "tree": [playground("tree", depth=2, steps=50)],
        "one": [playground(preset="one")],
        "kill": [playground(preset="kill")],
        "changed": [playground(preset="kill", noise=1)],
    }
    for name, widgets in pages.items():
        (folder / f"{name}.html").write_text(page_of(*widgets), encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


class Opened:
    """A playground on a page, and what a reader does with it."""

    def __init__(self, page, number=0):
        self.page, self.number = page, number
        self.root = page.locator(".moe-root").nth(number)

    def settle(self):
        self.page.evaluate(TWO_FRAMES)  # until then it may still say so of the picture before
        self.page.wait_for_function(SETTLED.format(n=self.number))
        return self

    def axe(self, code):
        """What axe finds, and how many of its rules hold. A colour on its way to another is nobody's to judge."""
        self.page.evaluate("Promise.allSettled(document.getAnimations().map((moving) => moving.finished))")
        self.page.evaluate(code)
        found, passed = self.page.evaluate("axe.run('.moe-root').then((r) => [r.violations, r.passes.length])")
        return [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in found], passed

    def data(self, name):
        return self.root.get_attribute(f"data-{name}")

    def step(self):
        return int(self.data("step"))

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name):
        return self.root.get_by_role("slider", name=name, exact=True)

    def message(self):
        return self.root.locator(".pg-message").inner_text()

    def fast(self):
        """As fast as it can: most tests look at what comes of a run."""
        self.root.get_by_label("Pace", exact=True).select_option("0")
        return self

    def link(self):
        return self.root.get_by_label("A link to this run").input_value()

    def bars(self):
        return self.root.locator(".moe-shares li").all_inner_texts()

    def readouts(self):
        texts = self.root.locator(".pg-reads div").all_inner_texts()
        return dict(text.split("\n", 1) for text in texts)

    def pictures(self):
        return self.root.evaluate(
            "(r) => [...r.querySelectorAll('canvas')].filter((c) => c.offsetWidth).map((c) => c.toDataURL())"
        )

    def hash(self):
        return self.page.evaluate("location.hash")

    def press(self, slider, key, times=1):
        self.slider(slider).focus()
        for _ in range(times):
            self.page.keyboard.press(key)
        return self


@pytest.fixture(scope="module")
def contexts(chromium):
    kept = []
    yield kept
    for context in kept:
        context.close()


@pytest.fixture(scope="module")
def visit(chromium, served, contexts):
    """Open a page; what went wrong on any is an error at the end."""
    wrong = []

    def visit(name="playground", fragment="", width=1280, height=900, scheme="http", **options):
        base, folder = served
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        home = base if scheme == "http" else folder.as_uri()
        page.on("request", lambda r: r.url.startswith((home, "data:", "blob:")) or wrong.append(f"asks {r.url}"))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(f"{home}/{name}.html{fragment}")
        return Opened(page).settle()

    yield visit
    assert wrong == []


@pytest.fixture(scope="module")
def wide(visit):
    """One page that most tests share; each begins by pressing a preset."""
    return visit().fast()


def kind(opened, name):
    """Mixture or Tree."""
    if opened.button(name).get_attribute("aria-pressed") == "false":
        begin(opened, name)


def preset(opened, name):
    kind(opened, "Tree" if name in TREE_PRESETS else "Mixture")
    return begin(opened, name)


def begin(opened, name):
    """Click on what begins an experiment, and wait until its picture stands still."""
    serial = int(opened.data("serial"))
    opened.button(name).click()
    opened.page.wait_for_function(f"+document.querySelector('.moe-root').dataset.serial > {serial}")
    return opened.settle()


def follow(opened):
    """What the preset proposes, to its end."""
    step = opened.step()
    opened.root.locator(".pg-then").click()
    opened.page.wait_for_function(f"document.querySelector('.moe-root').dataset.step === '{step + 600}'")
    return opened.settle()


CHALLENGES = ("Bring the seven back", "Even, and right", "As few as you can")
TREE_PRESETS = ("A tree of eight leaves", "Soft is not hard", "All into one leaf")


def percent(v):
    """As plane.js writes shares."""
    if v > 0.995:
        return "100 %"
    return "0 %" if v < 0.0005 else f"{100 * v:.1f} %" if v < 0.1 else f"{int(100 * v + 0.5)} %"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_it_trains_from_a_server_and_from_a_folder_and_asks_nobody(visit, scheme):
    opened = visit(scheme=scheme)
    assert (opened.step(), opened.data("engine")) == (0, "browser")
    before = opened.pictures()
    opened.button("Step").click()
    opened.page.wait_for_function("document.querySelector('.moe-root').dataset.step === '1'")
    opened.settle()
    assert opened.pictures()[0] != before[0] or opened.pictures()[-1] != before[-1]


@pytest.mark.parametrize("settings", [{}, {"E": 5, "k": 2, "noise": 0.5, "balance": "switch", "data": "spirals"}])
def test_the_numbers_shown_are_the_engines(visit, settings):
    fragment = "#" + "&".join(f"{name}={value}" for name, value in settings.items()) + "&steps=300"
    opened = visit(fragment=fragment)
    truth = opened.page.evaluate(ENGINE, [settings, 300])
    shown = [bar.split("\n")[-1] for bar in opened.bars()]
    assert shown == [percent(share) if share >= 0.01 else "dead" for share in truth["shares"]]
    alive = [f"expert {e} {percent(s)}" for e, s in enumerate(truth["shares"]) if s >= 0.01]
    label = opened.root.locator("[data-picture=regions]").get_attribute("aria-label")
    assert sorted(label.split("Shares of the points: ")[1].rstrip(".").split(", ")) == sorted(alive)
    label = opened.root.locator("[data-picture=shares]").get_attribute("aria-label")
    recent = [f"expert {e} {percent(s)}" for e, s in enumerate(truth["recent"]) if s >= 0.01]
    assert sorted(label.split("At the end: ")[1].rstrip(".").split(", ")) == sorted(recent)
    reads = opened.readouts()
    assert reads["Dead experts"] == f"{truth['dead']} of {settings.get('E', 8)}"
    assert reads["Right, held out"] == f"{100 * truth['accuracy']:.0f} %"
    assert reads["Usage entropy"] == f"{truth['entropy']:.2f} of 1"
    assert reads["Specialisation"] == f"{truth['nmi']:.2f} NMI"
    assert float(reads["Router gradient"].split()[0]) == pytest.approx(truth["gradient"], abs=5e-4)
    assert opened.root.get_by_text(f"Together they get {truth['right']} of 512 right").count() == 1


@pytest.mark.parametrize("settings", [{"node_balance": 0.3}, {"depth": 4, "data": "clusters", "node_balance": 1}])
def test_the_numbers_shown_of_a_tree_are_the_engines(visit, settings):
    fragment = "#layer=tree&" + "&".join(f"{name}={value}" for name, value in settings.items()) + "&steps=300"
    opened = visit(fragment=fragment)
    truth = opened.page.evaluate(ENGINE_OF_TREE, [settings, 300])
    shown = [bar.split("\n")[-1] for bar in opened.bars()]
    words = [percent(share) if share >= 0.01 else "dead" for share in truth["shares"]]
    assert shown == words
    assert [text.split("\n")[-1] for text in opened.root.locator(".pg-cap").all_inner_texts()] == words
    for picture, before, shares in (("regions", "points: ", "shares"), ("shares", "end: ", "recent")):
        label = opened.root.locator(f"[data-picture={picture}]").get_attribute("aria-label")
        alive = [f"leaf {e} {percent(s)}" for e, s in enumerate(truth[shares]) if s >= 0.01]
        assert sorted(label.split(before)[1].rstrip(".").split(", ")) == sorted(alive)
    label = opened.root.locator("[data-picture=flow]").get_attribute("aria-label")
    asked = re.findall(r"Question (\w) is put to ([\d.]+ %)", label)
    assert asked == [("ABCDEFGHIJKLMNO"[n], percent(s)) for n, s in enumerate(truth["nodes"]) if s >= 0.01]
    way = ", ".join("ABCDEFGHIJKLMNO"[n] for n in truth["path"])
    assert label.endswith(f"goes down {way} to leaf {truth['leaf']}.")
    reads = opened.readouts()
    assert reads["Dead leaves"] == f"{truth['dead']} of {len(truth['shares'])}"
    assert reads["Right, one leaf"] == f"{100 * truth['hard']:.0f} %"
    assert reads["Right, all mixed"] == f"{100 * truth['soft']:.0f} %"
    assert reads["Undecided"] == f"{truth['undecided'] / math.log(2):.2f} of 1"
    assert opened.root.get_by_text(f"Hard, one leaf each: {truth['right']['hard']} of 512 right").count() == 1
    assert opened.root.get_by_text(f"Soft, all leaves mixed: {truth['right']['soft']} of 512 right").count() == 1
    # A stream is as wide as its leaf's share, where it ends.
    wide = opened.page.evaluate(STREAMS)
    plain = [e for e, share in enumerate(truth["shares"]) if share >= 0.03 and e != truth["leaf"]][:4]
    if len(truth["shares"]) <= 8:  # more have patterns in their streams
        assert len(plain) > 2
        scale = sum(wide[e] for e in plain) / sum(truth["shares"][e] for e in plain)
        for e in plain:
            assert wide[e] == pytest.approx(scale * truth["shares"][e], abs=3)


def test_from_an_experiment_the_other_kind_begins_with_its_own_and_else_with_the_same_points(wide):
    preset(wide, "Kill seven experts")
    wide.button("Tree").click()
    wide.page.wait_for_function("location.hash === '#preset=leaves'")
    assert wide.root.locator(".pg-try .pg-chip:visible").all_inner_texts() == list(TREE_PRESETS)
    wide.root.get_by_label("Points", exact=True).select_option("checkerboard")
    wide.press("Learning rate", "ArrowLeft")
    wide.page.wait_for_function("location.hash.includes('rate=0.018')")
    wide.settle()
    points = wide.root.locator("[data-picture=mixture]").get_attribute("aria-label")
    wide.button("Mixture").click()
    wide.page.wait_for_function("location.hash === '#data=checkerboard&rate=0.018'")
    assert wide.root.locator("[data-picture=mixture]").get_attribute("aria-label") != points
    assert wide.root.get_by_label("Gate").is_visible()
    assert wide.slider("Depth").is_hidden()


def test_a_tree_grows_and_its_point_goes_down(wide):
    preset(wide, "A tree of eight leaves")
    assert wide.root.locator(".pg-point tbody tr").count() == 4  # three questions and a leaf
    wide.press("Depth", "ArrowRight").settle()
    wide.page.wait_for_function("document.querySelectorAll('.moe-shares li').length === 16")
    wide.settle()
    assert wide.root.locator(".pg-point tbody tr").count() == 5
    before = wide.pictures()
    assert wide.root.locator("canvas:visible").count() == 6 + 16
    wide.press("Hardening loss", "ArrowRight", 3)
    wide.button("Play").click()
    wide.page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 600")
    wide.button("Pause").click()
    wide.settle()
    assert all(now != then for now, then in zip(wide.pictures()[:4], before[:4], strict=True))
    weights = [float(row.split("\t")[3]) for row in wide.root.locator(".pg-point tbody tr").all_inner_texts()]
    assert weights == sorted(weights, reverse=True)  # less of the point arrives after each question


@pytest.mark.parametrize(
    ("name", "pressed", "link"),
    [
        ("one", ["All into one leaf"], "#preset=one"),
        ("kill", ["Kill seven experts"], "#preset=kill"),
        ("changed", [], "&noise=1"),
    ],
)
def test_a_preset_asked_for_in_python_is_pressed_and_tells_its_story(visit, name, pressed, link):
    opened = visit(name)
    assert opened.root.locator(".pg-try .pg-chip[aria-pressed=true]").all_inner_texts() == pressed
    assert opened.root.locator(".pg-story").is_visible() == bool(pressed)
    assert opened.link().endswith(link)


def test_a_tree_asked_for_in_python_opens_as_one(visit):
    opened = visit("tree")
    assert opened.step() == 50
    assert opened.root.locator(".pg-kinds [aria-pressed=true]").inner_text() == "Tree"
    assert opened.root.locator(".moe-shares li").count() == 4
    assert opened.link().endswith("#layer=tree&depth=2&steps=50")


@pytest.mark.parametrize(("name", "chosen"), [("Mixture", 10), ("Tree", 3)])
def test_each_preset_is_a_chip_with_a_sentence_and_a_link(wide, name, chosen):
    kind(wide, name)
    chips = wide.root.locator(".pg-try .pg-chip:visible").all()
    assert len(chips) == chosen
    stories, messages = set(), set()
    for chip in chips:
        opened = preset(wide, chip.inner_text())
        assert chip.get_attribute("aria-pressed") == "true"
        assert wide.root.locator(".pg-try .pg-chip[aria-pressed=true]").count() == 1
        assert re.fullmatch("#preset=[a-z]+(&steps=600)?", opened.hash())
        begins = chip.inner_text() in CHALLENGES[1:]  # the others have trained
        assert opened.step() == (0 if begins else 600)
        stories.add(opened.root.locator(".pg-story").inner_text())
        messages.add(opened.message())
    assert len(stories) == chosen
    assert len(messages) >= chosen - 2  # each shows something else, but for what has not begun


def test_what_a_preset_proposes_then_is_a_click(wide):
    opened = preset(wide, "The gate that cannot learn")
    assert opened.message() == "The router hears nothing: its gradient is exactly zero"
    assert opened.readouts()["Router gradient"] == "0 exactly"
    follow(opened)
    assert opened.message() != "The router hears nothing: its gradient is exactly zero"


def test_a_link_is_an_experiment(wide, visit):
    preset(wide, "Bring the dead back")
    wide.press("Experts, E", "ArrowLeft", 2).settle()
    wide.press("Chosen per point, k", "ArrowRight").press("Point", "ArrowRight", 7)
    wide.root.get_by_label("Gate").select_option("sigmoid_topk")
    wide.root.get_by_label("Expert", exact=True).select_option("2")
    wide.button("Knock it out").click()
    wide.press("Learning rate", "ArrowLeft").settle()
    for step in (501, 502, 503):
        wide.button("Step").click()
        wide.page.wait_for_function(f"document.querySelector('.moe-root').dataset.step === '{step}'")
    wide.settle()
    wide.page.wait_for_function("location.hash.includes('steps=503')")
    again = visit(fragment=wide.hash())
    assert again.step() == 503
    assert (again.bars(), again.readouts(), again.message()) == (wide.bars(), wide.readouts(), wide.message())
    assert again.pictures() == wide.pictures()
    assert again.root.locator(".pg-point tbody").inner_text() == wide.root.locator(".pg-point tbody").inner_text()
    there = f"{FOCUSED}.filter((n) => n.checkVisibility() && n.ariaLabel !== 'Pace')"
    values = f"{there}.map((n) => n.type === 'checkbox' ? n.checked : n.value)"
    assert again.page.evaluate(values) == wide.page.evaluate(values)
    assert wide.link() == wide.page.url


def test_a_link_is_an_experiment_with_a_tree(wide, visit):
    preset(wide, "Soft is not hard")
    wide.press("Neurons per leaf", "ArrowRight").settle()
    wide.press("Node-balance loss", "ArrowRight", 4).press("Point", "ArrowRight", 7).settle()
    for step in (501, 502, 503):
        wide.button("Step").click()
        wide.page.wait_for_function(f"document.querySelector('.moe-root').dataset.step === '{step}'")
    wide.settle()
    wide.page.wait_for_function("location.hash.endsWith('&steps=503&point=7&then=500:node_balance:1')")
    again = visit(fragment=wide.hash())
    assert again.hash() == wide.hash()
    assert (again.bars(), again.readouts(), again.message()) == (wide.bars(), wide.readouts(), wide.message())
    assert again.root.locator(".pg-point tbody").inner_text() == wide.root.locator(".pg-point tbody").inner_text()


@pytest.mark.parametrize(
    ("fragment", "said", "kept"),
    [
        ("#preset=gone&steps=5", 'there is no preset "gone"', "steps=5"),
        ("#E=99&k=2&steps=5", "E is 99; allowed are whole numbers from 2 to 16", "k=2&steps=5"),
        ("#E=4&k=7&noise=loud&colour=red", "there is no setting colour", "E=4"),
        ("#preset=kill&steps=-1&out=1.99&force=3.500", "steps is", "preset=kill"),
        ("#E=4&force=3.50&steps=5", "force is no more", "E=4&steps=5"),
        ("#layer=forest&k=2", 'layer is "forest"; allowed are mixture, tree', "k=2"),
        ("#layer=tree&E=4&depth=9&hardening=1", "there is no setting E for a tree", "layer=tree&hardening=1"),
        ("#preset=one&layer=mixture&out=1", "allowed with this preset is tree", "preset=one"),
    ],
)
def test_what_a_link_cannot_say_falls_back_with_a_notice(wide, fragment, said, kept):
    wide.page.evaluate(f"location.hash = {json.dumps(fragment)}")
    notice = wide.root.locator(".pg-notice")
    notice.get_by_text(said).wait_for()
    assert notice.inner_text().endswith("The rest stands.")
    wide.settle()
    wide.page.wait_for_function(f"location.hash === '#{kept}'")
    preset(wide, "Four rules, four experts")
    assert notice.is_hidden()


def test_an_anchor_of_the_page_is_no_experiment(wide):
    preset(wide, "Too much penalty")
    wide.page.evaluate("location.hash = '#the-playground'")
    wide.settle()
    assert wide.root.locator(".pg-notice").is_hidden()
    assert wide.root.locator(".pg-try .pg-chip[aria-pressed=true]").inner_text() == "Too much penalty"


@pytest.mark.parametrize("name", ["A tree of eight leaves", "Four rules, four experts"])
def test_everything_is_reached_by_the_keyboard(wide, name):
    page = wide.page
    preset(wide, name)
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(f"{FOCUSED}.indexOf(document.activeElement)"))
    usable = page.evaluate(
        f"{FOCUSED}.flatMap((n, i) => !n.disabled && n.checkVisibility() && n.offsetWidth ? [i] : [])"
    )
    assert set(usable) <= reached


def test_everything_goes_by_the_keyboard(wide):
    page = wide.page
    preset(wide, "Four rules, four experts")
    wide.button("Play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 700")
    page.keyboard.press("Space")
    wide.settle()
    step = wide.step()
    page.evaluate(FRAMES)
    assert wide.step() == step
    before = wide.pictures(), wide.root.locator(".pg-point tbody").inner_text()
    wide.press("Point", "ArrowRight", 9).settle()
    assert wide.slider("Point").get_attribute("aria-valuetext") == "10 of 300"
    assert wide.pictures()[0] != before[0][0]
    assert wide.root.locator(".pg-point tbody").inner_text() != before[1]
    wide.root.get_by_label("Gate").focus()
    page.keyboard.press("ArrowDown")
    assert wide.root.get_by_label("Gate").input_value() == "topk_softmax"


def test_a_click_inspects_the_nearest_point(wide):
    preset(wide, "Four rules, four experts")
    box = wide.root.locator("[data-picture=regions]").bounding_box()
    wide.root.locator("[data-picture=regions]").click(position={"x": box["width"] * 0.8, "y": box["height"] * 0.2})
    wide.settle()
    chosen = int(wide.slider("Point").input_value())
    x = wide.page.evaluate(
        """async (i) => { const { makeData } = await import("/playground/data.js");
        const d = makeData("regimes", 0, true), [l, r, b, t] = d.extent, u = l + 0.8 * (r - l), v = t - 0.2 * (t - b);
        const far = (j) => (d.x[2 * j] - u) ** 2 + (d.x[2 * j + 1] - v) ** 2;
        return [...Array(300).keys()].every((j) => far(i) <= far(j)); }""",
        chosen,
    )
    assert x
    rows = wide.root.locator(".pg-point tbody tr")
    assert rows.count() == 4
    assert rows.first.get_attribute("class") == "moe-on"


def test_an_expert_can_be_knocked_out_and_comes_back(wide):
    preset(wide, "Eight experts, four rules")
    shares = [bar.split("\n")[-1] for bar in wide.bars()]
    best = max(range(8), key=lambda e: float(shares[e].split()[0]) if "%" in shares[e] else 0)
    wide.root.get_by_label("Expert", exact=True).select_option(str(best))
    wide.button("Knock it out").click()
    wide.settle()
    assert wide.bars()[best].split("\n")[-1] == "out"
    assert "knocked out" in wide.message()
    wide.button("Bring it back").click()
    wide.settle()
    assert [bar.split("\n")[-1] for bar in wide.bars()] == shares


def test_a_picture_that_moves_touches_only_what_differs(wide):
    """What is made anew, the page lays out anew, thirty times a second."""
    preset(wide, "Four rules, four experts")
    kept = [".pg-usage li i", ".pg-reads b", ".pg-point tbody th", ".pg-verdict b"]
    wide.page.evaluate("(kept) => kept.forEach((of) => (document.querySelector(of).kept = true))", kept)
    before = wide.bars()
    follow(wide)
    assert wide.bars() != before
    assert wide.page.evaluate("(kept) => kept.filter((of) => !document.querySelector(of).kept)", kept) == []


def test_what_changes_is_said_in_words(wide):
    preset(wide, "Kill seven experts")
    said = wide.root.locator("[role=status]").filter(has_text="Step 600.").inner_text()
    assert "7 of 8 dead" in said
    assert wide.message() in said
    for canvas in wide.root.locator("canvas:visible").all():
        assert canvas.get_attribute("role") == "img"
        assert len(canvas.get_attribute("aria-label")) > 20


def test_what_changes_in_a_tree_is_said_in_words(wide):
    preset(wide, "All into one leaf")
    said = wide.root.locator("[role=status]").filter(has_text="Step 600.").inner_text()
    assert "7 of 8 dead" in said
    assert wide.message() in said
    assert wide.root.locator("canvas:visible").count() == 6 + 8
    for canvas in wide.root.locator("canvas:visible").all():
        assert canvas.get_attribute("role") == "img"
        assert len(canvas.get_attribute("aria-label")) > 20
    assert "Question A gets the same answer" in wide.root.locator(".pg-experts").inner_text()


@pytest.mark.parametrize("experiment", ["kill", "leaves"])
@pytest.mark.parametrize(("width", "theme"), sampled(LOOKS, kept=TWO_LOOKS))
def test_axe_finds_nothing(visit, axe, width, theme, experiment):
    opened = visit(fragment=f"#preset={experiment}&E=none", width=width)
    opened.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    if width == 360:
        opened.root.locator(".pg-controls summary").click()
    opened.settle()
    found, passed = opened.axe(axe)
    assert found == []
    assert passed > 15


@pytest.mark.parametrize("experiment", ["preset=rules", "layer=tree&depth=4&steps=100"])
def test_a_phone_scrolls_down_only_and_has_room_for_a_finger(visit, experiment):
    opened = visit(fragment=f"#{experiment}", width=360, has_touch=True)
    opened.root.locator(".pg-controls summary").click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    heights = opened.page.evaluate(
        f"{FOCUSED}.filter((n) => n.offsetWidth && n.type !== 'checkbox').map((n) => [n.offsetHeight, n.outerHTML])"
    )
    assert [small for small in heights if small[0] < 44] == []


def test_two_on_a_page_do_not_disturb_each_other(visit):
    first = visit("two")
    second = Opened(first.page, 1)
    first.page.evaluate("scrollTo(0, document.body.scrollHeight)")  # off-screen it would wait
    second.settle()
    assert (first.step(), second.step()) == (0, 0)
    second.fast()
    at, pictures = first.hash(), first.pictures()
    second.button("Play").click()
    first.page.wait_for_function("document.querySelectorAll('.moe-root')[1].dataset.step === '600'")  # its end
    second.settle()
    second.root.get_by_label("Points", exact=True).select_option("spirals")
    second.settle()
    assert (first.step(), first.hash(), first.pictures()) == (0, at, pictures)
    assert re.search("gate=hash&steps=[0-9]+$", second.link())
    ids = first.page.evaluate("[...document.querySelectorAll('[id]')].map((n) => n.id)")
    assert len(ids) == len(set(ids))


def test_what_nobody_sees_does_not_compute(visit):
    opened = visit(fragment="#steps=0")
    page = opened.page
    opened.button("Play").click()
    page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 20")

    def stands_still():
        page.evaluate(FRAMES)  # the step that was under way ends
        paints, step = opened.data("paints"), opened.step()
        page.evaluate(FRAMES)
        return (opened.data("paints"), opened.step()) == (paints, step)

    page.evaluate("document.body.style.paddingTop = '5000px'")  # off-screen
    assert stands_still()
    page.evaluate("document.body.style.paddingTop = '0'")
    assert not stands_still()
    hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    assert stands_still()
    page.evaluate(hide % "false" + tell)
    assert not stands_still()
    page.evaluate("stop()")
    assert stands_still()


def test_with_reduced_motion_the_picture_changes_twice_a_second(visit):
    opened = visit(fragment="#steps=0", reduced_motion="reduce")
    opened.button("Play").click()
    opened.page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 0")
    seen = opened.page.evaluate(
        """() => new Promise((done) => {
          const { dataset } = document.querySelector(".moe-root"), begun = performance.now(), paints = +dataset.paints;
          const look = () => {
            const seconds = (performance.now() - begun) / 1000, more = +dataset.paints - paints;
            if (seconds < 2 || more < 2) requestAnimationFrame(look);
            else done({ perSecond: more / seconds, step: +dataset.step });
          };
          look();
        })"""
    )
    assert seen["perSecond"] <= 2.5
    assert seen["step"] > 50


def test_the_wildest_settings_do_not_run_away(visit):
    """Adam's steps are bounded and the page counts in 64 bits, so that no slider can make a number infinite."""
    opened = visit(fragment="#rate=1&balance=importance&coefficient=1000&gate=sigmoid_topk&noise=10&steps=2000")
    assert opened.step() == 2000
    assert opened.root.locator(".moe-error").is_hidden()
    assert not re.search(r"nan|infinity|∞", opened.root.inner_text(), re.IGNORECASE)


def test_ones_own_points_are_learnt_in_the_page(show):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=draw)
    y = (x[:, 0] * x[:, 1] > 0).long()
    own = Dataset(x[:200], y[:200], y[:200], x[200:], y[200:], y[200:])
    page = show(playground(data=own, E=4, steps=200))
    page.wait_for_function(SETTLED.format(n=0))
    assert Opened(page).step() == 200
    assert page.locator(".moe-kicker").inner_text() == "your own points · 4 experts, 1 per point"
    assert "of 200 right" in page.locator(".pg-mixture").inner_text()


LAB = """
import torch
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import playground
torch.manual_seed(0)
widget = playground(preset="rules")
widget
#---
mine = playground(MixtureOfExperts(2, 6, 5, 1, d_out=2), title="My own")
mine
#---
print("state", widget.state, mine.step)
again = playground(state=widget.state | {"steps": 3})
print("options", again.options["settings"], again.options["steps"])
#---
from IPython.display import Markdown
Markdown("[A link to an experiment](playground.ipynb#preset=kill)")
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("playground_lab")
    (home / "playground.ipynb").write_text(notebook(*LAB.strip().split("#---\n")), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address


IN_THE_NOTEBOOK = """(n) => {
  const { top, bottom } = n.getBoundingClientRect();
  const pane = n.closest(".jp-WindowedPanel-outer").getBoundingClientRect();
  return (Math.min(bottom, pane.bottom) - Math.max(top, pane.top)) / (bottom - top);
}"""


def test_in_jupyterlab_the_map_stays_while_a_slider_is_moved(page, lab):
    run_all(page, lab, "playground.ipynb")
    for width, height in [(1280, 800), (800, 1024)]:  # not before: the toolbar would hide the kernel's name
        page.set_viewport_size({"width": width, "height": height})
        root = Opened(page).settle().root
        moved = [slider for slider in root.locator(".pg-controls input[type=range]").all() if slider.is_visible()]
        assert len(moved) > 5
        for slider in moved:
            slider.evaluate("n => n.scrollIntoView({ block: 'nearest' })")
            page.evaluate(FRAMES)
            seen = root.locator("[data-picture=regions]").evaluate(IN_THE_NOTEBOOK)
            name = f"{width}: {slider.evaluate('n => n.labels[0].textContent')}"
            assert min(seen, slider.evaluate(IN_THE_NOTEBOOK)) > 0.95, name


def test_in_jupyterlab_both_engines_train_and_the_state_is_a_dict(page, lab):
    run_all(page, lab, "playground.ipynb")
    first, mine = Opened(page), Opened(page, 1)
    first.root.scroll_into_view_if_needed()
    first.settle()
    assert (first.data("engine"), first.step()) == ("browser", 0)
    first.press("Learning rate", "ArrowRight").settle()
    shown = first.bars()
    # The same experiment, now with torch.
    first.root.get_by_label("Train in").select_option("kernel")
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'kernel'")
    first.settle()
    assert first.step() == 0
    before = first.pictures()
    first.button("Play").click()
    page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 60")
    first.button("Pause").click()
    first.settle()
    after = first.pictures()
    assert all(now != then for now, then in zip(after[:2], before[:2], strict=True))
    assert first.bars() != shown
    step = first.step()
    page.evaluate(FRAMES)
    assert first.step() == step
    # The tree trains in the page, whoever trained the mixture.
    first.button("Tree").click()
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'browser'")
    first.settle()
    assert (first.root.locator(".moe-shares li").count(), first.step() > 60) == (8, True)
    assert first.root.get_by_label("Train in").is_hidden()
    assert first.root.get_by_label("This experiment in Python").input_value().startswith('playground(layer="tree", ')
    first.button("Mixture").click()
    first.settle()
    first.root.get_by_label("Train in").select_option("kernel")
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'kernel'")
    first.settle()
    for name in ("Experts, E", "Noise on the logits"):  # one makes the layer anew, the other moves a knob
        serial = int(first.data("serial"))
        first.press(name, "ArrowRight")
        page.wait_for_function(f"+document.querySelector('.moe-root').dataset.serial > {serial}")
    assert (first.root.locator(".moe-shares li").count(), first.step()) == (9, 0)
    assert first.root.locator(".moe-error").is_hidden()
    # The learner's own layer: only what it has can be moved.
    mine.root.scroll_into_view_if_needed()
    mine.settle()
    assert (mine.data("engine"), mine.root.locator(".moe-shares li").count()) == ("kernel", 5)
    assert mine.slider("Experts, E").is_disabled()
    assert mine.slider("Experts, E").get_attribute("aria-valuetext") == "5"
    assert mine.slider("Learning rate").is_enabled()
    assert mine.button("Kill seven experts").is_disabled()
    mine.button("Step").click()
    page.wait_for_function("document.querySelectorAll('.moe-root')[1].dataset.step === '1'")
    # What Python sees.
    first.root.scroll_into_view_if_needed()
    first.root.get_by_label("Train in").select_option("browser")
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'browser'")
    page.wait_for_timeout(500)
    assert first.root.get_by_label("This experiment in Python").input_value().startswith("playground(")
    cell = page.locator(".jp-CodeCell").nth(2)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    cell.get_by_text("'E': 9").first.wait_for()
    assert "{'rate': 0.032, 'E': 9, 'noise': 0.1} 1" in cell.locator(".jp-OutputArea").inner_text()
    # A link to an experiment begins it beside the link.
    page.get_by_role("link", name="A link to an experiment").click()
    expect(first.button("Kill seven experts")).to_have_attribute("aria-pressed", "true")
    assert mine.data("engine") == "kernel"  # and nobody else
    first.root.scroll_into_view_if_needed()
    page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 10")  # it plays
