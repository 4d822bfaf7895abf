// A GPT with experts that runs in the page: a sentence, who answers each of its characters, and what comes next. A
// click on an expert switches it off, and the next best takes its characters.
import { button, el, freshId, mount, quietly, redrawOnChange, renew, stillness, subtitle } from "../dom.js";
import { dye, pattern } from "../draw/shares.js";
import { readGpt, startText } from "../gpt.js";
import { percent, sum } from "../words.js";

const PACE = 240; // ms a character, while the sentence types itself
const WRITES = 90; // and while the model goes on
const LONGEST = 120; // characters that one may type
const AHEAD = 24; // that the model goes on with at once
const BOLD = 0.5; // temperature of its draws
const COUNTS = "none one two three four five six seven eight nine".split(" ");
const MARKS = { " ": "·", "\n": "⏎" }; // of what is invisible
const NAMES = { " ": "space", "\n": "line break" };

const inWords = (n) => COUNTS[n] ?? String(n);
const marked = (text) => text.replace(/[ \n]/g, (c) => MARKS[c]);
/** Set what differs: a key must not have the page lay out what stays. */
const put = (node, values) => {
  for (const [name, value] of Object.entries(values)) if (node[name] !== value) node[name] = value;
};
const mono = (text) => el("span", { className: "moe-mono" }, text);

function probabilities(logits, temperature = 1) {
  const top = Math.max(...logits);
  const raised = Array.from(logits, (z) => Math.exp((z - top) / temperature));
  const total = sum(raised);
  return raised.map((p) => p / total);
}

/** Numbers from 0 to 1 that depend on the text alone, so that a sentence always goes on in the same way. */
function drawsFor(text) {
  let state = [...text].reduce((hash, c) => Math.imul(hash ^ c.codePointAt(0), 0x01000193), 0x811c9dc5);
  return () => {
    state = (state + 0x6d2b79f5) | 0; // mulberry32
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
/** A function that reads a text: after each character the scores of the next one, how unexpected each was in nats, and
 * whom each layer asked. It keeps what it has read, so that one more character costs one step. */
function startReading(gpt, off) {
  const scores = [];
  const nats = [];
  const choices = [];
  let letters = [];
  let reader;
  return (text) => {
    const next = [...text];
    const kept = letters.slice(0, next.length).every((c, i) => c === next[i]);
    if (!kept || !reader) {
      for (const list of [scores, nats, choices]) list.length = 0;
      letters = [];
      reader = startText(gpt, off);
    }
    for (const c of next.slice(letters.length)) {
      const id = gpt.idOf(c);
      nats.push(letters.length ? -Math.log(probabilities(scores.at(-1))[id]) : 0); // nobody expects the first
      const read = reader.push(id);
      scores.push(read.logits);
      choices.push(read.choices);
      letters.push(c);
    }
    const now = choices.slice(0, next.length);
    const layers = Array.from({ length: gpt.blocks }, (_, b) => now.map((all) => all[b]));
    return { scores, choices: layers, nats };
  };
}
/** What the model writes after a text. */
function goesOn(gpt, text, off, length) {
  const reader = startText(gpt, off);
  const draw = drawsFor(text);
  let { logits } = [...text].map((c) => reader.push(gpt.idOf(c))).at(-1);
  return Array.from({ length }, () => {
    let left = draw() * (1 - 1e-9); // the parts may sum to a little less than 1
    const p = probabilities(logits, BOLD);
    const id = p.findIndex((part) => (left -= part) < 0);
    ({ logits } = reader.push(id));
    return gpt.characters[id];
  }).join("");
}

// The sentence: a text field, and behind it a cell for each character with its expert's tint, underline and number.
function sentencePart(E, longest) {
  const all = [];
  const rest = el("span", { className: "moe-live-rest" });
  const caret = el("i", { className: "moe-live-caret" });
  const cells = el("div", { className: "moe-live-cells", ariaHidden: "true" }, rest);
  const area = el("textarea", {
    id: freshId(),
    maxLength: longest,
    spellcheck: false,
    autocapitalize: "off",
    autocomplete: "off",
    "data-lm-suppress-shortcuts": "true",
  });
  const node = el("div", { className: "moe-live-line" }, cells, area);
  return {
    node,
    label: el("label", { htmlFor: area.id }, "Type into this sentence."),
    area,
    cells: all,
    /** What is still to come keeps its room, so until then the cells' own letters are seen: the field's would wrap
     * elsewhere. */
    draw(letters, choices, place, toCome) {
      node.classList.toggle("moe-live-types", !!toCome);
      while (all.length > letters.length) all.pop().parentNode.remove();
      while (all.length < letters.length) rest.before(el("span", {}, (all[all.length] = el("span")), ""));
      letters.forEach((c, i) => {
        const [e] = choices[i].experts;
        const cell = all[i];
        if (cell.dataset.c !== c) {
          const broken = c === "\n"; // its cell has no letter, and the line ends after it
          cell.replaceChildren(broken ? "" : c);
          cell.nextSibling.data = broken ? c : "";
        }
        put(cell, { className: `moe-live-cell moe-live-u${pattern(e, E)}${i === place ? " moe-live-here" : ""}` });
        if (cell.dataset.e !== String(e)) cell.style.cssText = dye(e);
        put(cell.dataset, { c, e: String(e), mark: MARKS[c] ?? "" });
      });
      put(rest, { textContent: toCome || "\u200b" }); // a line of its own after a line break
      if (!letters.length) caret.remove();
      else if (all.at(-1).lastChild !== caret) all.at(-1).append(caret);
      if (area.value !== letters.join("")) area.value = letters.join("");
    },
  };
}

// The experts of each layer as buttons: lit where the character asks them, pressed while they are on.
function tilesPart({ experts: E, blocks: B }, toggle, choose) {
  const group = freshId();
  const tileOf = (b, e) => {
    const tile = el("button", { type: "button", style: dye(e), onclick: () => toggle(b, e) });
    tile.append(el("b", {}, String(e)), mono(""));
    return tile;
  };
  const tiles = Array.from({ length: B }, (_, b) => Array.from({ length: E }, (_, e) => tileOf(b, e)));
  const radios = tiles.map((_, b) => el("input", { type: "radio", name: group, onchange: () => choose(b) }));
  const layers = tiles.map((own, b) => {
    const name = el("span", {}, `Layer ${b + 1}`, el("small", {}, "tints the text"));
    return el("div", { className: "moe-live-layer" }, el("label", {}, radios[b], name), el("div", {}, ...own));
  });
  return {
    node: el("div", { className: "moe-live-layers", style: `--columns:${Math.min(E, 8)}` }, ...layers),
    tiles,
    draw(letters, choices, off, place, layer) {
      radios[layer].checked = true;
      choices.forEach((all, b) => {
        const often = tiles[b].map(() => new Map());
        all.forEach(({ experts }, i) => {
          for (const e of experts) often[e].set(letters[i], (often[e].get(letters[i]) ?? 0) + 1);
        });
        tiles[b].forEach((tile, e) => {
          const asked = all[place]?.experts.includes(e);
          const most = [...often[e]].sort((x, y) => y[1] - x[1]).slice(0, 4);
          const className = `moe-live-tile moe-live-u${pattern(e, E)}${asked ? " moe-live-lit" : ""}`;
          put(tile, { className, ariaPressed: String(!off[b][e]) });
          // What is seen in the button is its name, too: its parts say more to those who only hear them.
          const name = `Expert ${e} of layer ${b + 1}, ${off[b][e] ? "off" : "on"}`;
          const asks = most.map(([c]) => NAMES[c] ?? c).join(" ");
          const textContent = off[b][e] ? "off" : most.map(([c]) => marked(c)).join(" ");
          put(tile.firstChild, { role: "img", ariaLabel: name });
          put(tile.lastChild, { role: "img", ariaLabel: asks ? `(asked by ${asks})` : "(not asked)", textContent });
        });
      });
    },
  };
}

// The five characters that the model expects most, as bars; the one that does come next is dark.
function nextPart() {
  const title = subtitle();
  const bars = el("ol", { className: "moe-live-bars" });
  const row = (c, p, comes) => {
    const bar = el("span", { className: "moe-track" }, el("i", { style: `width:${(100 * p).toFixed(1)}%` }));
    const said = el("span", { className: "moe-sr" }, NAMES[c] ?? "");
    const className = comes ? "moe-live-comes" : "";
    return el("li", { className }, mono(marked(c)), said, bar, el("span", { className: "moe-r" }, percent(p)));
  };
  return {
    node: el("div", { className: "moe-live-next" }, title, bars),
    draw(characters, logits, before, comes) {
      const words = before
        ? [document.createTextNode("After "), mono(before), document.createTextNode(" it expects")]
        : [];
      renew(title, ...words);
      const p = probabilities(logits);
      const most = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, before ? 5 : 0);
      renew(bars, ...most.map((id) => row(characters[id], p[id], characters[id] === comes)));
    },
  };
}

// The way of one character: from it to the experts that it asks, layer by layer. A line is as thick as the gate's
// weight.
function drawWay(svg, cell, tiles, choices) {
  svg.replaceChildren();
  if (!cell) return;
  const frame = svg.getBoundingClientRect();
  const at = (node, side) => {
    const box = node.getBoundingClientRect();
    return [(box.left + box.right) / 2 - frame.left, box[side] - frame.top];
  };
  let [x0, y0] = at(cell, "bottom");
  y0 += 20; // below its number
  choices.forEach(({ experts, weights }, b) => {
    experts.forEach((e, c) => {
      const [x, y] = at(tiles[b][e], "top");
      const middle = (y0 + y) / 2;
      const path = document.createElementNS(svg.namespaceURI, "path");
      path.setAttribute("d", `M${x0} ${y0}C${x0} ${middle} ${x} ${middle} ${x} ${y}`);
      path.setAttribute("pathLength", "1");
      path.style.cssText = `stroke:var(--moe-e${e});stroke-width:${2 + 10 * weights[c]};animation-delay:${120 * b}ms`;
      svg.append(path);
    });
    [x0, y0] = at(tiles[b][experts[0]], "bottom");
  });
}

function render({ model, el: root }) {
  const settings = model.get("settings");
  const gpt = readGpt(settings, model.get("weights"));
  const { experts: E, blocks: B, k } = gpt;
  const none = Array.from({ length: B }, () => Array(E).fill(false));
  const whole = settings.text;
  const longest = Math.max(LONGEST, whole.length);
  const linked = settings.link && !model.widget_manager; // JupyterLab opens a notebook without its fragment
  let text = stillness() ? whole : whole.slice(0, whole.indexOf(" ", whole.length / 5));
  let rest = whole.slice(text.length); // what is still to be typed, by itself or by the model
  let place = [...text].length - 1; // of the character whose way is drawn
  let off = structuredClone(none);
  let layer = 0; // that tints the text
  let typed = whole.length; // characters that count for the cost; those after them the model wrote itself
  let refused = "";
  let seen; // what the model makes of the text
  let timer = 0;
  let later = 0;

  const title = el("p", { className: "moe-title moe-live-title" });
  const tint = el("span");
  const some = `${inWords(k)} of ${inWords(E)} small networks`;
  const networks = `In each layer, a router sends each character to ${some}, the experts. `;
  const surer = el("small", {}, " The thicker its line, the surer the router.");
  const remark = el("p", { className: "moe-note" }, el("small", {}, networks), tint, surer);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "moe-live-ways");
  svg.setAttribute("aria-hidden", "true");
  const sentence = sentencePart(E, longest);
  const { area } = sentence;
  const experts = tilesPart(gpt, toggle, (b) => {
    layer = b;
    draw();
  });
  const next = nextPart();
  const figure = el("b");
  const unit = el("span");
  const then = el("div", { className: "moe-live-then" });
  const inNats = el("small");
  const verdict = el("div", { className: "moe-live-verdict" }, el("p", {}, figure, " ", unit, inNats), then);
  const go = button("Go on", { onclick: () => (timer ? stop() : write()) });
  const link = linked ? [quietly("Link", { onclick: copyLink })] : [];
  const notice = el("p", { className: "moe-note", role: "status" });
  const spoken = el("p", { className: "moe-sr", ariaLive: "polite" });
  const head = el("div", { className: "moe-live-head" }, sentence.label, notice, remark, go, ...link);
  const body = el("div", { className: "moe-live-body" }, experts.node, next.node);
  const stage = el("div", { className: "moe-live" }, svg, head, sentence.node, body, verdict);
  mount(root, el("p", { className: "moe-kicker" }, settings.title), title, stage, spoken);

  const usual = startReading(gpt, none);
  let reading = usual; // with the experts that are off
  const gone = () => off.flatMap((all, b) => all.flatMap((out, e) => (out ? [[b, e]] : [])));

  function show(words, at = [...words].length - 1) {
    [text, place] = [words, at];
    const now = reading(text);
    const { nats, choices } = usual(text);
    const letters = [...text];
    const out = gone();
    const moved = letters.filter((_, i) => out.some(([b, e]) => choices[b][i].experts.includes(e))).length;
    const counted = Math.min(typed, letters.length);
    const cost = (each) => sum(each.slice(0, counted)) / Math.max(1, counted - 1);
    seen = { ...now, worse: cost(now.nats) - cost(nats), moved };
    draw();
  }
  function draw() {
    const { choices, scores } = seen;
    const letters = [...text];
    sentence.draw(letters, choices[layer], place, rest);
    experts.draw(letters, choices, off, place, layer);
    const before = letters.slice(Math.max(0, place - 5), place + 1).join("");
    next.draw(gpt.characters, scores[place] ?? [], marked(before), letters[place + 1] ?? rest[0]);
    const way = choices.map((all) => all[place]);
    drawWay(svg, sentence.cells[place], experts.tiles, way);
    say();
  }
  /** The cost of what is off: the probability of the right characters, in the geometric mean, and the same in nats. */
  function cost() {
    const { worse, moved } = seen;
    if (!moved) return ["", "No difference in this sentence", ""];
    const nats = ` (${Math.abs(worse).toFixed(2)} nats a character ${worse < 0 ? "better" : "worse"})`;
    return [`× ${Math.exp(-worse).toFixed(2)}`, "the probability of the right character", nats];
  }
  function say() {
    const out = gone();
    const names =
      out.length > 1 ? `${out.length} experts are` : out.map(([b, e]) => `Expert ${e} of layer ${b + 1} is`);
    const { moved } = seen;
    const others = moved ? `${moved} of ${[...text].length} characters change hands` : "no character here asks for it";
    const all = `Each character is answered by ${inWords(k)} of ${inWords(E)} experts`;
    const message = text ? (out.length ? `${names} off: ${others}` : all) : "Type something";
    put(title, { textContent: message });
    put(tint, { textContent: `Tint and number: its expert in layer ${layer + 1}.` });
    const [amount, words, nats] =
      refused || !text ? ["", refused, ""] : out.length ? cost() : ["", "Click on an expert to switch it off.", ""];
    put(figure, { textContent: amount });
    put(unit, { textContent: words });
    put(inNats, { textContent: nats });
    put(go, { textContent: timer ? "Stop" : "Go on" });
    go.disabled = !timer && (!text || text.length >= longest);
    then.hidden = !out.length || !text;
    clearTimeout(later);
    if (!then.hidden) later = setTimeout(lookAhead, 150);
  }
  // With and without, after the picture, since it takes as long.
  function lookAhead() {
    const row = (words, out) => [el("span", {}, words), mono(marked(goesOn(gpt, text, out, AHEAD)))];
    then.replaceChildren(...row("It would go on", off), ...row("with all experts", none));
  }

  /** Type what is left, a character at a time. */
  function type(pace) {
    timer = setInterval(() => {
      const [c] = rest;
      rest = rest.slice(c.length);
      if (!rest) still();
      show(text + c);
    }, pace);
  }
  function still() {
    clearInterval(timer);
    timer = 0;
  }
  function stop() {
    still();
    rest = "";
    draw();
  }
  /** Have at once what was still to come. */
  function finish() {
    still();
    if (!rest) return;
    const all = text + rest;
    rest = "";
    show(all);
  }
  function write() {
    finish();
    typed = Math.min(typed, text.length); // a sentence that was stopped is shorter
    rest = goesOn(gpt, text, off, Math.min(AHEAD, longest - text.length));
    if (stillness()) return finish();
    type(WRITES);
    draw();
  }
  function toggle(b, e) {
    finish();
    refused = !off[b][e] && off[b].filter((out) => !out).length === 1 ? `Layer ${b + 1} needs an expert.` : "";
    if (refused) {
      spoken.textContent = refused;
      return say();
    }
    off[b][e] = !off[b][e];
    reading = gone().length ? startReading(gpt, off) : usual;
    layer = b;
    notice.textContent = "";
    show(text, place);
    const now = `Expert ${e} of layer ${b + 1} is ${off[b][e] ? "off" : "on"}.`;
    const [amount, words, nats] = cost();
    const costs = `${amount} ${words}${nats}`.trim();
    spoken.textContent = gone().length ? `${now} ${title.textContent}. ${costs}.` : `${now} All are on.`;
  }

  area.oninput = () => {
    still();
    rest = "";
    const known = (words) => [...words].filter((c) => gpt.idOf(c) >= 0).join("");
    const unknown = [...new Set(area.value)].filter((c) => gpt.idOf(c) < 0).slice(0, 6);
    const before = known(area.value.slice(0, area.selectionStart));
    const full = area.value.length >= longest ? `It takes at most ${longest} characters` : "";
    notice.textContent = unknown.length ? `The model has never seen “${unknown.join(" ")}”` : full;
    if (unknown.length) {
      area.value = known(area.value);
      area.setSelectionRange(before.length, before.length);
    }
    refused = "";
    typed = area.value.length;
    show(area.value, Math.max(0, [...before].length - 1));
  };
  area.onkeydown = (event) => {
    if (event.key === "Enter") event.stopPropagation(); // JupyterLab would take it for a command
  };
  // The way is that of the character before the caret.
  const follows = (at) => {
    if (at === place || !text) return;
    place = at;
    draw();
  };
  area.onkeyup = area.onclick = () => follows(Math.max(0, [...area.value.slice(0, area.selectionStart)].length - 1));
  // Or of the one that the mouse points at.
  area.onpointermove = ({ pointerType, clientX, clientY }) => {
    const cell = document.elementsFromPoint(clientX, clientY).find((node) => node.matches(".moe-live-cell"));
    if (cell && pointerType === "mouse" && !timer) follows(sentence.cells.indexOf(cell));
  };
  area.onfocus = () => rest && stop();

  async function copyLink() {
    finish();
    const names = gone().map(([b, e]) => `${b + 1}.${e}`);
    const parts = { gpt: settings.digest, text, typed, off: names.join(","), layer: layer + 1 };
    const words = Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    history.replaceState(history.state, "", `#${words.join("&")}`);
    try {
      await navigator.clipboard.writeText(location.href);
      notice.textContent = "Link copied";
    } catch {
      notice.textContent = "The link is in the address bar"; // the page has no permission
    }
  }
  /** Show what the page's link holds, if it is one of these. */
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("gpt")) return;
    still();
    rest = "";
    const same = asked.get("gpt") === settings.digest;
    off = structuredClone(none);
    for (const name of same ? (asked.get("off") ?? "").split(",") : []) {
      const [b, e] = name.split(".").map(Number);
      if (off[b - 1]?.[e] === false && off[b - 1].filter((out) => !out).length > 1) off[b - 1][e] = true;
    }
    reading = gone().length ? startReading(gpt, off) : usual;
    layer = Math.min(B, Math.max(1, Math.floor(asked.get("layer")) || 1)) - 1;
    notice.textContent = same ? "" : "This link is from another build of the site: its model had other experts";
    const letters = [...(asked.get("text") ?? "")].filter((c) => gpt.idOf(c) >= 0);
    typed = Math.max(1, Math.floor(asked.get("typed")) || longest);
    show(letters.slice(0, longest).join(""));
  }

  // The sentence types itself while it is in sight.
  const sight = new IntersectionObserver((seen) => {
    if (!seen.at(-1).isIntersecting) still();
    else if (rest && !timer) type(PACE);
    else draw(); // out of sight it may have had no size
  });
  show(text);
  if (linked) follow();
  sight.observe(stage);
  if (linked) addEventListener("hashchange", follow);
  addEventListener("beforeprint", finish);
  const stopDrawing = redrawOnChange(root, draw);
  return () => {
    removeEventListener("hashchange", follow);
    removeEventListener("beforeprint", finish);
    sight.disconnect();
    still();
    clearTimeout(later);
    stopDrawing();
  };
}
export default { render };
