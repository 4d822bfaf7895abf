"""A kind of model is its own folder and a line in kinds.js: the page takes a third one as it is."""

import json
import shutil

import pytest
from on_page import page_of

from moe_tutorial.show import playground, web

# Two experts and no training: a point goes to the nearest of two places, which come closer to the points' means.
NEAREST = """
import { el } from "../../web/dom.js";
import { each, usage } from "../common.js";
import { makeData } from "../data.js";
import { checkSettings } from "../experiment.js";

export function createNearest(given = {}, own) {
  let settings = checkSettings("nearest", given);
  const data = own ?? makeData(settings.data, settings.seed, settings.centred);
  const places = [-1, -1, 1, 1];
  const far = (e, x0, x1) => Math.hypot(x0 - places[2 * e], x1 - places[2 * e + 1]);
  const nearest = (x0, x1) => +(far(0, x0, x1) > far(1, x0, x1));
  const choices = () => Uint8Array.from(data.y, (_, i) => nearest(data.x[2 * i], data.x[2 * i + 1]));
  const shares = () => Float64Array.from([0, 1], (e) => choices().filter((c) => c === e).length / data.y.length);
  const model = {
    get settings() {
      return settings;
    },
    data,
    step: 0,
    history: [{ step: 0, task: 1, slack: 0.5, shares: shares() }],
    train(steps) {
      model.step += steps;
      places.forEach((v, i) => (places[i] = v * (1 - settings.rate) ** steps));
      model.history.push({ step: model.step, task: 1 / model.step, slack: 0.5, shares: shares() });
    },
    set: (partial) => void (settings = checkSettings("nearest", { ...settings, ...partial })),
    recent: () => ({ steps: 1, ...model.history.at(-1) }),
    evaluate: () => ({ ...usage(shares(), choices(), data.regime), loss: 1, accuracy: 0.5, predicted: choices() }),
    plane(n) {
      const [owner, confidence] = [new Uint8Array(n * n), new Float32Array(n * n).fill(1)];
      each(data.extent, n, (x0, x1, at) => (owner[at] = nearest(x0, x1)));
      return { owner, confidence, predicted: owner };
    },
    save: () => ({ step: model.step, settings, places: [...places], rows: [...model.history] }),
    restore(saved) {
      ({ settings } = saved);
      model.step = saved.step;
      places.splice(0, 4, ...saved.places);
      model.history.splice(0, Infinity, ...saved.rows);
    },
    partPlane: (e, n) => new Uint8Array(n * n).fill(e),
    inspect: (i) => ({ label: data.y[i], predicted: choices()[i] }),
  };
  return model;
}

const words = {
  name: "Nearest",
  part: "place",
  parts: "places",
  shared: "points",
  losses: ["slack"],
  key: "a place",
  heads: ["Place", "Near", "Says", "Weight", "Pull"],
  partsNote: "Each says its own number.",
  sharesNote: "Of the points.",
  readsNote: "How many are dead.",
  pointNote: "Which place is nearer.",
  compared: ["Dead places"],
  asked: ({ inspected: { predicted } }) => `Asked: place ${predicted}.`,
  count: () => 2,
  kicker: () => "two places",
  mapNote: () => "Colour: the nearer place.",
  usageNote: () => "Of the points.",
  loss: (now) => now.loss,
  more: () => "",
  message: ({ step }) => `Two places after ${step} steps`,
  mapTitle: () => "A cut in the middle",
  partsTitle: () => "Two places",
  reads: ({ now }) => [["Dead places", now.dead, " of 2"]],
  point: ({ inspected: { label, predicted } }) => ({ verdict: "Nearest: ", right: label === predicted, heard: "" }),
  predictions: [
    { of: (plane) => plane.predicted, title: () => "Its number", points: (now) => now.predicted, label: "The number." },
  ],
};
const row = { on: true, name: "0", bar: "width:9px", number: "1", sign: "", said: "", weight: "1", pull: "0" };
const node = el("p", { className: "of-nearest" }, "Nothing to do");
const panel = () => ({ area: "side", node, draw() {}, begin() {} });
export const nearest = {
  create: createNearest,
  words,
  pictures: { cost: () => 2, scattered: () => false, overlay: () => null, rows: () => [row] },
  controls: { panel, idle: () => [], labels: () => ({}) },
};
"""


@pytest.fixture
def with_a_third_kind(root, tmp_path, monkeypatch):
    """The playground's code from a copy with the kind, its folder and its two lines in kinds.js."""
    for folder in ("playground", "web"):
        shutil.copytree(root / "moe_tutorial/show" / folder, tmp_path / folder)
    (tmp_path / "playground/nearest").mkdir()
    (tmp_path / "playground/nearest/nearest.js").write_text(NEAREST, encoding="utf-8")
    kinds = tmp_path / "playground/kinds.js"
    text = kinds.read_text(encoding="utf-8")
    line = "export const KINDS = {\n"
    assert line in text
    text = 'import { nearest } from "./nearest/nearest.js";\n' + text.replace(line, f"{line}  nearest,\n")
    kinds.write_text(text, encoding="utf-8")
    monkeypatch.setattr(web, "read", lambda name: (tmp_path / name).read_text(encoding="utf-8"))
    return web.bundle.__wrapped__("playground/page.js")


def test_the_page_takes_a_third_kind_as_it_is(with_a_third_kind, chromium, tmp_path):
    widget = playground(link=True, title="Three kinds")
    widget._esm = with_a_third_kind
    home = tmp_path / "page.html"
    home.write_text(page_of(widget), encoding="utf-8")
    page = chromium.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(home.as_uri())
    root = page.locator(".moe-root")
    settled = "document.querySelector('.moe-root').dataset.settled === 'true'"
    page.wait_for_function(settled)
    assert root.locator(".pg-kinds button").all_inner_texts() == ["Nearest", "Mixture", "Tree"]
    assert root.locator(".of-nearest").is_hidden()

    root.get_by_role("button", name="Nearest").click()
    page.wait_for_function("document.querySelector('.moe-widget').dataset.kind === 'nearest'")
    page.wait_for_function("document.querySelector('.pg-message').textContent === 'Two places after 0 steps'")
    page.wait_for_function(settled)
    assert root.locator(".moe-shares li").count() == 2
    assert root.locator(".pg-reads").inner_text().split() == ["Dead", "places", "0", "of", "2"]
    assert root.locator(".of-nearest").is_visible()
    for other in (".pg-meddle", ".pg-flow"):
        assert root.locator(other).is_hidden()
    for name, there in {"Learning rate": True, "Seed": True, "Experts, E": False, "Depth": False}.items():
        assert root.get_by_label(name, exact=True).is_visible() == there, name

    root.get_by_role("slider", name="Learning rate").press("ArrowRight")
    root.get_by_role("button", name="Step", exact=True).click()
    page.wait_for_function("document.querySelector('.pg-message').textContent === 'Two places after 1 steps'")
    page.wait_for_function(settled)
    assert page.evaluate("location.hash") == "#layer=nearest&rate=0.018&steps=1"
    page.reload()
    page.wait_for_function("document.querySelector('.pg-message')?.textContent === 'Two places after 1 steps'")
    assert root.locator(".pg-notice").is_hidden()
    root.get_by_role("button", name="Mixture").click()
    page.wait_for_function("document.querySelector('.moe-widget').dataset.kind === 'mixture'")
    assert json.loads(root.get_attribute("data-step")) >= 0
    assert wrong == []
    page.close()
