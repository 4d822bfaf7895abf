"""Nobody is kept out of a page: by axe's rules, for a finger, without sight of the pictures, on any width of screen."""

import re
from collections import defaultdict

import pytest
from on_site import PAGES, opening, read_on, unfold
from sampled import sampled

LOOKS = [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]
SAMPLE = {("index", "dark", 360), ("03_router", "light", 360), ("05_collapse", "dark", 1280)}
VISITS = [
    pytest.param((name, *look), marks=() if (name, *look) in SAMPLE else pytest.mark.nightly, id=f"{name} {look}")
    for name in PAGES
    for look in LOOKS
]
PHONES = [visit for visit in VISITS if visit.values[0][2] == 360]
WIDE = ("index", "08_moe_gpt", "11_scale")

# What a finger has to hit, and is smaller than 44 by 44 px. A link in a sentence is as high as its line.
SMALL = """() => {
  const wanted = `a[href], button, input, select, textarea, summary, [role=button], [role=option], [role=tab],
                  label:has(> :is([type=radio], [type=checkbox]))`;
  const inText = (el) => {
    const inline = (node) => getComputedStyle(node).display === "inline";
    let block = el.parentElement;
    while (inline(block)) block = block.parentElement;
    return inline(el) && block.innerText.trim().length > el.innerText.trim().length + 1;
  };
  const small = [];
  for (const el of document.querySelectorAll(wanted)) {
    if (!el.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) || el.disabled || inText(el)) continue;
    const labels = el.matches("[type=radio], [type=checkbox]") ? el.labels : [];
    const boxes = [el, ...labels].map((node) => node.getBoundingClientRect());
    const [left, top] = ["left", "top"].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [right, bottom] = ["right", "bottom"].map((side) => Math.max(...boxes.map((box) => box[side])));
    if (right <= 0 || left >= innerWidth || bottom + scrollY <= 0) continue; // a closed drawer, a link for the keyboard
    if (right - left >= 43.5 && bottom - top >= 43.5) continue;
    const name = el.innerText || el.getAttribute("aria-label") || el.labels?.[0]?.innerText || "";
    small.push(`${Math.round(right - left)}x${Math.round(bottom - top)} ${el.localName} ${name.trim().slice(0, 40)}`);
  }
  return small;
}"""

# Each picture, and what stands for it: [kind, title, words].
PICTURES = """() => {
  const found = [];
  for (const el of document.querySelectorAll("article :is(img, canvas, svg, [role=img], .moe-plotly)")) {
    if (!el.checkVisibility() || el.closest("[aria-hidden=true], button")) continue;
    if (el.parentElement.closest(".moe-plotly, [role=img]")) continue; // a part of one
    const frame = el.closest(".moe-figure, .moe-widget, .moe-plotly");
    const words = el.matches(".moe-plotly")
      ? el.querySelector(".moe-alt").textContent
      : (el.getAttribute("alt") ?? el.getAttribute("aria-label") ?? "");
    found.push([el.localName, frame?.querySelector(".moe-title")?.textContent ?? "", words]);
  }
  return found;
}"""


def reads(open_page, name, theme="light", width=1280, height=800):
    """Open a page and read it to its end, on a phone if it is narrow."""
    phone = {"has_touch": True, "is_mobile": True} if width < 500 else {}
    page = open_page(f"{name}.html", viewport={"width": width, "height": height}, color_scheme=theme, **phone)
    read_on(page)
    return page


@pytest.fixture(scope="module", params=VISITS)
def seen(request, chromium, served, site):
    """A page that several tests look at."""
    with opening(chromium, served, site) as open_page:
        yield reads(open_page, *request.param)


def faults(page):
    """What axe finds: rule -> how often, and where."""
    found = defaultdict(list)
    for violation in page.evaluate("axe.run().then((result) => result.violations)"):
        if violation["impact"] in ("critical", "serious", "moderate"):
            found[f"{violation['impact']} {violation['id']}"] += [node["html"][:160] for node in violation["nodes"]]
    return {rule: [len(where), *where[:3]] for rule, where in found.items()}


@pytest.mark.parametrize("seen", PHONES, indirect=True)
def test_a_finger_has_room_and_is_told_nothing_of_a_mouse(seen):
    for width in (360, 390):
        seen.set_viewport_size({"width": width, "height": 740})
        assert seen.evaluate(SMALL) == []
    told = " ".join(seen.locator(".moe-plotly .moe-note").all_inner_texts())
    assert not re.search(r"\b(drag|click|point at)\b", told, re.IGNORECASE)


def test_axe_finds_nothing_with_folds_closed_and_open(seen, axe):
    seen.evaluate(axe)
    found = {"closed": faults(seen)}
    unfold(seen)
    read_on(seen)
    found["open"] = faults(seen)
    assert found == {"closed": {}, "open": {}}


def test_a_picture_has_words_that_say_its_message(seen):
    """At least six, with a figure in them or the picture's title.

    It unfolds the page, so it comes after the tests of closed folds.
    """
    unfold(seen)
    read_on(seen)
    pictures = seen.evaluate(PICTURES)
    poor = [
        (kind, title, words)
        for kind, title, words in pictures
        if len(words.split()) < 6 or not (re.search(r"\d", words) or (title and title in words))
    ]
    assert poor == []
    assert pictures or not seen.locator(".moe-plotly, .moe-figure :is(img, [role=img])").count()


@pytest.mark.parametrize("drawer", ["primary", "secondary"])
def test_the_drawers_of_a_phone_have_room_for_a_finger(open_page, drawer):
    page = reads(open_page, "03_router", width=360)
    page.locator(f".{drawer}-toggle").click()
    page.locator(f"dialog[open] a, .bd-sidebar-{drawer} a").first.wait_for()
    page.wait_for_timeout(400)  # it slides in
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("name", sampled(PAGES, kept=WIDE))
def test_no_width_of_screen_scrolls_sideways(open_page, name):
    page = reads(open_page, name)
    for width in (320, 360, 768, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(200)  # what draws itself anew has done so
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "height"), [(360, 740), (390, 740)])
def test_a_phones_first_screen_has_the_sentence_and_a_layer_of_experts(open_page, width, height):
    page = reads(open_page, "index", width=width, height=height)
    for part in (page.locator("textarea"), page.locator(".moe-live-layer").first):
        box = part.bounding_box()
        assert box["y"] + box["height"] <= height
