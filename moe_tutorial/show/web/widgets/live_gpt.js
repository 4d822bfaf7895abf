// A GPT with experts that runs in the page: a sentence, who answers each of its characters, and how it goes on. A click
// on an expert switches it off, and the next best takes its characters: which letters are wrong then?
import { button, el, freshId, mount, quietly, redrawOnChange, stillness } from "../dom.js";
import { dye, pattern } from "../draw/shares.js";
import { readGpt, startText } from "../gpt.js";
import { capital } from "../words.js";

const PACE = 80; // ms a character, while the sentence types itself and the model goes on
const LONGEST = 120; // characters that one may type
const AHEAD = 12; // that the model goes on with
const COUNTS =
  "none one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(" ");
const MARKS = { " ": "·", "\n": "⏎" }; // of what is invisible
const NAMES = { " ": "space", "\n": "line break" };

const inWords = (n) => COUNTS[n] ?? String(n);
const marked = (text) => text.replace(/[ \n]/g, (c) => MARKS[c]);
/** Set what differs: a key must not have the page lay out what stays. */
const put = (node, values) => {
  for (const [name, value] of Object.entries(values)) if (node[name] !== value) node[name] = value;
};

/** A function that reads a text: after each character the scores of the next one, and whom each layer asked. It keeps
 * what it has read, so that one more character costs one step. */
function startReading(gpt, off) {
  const [letters, read] = [[], []];
  let reader = startText(gpt, off);
  return (text) => {
    const next = [...text];
    let same = 0;
    while (same < letters.length && letters[same] === next[same]) same++;
    if (same < letters.length && same < next.length) {
      if (!reader.back(same)) [same, reader] = [0, startText(gpt, off)];
      letters.length = read.length = same;
    }
    for (const c of next.slice(letters.length)) {
      letters.push(c);
      read.push(reader.push(gpt.idOf(c)));
    }
    return read.slice(0, next.length);
  };
}
/** What a reader finds likeliest after a text. */
function goesOn(gpt, reading, text, length) {
  let all = text;
  while (text && all.length < text.length + length) {
    const { logits } = reading(all).at(-1);
    all += gpt.characters[logits.indexOf(Math.max(...logits))];
  }
  return all.slice(text.length);
}
/** Whether another character stands in a letter's place. Blanks are no letters. */
const isWrong = (right, written) => right.trim() && right !== written;
/** How many letters fell, and whether that breaks the text: at least half of them. */
function judge(right, written) {
  const letters = [...right].filter((c) => c.trim()).length;
  const fell = [...right].filter((c, i) => isWrong(c, written[i])).length;
  return { fell, letters, broken: fell > 0 && 2 * fell >= letters };
}

// The sentence: a text field, and behind it a cell for each character with its expert's tint, underline and number.
function sentencePart(E, longest) {
  const all = [];
  const rest = el("span", { className: "moe-live-rest" });
  const caret = el("i", { className: "moe-live-caret" });
  const cells = el("div", { className: "moe-live-cells", ariaHidden: "true" }, rest);
  const plain = { spellcheck: false, autocapitalize: "off", autocomplete: "off" };
  const area = el("textarea", { id: freshId(), maxLength: longest, "data-lm-suppress-shortcuts": "true", ...plain });
  const node = el("div", { className: "moe-live-line" }, cells, area);
  return {
    node,
    label: el("label", { htmlFor: area.id }),
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
    tile.append(el("b", {}, String(e)), el("span", { className: "moe-mono" }));
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

// How the sentence goes on with all experts and without those that are off, one under the other.
function continuationsPart() {
  const line = () => {
    const [who, letters, remark] = [el("span"), el("p", { className: "moe-mono", role: "img" }), el("small")];
    return { who, letters, remark, node: el("div", { className: "moe-live-goes" }, who, letters, remark) };
  };
  const [usual, now] = [line(), line()];
  const cell = (className, c) => el("span", { className }, MARKS[c] ?? c);
  // The beginning of its first word, then the letters that are shown so far.
  const write = ({ letters: node }, begun, words, right, until) => {
    const look = (c, i) => (i >= until ? "moe-live-later" : isWrong(right[i], c) ? "moe-live-fell" : "");
    const cells = [...words].map((c, i) => cell(look(c, i), c));
    node.replaceChildren(...[...begun].map((c) => cell("moe-live-begun", c)), ...cells);
    const said = begun + words.slice(0, until);
    put(node, { ariaLabel: said.trim() ? said : "…" }); // of blanks alone a screen reader says nothing
  };
  return {
    node: el("div", { className: "moe-live-two" }, usual.node, now.node),
    draw(text, right, written, until, heads, remarks) {
      const [begun] = text.match(/\w{0,6}$/);
      const unknown = right.replace(/./gs, "?");
      write(usual, begun, right, right, until);
      write(now, begun, written ?? unknown, written === undefined ? unknown : right, until);
      now.node.classList.toggle("moe-muted", written === undefined);
      [usual, now].forEach((each, i) => {
        put(each.who, { textContent: heads[i] });
        put(each.remark, { textContent: remarks[i] });
      });
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
  const { dares } = settings;
  const none = Array.from({ length: B }, () => Array(E).fill(false));
  const longest = Math.max(LONGEST, settings.text.length);
  const linked = settings.link && !model.widget_manager; // JupyterLab opens a notebook without its fragment
  let text = "";
  let rest = ""; // what is still to be typed
  let until = Infinity; // letters of the continuation that are shown so far
  let place = 0; // of the character whose way is drawn
  let off = structuredClone(none);
  let layer = 0; // that tints the text
  let tries = 0; // how often an expert was switched off in this sentence, until it broke
  let won; // the experts that were off when it broke
  let sent; // by a link that breaks this sentence: the experts that are off, and the tries, until they are shown
  let refused = "";
  let strange = []; // characters that were typed and that the model does not know
  let seen; // what the model makes of the text
  let timer = 0;

  const kicker = el("p", { className: "moe-kicker" });
  const title = el("p", { className: "moe-title moe-live-title" });
  const tint = el("span");
  const some = `${inWords(k)} of ${inWords(E)} small networks`;
  const networks = el("small", {}, `In each layer, a router sends each character to ${some}, the experts. `);
  const remark = el("p", { className: "moe-note" }, networks, tint);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "moe-live-ways");
  svg.setAttribute("aria-hidden", "true");
  const sentence = sentencePart(E, longest);
  const { area } = sentence;
  const experts = tilesPart(gpt, toggle, (b) => {
    layer = b;
    draw();
  });
  const continuations = continuationsPart();
  const [rule, figure] = [el("p", { className: "moe-live-rule" }), el("b")];
  const next = dares.length > 1 ? [button("Another", { onclick: another })] : [];
  const link = linked ? [quietly("Link", { onclick: copyLink, ariaLive: "polite" })] : [];
  const theirs = quietly("Show me", { onclick: showSent });
  const score = el("div", { className: "moe-live-score" }, el("p", {}, figure), theirs, ...next, ...link);
  const notice = el("p", { className: "moe-note", role: "status" });
  const spoken = el("p", { className: "moe-sr", ariaLive: "polite" });
  const head = el("div", { className: "moe-live-head" }, sentence.label, notice, remark);
  const stage = el("div", { className: "moe-live" }, svg, head, sentence.node, experts.node, continuations.node, score);
  mount(root, kicker, title, rule, stage, spoken);

  const usual = startReading(gpt, none);
  let reading = usual; // with the experts that are off
  const gone = (of = off) => of.flatMap((all, b) => all.flatMap((out, e) => (out ? [[b, e]] : [])));
  const dare = () => dares.find((each) => each.text === text + rest);

  function show(words, at = [...words].length - 1) {
    [text, place] = [words, at];
    const out = gone();
    const now = reading(text);
    const right = dare()?.right ?? goesOn(gpt, usual, text, AHEAD);
    const written = out.length && text && !rest ? goesOn(gpt, reading, text, right.length) : undefined;
    seen = { now, right, written, ...judge(right, written ?? right) };
    draw();
  }
  function draw() {
    const choices = Array.from({ length: B }, (_, b) => seen.now.map((each) => each.choices[b]));
    const letters = [...text];
    sentence.draw(letters, choices[layer], place, rest);
    experts.draw(letters, choices, off, place, layer);
    say();
    const way = choices.map((all) => all[place]);
    drawWay(svg, sentence.cells[place], experts.tiles, way); // last, since it measures
  }
  const who = ([b, e]) => `expert ${e} of layer\u00a0${b + 1}`;
  const done = () => !rest && until >= seen.right.length; // typed, and gone on with
  /** What the title says while all experts are on. */
  function opening() {
    const needed = dare()?.experts.length;
    if (!text) return "Type something";
    if (!needed) return "What changes if you switch experts off?";
    const cannot = `${capital(inWords(needed))} of these ${inWords(B * E)} experts it cannot do without.`;
    return `${cannot} ${needed > 1 ? "Press one of them." : "Which? Press it."}`;
  }
  /** Why this expert: the first wrong letter comes after one that it answers. */
  function why([b, e], { right, written }) {
    const at = [...right].findIndex((c, i) => isWrong(c, written[i]));
    const read = text + right.slice(0, at);
    const name = NAMES[read.at(-1)] ?? `“${read.at(-1)}”`;
    if (!usual(read).at(-1).choices[b].experts.includes(e)) return "A wrong letter misleads those after it.";
    return `Why? With all experts on, this one answers the ${name}. The first wrong letter comes right after it.`;
  }
  function say() {
    const { right, written, fell, letters, broken } = seen;
    const out = gone();
    const { source, experts: needed } = dare() ?? {};
    const names = out.length === 1 ? who(out[0]) : `${out.length} experts`;
    const all = `${letters} letter${letters === 1 ? "" : "s"}`;
    // With a source, right is what it says, and one expert at a time is off.
    const [falling, fall] = source ? ["is wrong", "are wrong"] : ["changes", "change"];
    const hint = source && tries > 3 && !won ? ` A hint: look in layer ${needed[0][0] + 1}.` : "";
    const least = Math.ceil(letters / 2);
    const falls = fell ? `${fell} of ${all} ${fell === 1 ? falling : fall}` : `no letter ${falling}`;
    const outcome = `${broken ? "Broken: w" : "W"}ithout ${names}, ${falls}`;
    put(title, { textContent: written === undefined ? opening() : outcome });
    put(kicker, { textContent: source ? "A small GPT that has never read this sentence" : settings.title });
    put(sentence.label, { textContent: source ? "Or type a sentence of your own." : "Type into this sentence." });
    put(networks, { hidden: out.length > 0 });
    const key = "Each box is an expert, with letters that ask it.";
    put(tint, { textContent: `Below each letter: its expert in layer ${layer + 1}. ${key}` });
    const heads = [`With all ${inWords(B * E)}`, out.length ? `Without ${names}` : "Without one of them"];
    const remarks = [done() && source ? `✓ as in ${source}` : "", written ? `${broken ? "✗ " : ""}${falls}` : ""];
    continuations.draw(text, right, written, rest ? 0 : until, heads, remarks);
    const task = source ? "One expert at a time." : "Switch some off.";
    const spaces = source ? "" : " Spaces do not count.";
    const asks = `${task} It is broken when ${least} of the ${letters} letters that it writes next ${fall}.${spaces}`;
    const near = fell + 1 < least ? "Not" : "Close, but not";
    const short = `${near} broken: ${least} have to ${source ? "be wrong" : "change"}.`;
    const because = source && broken ? why(out[0], seen) : "A changed letter misleads those after it.";
    const said = (written === undefined ? asks : broken ? because : short) + hint;
    const [n, by] = sent ? [sent.tries, "Somebody broke it in "] : [tries, won ? "Found in " : ""];
    const found = won ? `: ${who(gone(won)[0])}` : "";
    put(figure, { textContent: n && !refused ? `${by}${n === 1 ? "1 try" : `${n} tries`}${found}.` : "" });
    put(theirs, { hidden: !sent });
    put(rule, { textContent: refused || (text ? (letters ? said : "It goes on with spaces alone. Type on.") : "") });
  }

  const anew = () => ([rest, until, tries, won, sent, refused] = ["", Infinity, 0, undefined, undefined, ""]);
  /** Show a sentence that types itself, and then the letters with which the model goes on. */
  function begin(words) {
    still();
    anew();
    [off, reading, strange] = [structuredClone(none), usual, []];
    const from = stillness() ? words.length : words.indexOf(" ", words.length / 4) + 1 || words.length;
    [rest, until] = [words.slice(from), stillness() ? Infinity : 0];
    show(words.slice(0, from));
  }
  function type() {
    timer = setInterval(() => {
      const [c = ""] = rest;
      rest = rest.slice(c.length);
      until += c ? 0 : 1;
      if (until > seen.right.length) finish();
      else if (c) show(text + c);
      else say();
    }, PACE);
  }
  function still() {
    clearInterval(timer);
    timer = 0;
    spoken.textContent = "";
  }
  /** Have at once what was still to come. */
  function finish() {
    still();
    const all = text + rest;
    [rest, until] = ["", Infinity];
    show(all);
  }
  function toggle(b, e) {
    const out = !off[b][e];
    if (until < Infinity) finish();
    refused = out && off[b].filter((gone) => !gone).length === 1 ? `Layer ${b + 1} needs an expert.` : "";
    if (refused) {
      spoken.textContent = refused;
      return say();
    }
    if (dare()) off = structuredClone(none); // one at a time
    off[b][e] = out;
    tries += out && !won ? 1 : 0;
    [layer, sent] = [b, undefined];
    notice.textContent = "";
    readWithout(off);
    const told = `${title.textContent}. ${rule.textContent}`;
    spoken.textContent = `Expert ${e} of layer ${b + 1} is ${out ? "off" : "on"}. ${told}`;
  }
  function readWithout(experts) {
    off = experts;
    reading = gone().length ? startReading(gpt, off) : usual;
    show(text, place);
    if (dare() && seen.broken) won ??= structuredClone(off);
    say();
  }
  function showSent() {
    const found = sent;
    [tries, sent] = [found.tries, undefined];
    readWithout(found.off);
  }
  function another() {
    const at = dares.findIndex((each) => each.text === text + rest);
    notice.textContent = "";
    if (linked) history.replaceState(history.state, "", location.pathname + location.search); // the old sentence's
    begin(dares[(at + 1) % dares.length].text);
    if (!stillness()) type();
  }

  area.oninput = () => {
    still();
    anew();
    const known = (words) => [...words].filter((c) => gpt.idOf(c) >= 0).join("");
    const unknown = [...area.value].filter((c) => gpt.idOf(c) < 0);
    const before = known(area.value.slice(0, area.selectionStart));
    if (area.value.length < 2) [off, reading, strange] = [structuredClone(none), usual, []];
    const full = area.value.length >= longest ? `It takes at most ${longest} characters` : "";
    strange = [...new Set([...strange, ...unknown])].slice(0, 6);
    notice.textContent = full || (strange.length ? `Left out, unknown to the model: ${strange.join(" ")}` : "");
    if (unknown.length) {
      area.value = known(area.value);
      area.setSelectionRange(before.length, before.length);
    }
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
  area.onfocus = () => until < Infinity && finish();
  sentence.label.onclick = () => dare() && setTimeout(() => area.select()); // what one types takes its place

  async function copyLink() {
    finish();
    const names = gone(won).map(([b, e]) => `${b + 1}.${e}`);
    const parts = { gpt: settings.digest, text, off: names.join(","), tries, layer: layer + 1 };
    const words = Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    history.replaceState(history.state, "", `#${words.join("&")}`);
    try {
      await navigator.clipboard.writeText(location.href);
      link[0].textContent = "Link copied";
    } catch {
      link[0].textContent = "The link is in the address bar"; // the page has no permission
    }
    setTimeout(() => (link[0].textContent = "Link"), 3000);
  }
  /** Show what the page's link holds, if it is one of these. */
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("gpt")) return;
    still();
    anew();
    const same = asked.get("gpt") === settings.digest;
    off = structuredClone(none);
    for (const name of same ? (asked.get("off") ?? "").split(",") : []) {
      const [b, e] = name.split(".").map(Number);
      if (off[b - 1]?.[e] === false && off[b - 1].filter((out) => !out).length > 1) off[b - 1][e] = true;
    }
    tries = Math.floor(asked.get("tries")) || 0;
    layer = Math.min(B, Math.max(1, Math.floor(asked.get("layer")) || 1)) - 1;
    notice.textContent = same ? "" : "This link is from another build of the site: its model had other experts";
    const letters = [...(asked.get("text") ?? "")].filter((c) => gpt.idOf(c) >= 0);
    text = letters.slice(0, longest).join("");
    place = [...text].length - 1;
    readWithout(off);
    if (!won) return;
    const found = { off, tries };
    anew();
    sent = found;
    readWithout(structuredClone(none)); // whoever follows it may try first
  }

  // The sentence types itself while it is in sight.
  const sight = new IntersectionObserver((seen) => {
    if (!seen.at(-1).isIntersecting) still();
    else if (until < Infinity && !timer) type();
    else draw(); // out of sight it may have had no size
  });
  begin(settings.text);
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
    stopDrawing();
  };
}
export default { render };
