"""Nobody is kept out of a page: by axe's rules, for a finger, without sight of the pictures, on any width of screen."""

import json
import re
from collections import defaultdict

import pytest
from on_site import PAGES, read_on, serving

LOOKS = [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]
SAMPLE = {
    ("index", "dark", 360),
    ("03_router", "light", 360),
    ("05_collapse", "dark", 1280),
    ("playground", "dark", 360),
    ("claims", "light", 1280),
}
VISITS = [
    pytest.param((name, *look), marks=() if (name, *look) in SAMPLE else pytest.mark.nightly, id=f"{name}-{look[0]}-{look[1]}")
    for name in PAGES
    for look in LOOKS
]
FINGERS = [visit for visit in VISITS if visit.values[0][2] < 500]
GRAVE = ("critical", "serious", "moderate")

# What a finger has to hit, and is smaller than 44 by 44 px. A link in a sentence is as high as its line.
SMALL = """() => {
  const wanted = "a[href], button, input, select, textarea, summary, [role=button], [role=option], [tabindex='0']";
  const small = [];
  const line = (el) => {
    if (getComputedStyle(el).display !== "inline") return false;
    let block = el.parentElement;
    while (getComputedStyle(block).display === "inline") block = block.parentElement;
    return block.innerText.trim().length > el.innerText.trim().length + 1;
  };
  for (const el of document.querySelectorAll(wanted)) {
    if (!el.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) || el.disabled || line(el)) continue;
    if (el.matches("[tabindex]:not(a, button, input, select, summary, [role=button], [role=option])")) continue;
    const boxes = [el, ...(el.matches("[type=radio], [type=checkbox]") ? el.labels : [])].map((n) => n.getBoundingClientRect());
    const [left, top] = ["left", "top"].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [right, bottom] = ["right", "bottom"].map((side) => Math.max(...boxes.map((box) => box[side])));
    if (right - left < 2 || right <= 0 || left >= innerWidth) continue; // for screen readers alone, or a closed drawer
    if (right - left < 43.5 || bottom - top < 43.5) {
      const name = (el.innerText || el.getAttribute("aria-label") || el.labels?.[0]?.innerText || "").trim();
      small.push(`${Math.round(right - left)}x${Math.round(bottom - top)} ${el.localName}.${el.className} ${name.slice(0, 40)}`);
    }
  }
  return small;
}"""

# Each picture in sight, and what stands for it: [kind, title, words].
PICTURES = """() => {
  const found = [];
  for (const el of document.querySelectorAll("article :is(img, canvas, svg, .moe-plotly)")) {
    if (!el.checkVisibility() || el.closest("[aria-hidden=true]") || el.parentElement.closest(".moe-plotly")) continue;
    const frame = el.closest(".moe-figure, .moe-widget, .moe-plotly");
    const words = el.matches(".moe-plotly") ? el.querySelector(".moe-alt").textContent
      : el.getAttribute("alt") ?? el.getAttribute("aria-label") ?? el.querySelector(":scope > title")?.textContent ?? "";
    found.push([el.localName, frame?.querySelector(".moe-title")?.textContent ?? "", words]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def served(site):
    with serving(site) as address:
        yield address


@pytest.fixture(scope="module")
def open_page(chromium, served):
    """Open a page and read it to its end, on a phone if it is narrow."""

    def open_page(name, theme="light", width=1280, height=800, **options):
        phone = {"has_touch": True, "is_mobile": True} if width < 500 else {}
        options = {"viewport": {"width": width, "height": height}, "color_scheme": theme} | phone | options
        page = chromium.new_context(bypass_csp=True, **options).new_page()
        page.goto(f"{served}/{name}.html")
        read_on(page)
        return page

    return open_page


@pytest.fixture(scope="module", params=VISITS)
def seen(request, open_page):
    """A page that several tests look at."""
    page = open_page(*request.param)
    yield page
    page.context.close()


def faults(page, axe):
    """What axe finds: rule -> where."""
    page.evaluate(axe)
    found = defaultdict(list)
    for violation in page.evaluate("axe.run().then((result) => result.violations)"):
        if violation["impact"] in GRAVE:
            found[f"{violation['impact']} {violation['id']}"] += [node["html"][:160] for node in violation["nodes"]]
    return {rule: [len(where), *where[:3]] for rule, where in found.items()}


def test_a_picture_has_words_that_say_its_message(seen):
    poor = []
    for kind, title, words in seen.evaluate(PICTURES):
        names_a_file = re.fullmatch(r"\S*\.(png|svg|webp)", words)
        if len(words.split()) < 6 or names_a_file:
            poor.append((kind, title, words))
    assert poor == []


@pytest.mark.parametrize("seen", FINGERS, indirect=True)
def test_a_finger_has_room(seen):
    for width in (360, 390):
        seen.set_viewport_size({"width": width, "height": 740})
        assert seen.evaluate(SMALL) == []


def test_axe_finds_nothing_with_folds_closed_and_open(seen, axe):
    closed = faults(seen, axe)
    seen.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    read_on(seen)
    print(json.dumps({"closed": closed, "open": faults(seen, axe)}, indent=1))
    assert closed == {}
    assert faults(seen, axe) == {}
