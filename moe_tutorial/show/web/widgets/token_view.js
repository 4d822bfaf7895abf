// Who handled each character: a text tinted by the experts of one block, a character's path, an expert's characters.
import { describe, el, freshId, mount, note, subtitle } from "../dom.js";
import { DEAD, fairWords, percent, shareWords, sum } from "../words.js";
import { barRow, drawBars, dye, number, pattern } from "../draw/shares.js";
import { numbers } from "../wire.js";

// What is invisible: its mark in the text, and its name.
const INVISIBLE = new Map([
  [" ", { mark: "·", name: "space" }],
  ["\n", { mark: "⏎", name: "line break" }],
  ["\t", { mark: "⇥", name: "tab" }],
]);
// Kinds that a title may name; a character is of the first kind that fits.
const KINDS = [
  { name: "spaces", fits: /^ $/ },
  { name: "line breaks", fits: /\n/ },
  { name: "digits", fits: /\p{Nd}/u },
  { name: "capital letters", fits: /\p{Lu}/u },
  { name: "vowels", fits: /[aeiou]/ },
  { name: "consonants", fits: /[a-z]/ },
  { name: "signs", fits: /[^\p{L}\p{N}\p{M}\s]/u },
];
const FEW = 10; // characters: a title says nothing about a kind that is rarer
const NARROW = 0.08; // of a strip: too little for a number, and without it no colour
const MANY = 65535; // a probability travels as so many steps

// What sits on its neighbour, or has no form, gets one, since it is a token as well.
function glyph(c) {
  if (/\p{Cc}/u.test(c)) return c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "◌";
  return /[\p{M}\p{Cf}]/u.test(c) ? `◌${c}` : c;
}
const nameOf = (c) => INVISIBLE.get(c)?.name ?? glyph(c);
const mono = (words, attributes = {}) => el("span", { className: "moe-mono", ...attributes }, words);
const usage = (...nodes) => el("div", { className: "moe-usage" }, ...nodes);

// The model's numbers by block and character, and what a count of each block finds.
function read(model) {
  const { experts: E, blocks: B, k, labels } = model.get("settings");
  const letters = Array.from(model.get("text"));
  const T = letters.length;
  const all = [...letters.keys()];
  const rowsOf = (values, width) => (b, i) => Array.from(values.subarray((b * T + i) * width, (b * T + i + 1) * width));
  const at = rowsOf(numbers(model.get("indices"), Uint8Array), k);
  const weightsAt = rowsOf(numbers(model.get("weights")), k);
  const probs = numbers(model.get("probs"), Uint16Array);

  const kinds = KINDS.map(({ name }) => ({ name, members: [] }));
  letters.forEach((c, i) => kinds[KINDS.findIndex(({ fits }) => fits.test(c))]?.members.push(i));
  let end = 0;
  const parts = labels.map(([name, length]) => ({ name, members: all.slice(end, (end += length)) }));

  function survey(b) {
    function counted(group) {
      const counts = Array(E).fill(0);
      for (const i of group.members) for (const e of at(b, i)) counts[e]++;
      return { ...group, counts, size: group.members.length };
    }
    const totals = counted({ members: all }).counts;
    const shares = totals.map((n) => n / (T * k));
    const dead = shares.map((share) => share < DEAD);
    return { name: `Block ${b + 1}`, totals, shares, dead, kinds: kinds.map(counted), parts: parts.map(counted) };
  }
  const blocks = Array.from({ length: B }, (_, b) => survey(b));
  return { E, k, T, letters, all, parts, blocks, at, weightsAt, probsAt: probs.length ? rowsOf(probs, E) : null };
}

// The one or two kinds that are more than half of an expert's characters, if it gets more of them than of others.
function mainKinds({ kinds, totals }, T, e) {
  const over = kinds
    .filter(({ counts, size }) => counts[e] / totals[e] > (1.5 * size) / T)
    .sort((a, b) => b.counts[e] - a.counts[e]);
  const main = over.slice(0, over[0]?.counts[e] > totals[e] / 2 ? 1 : 2);
  return sum(main.map(({ counts }) => counts[e])) > totals[e] / 2 ? main : [];
}
// The kind or part that one expert has most for itself, beyond its share of all characters.
function ownKind({ kinds, parts, totals }, T) {
  let own = null;
  for (const { counts, size, ...group } of [...kinds, ...parts].filter(({ size }) => size >= FEW))
    counts.forEach((n, expert) => {
      const part = n / size;
      const usual = totals[expert] / T;
      const gain = n - size * usual;
      if (part > 0.5 && part > 2 * usual && gain > (own?.gain ?? 0)) own = { ...group, expert, part, gain };
    });
  return own;
}
// The message, and the characters that it is about: it names only what a count of this block bears out.
function story({ E, k, T, all, blocks, at }, b) {
  const { name: when, shares, dead } = blocks[b];
  if (k === E) {
    const who = E > 1 ? `all ${E} experts handle` : "the only expert handles";
    return { words: `${when}: ${who} every character`, about: all };
  }
  const e = shares.indexOf(Math.max(...shares));
  const rival = Math.max(...shares.filter((_, other) => other !== e));
  const big = shares[e] > Math.max(1.5 / E, 1.1 * rival);
  const main = big ? mainKinds(blocks[b], T, e) : [];
  const own = main.length ? null : ownKind(blocks[b], T);
  const gone = dead.filter(Boolean).length;

  const part = `${percent(shares[e])} of the ${k > 1 ? "choices" : "characters"}`;
  let words = `${when}: ${big ? `expert ${e} takes` : "no expert takes more than"} ${part}`;
  const names = main.map(({ name }) => name).join(" and ");
  if (names) words += k > 1 ? `; most of its characters are ${names}` : `, most of them ${names}`;
  else if (own) words += `; expert ${own.expert} handles ${percent(own.part)} of the ${own.name}`;
  else if (!gone) words += "; no kind of character has an expert of its own";
  if (gone) words += `; ${gone} of ${E} ${gone === 1 ? "is" : "are"} dead`;

  const members = names ? main.flatMap((kind) => kind.members) : (own?.members ?? all);
  const owner = own?.expert ?? e;
  return { words: words.replaceAll(" %", "\u00a0%"), about: members.filter((i) => at(b, i)[0] === owner) };
}

// The text: a cell for each character, in its parts.
function textPart({ E, T, letters, parts, all, blocks, at }) {
  const cells = letters.map((c, i) => {
    const known = INVISIBLE.get(c);
    const attributes = { role: "option", tabIndex: -1, "data-i": i, "data-lm-suppress-shortcuts": "true" };
    if (known) Object.assign(attributes, { "data-mark": known.mark, ariaLabel: known.name });
    return el("span", attributes, c === "\n" ? "" : known ? c : glyph(c));
  });
  const broken = (i) => (letters[i] === "\n" ? [cells[i], "\n"] : [cells[i]]);
  const line = (members) => el("div", { className: "moe-line" }, ...members.flatMap(broken));
  const part = ({ name, members }) =>
    el("div", { role: "group", ariaLabel: name }, el("p", { className: "moe-part" }, name), line(members));
  const lines = parts.length ? parts.map(part) : [line(all)];
  const node = el("div", { className: `moe-text${E > 10 ? " moe-roomy" : ""}`, role: "listbox" }, ...lines);

  // Up and down go to the nearest character of the next line, wherever the page breaks its lines.
  function beside(from, direction) {
    const place = (i) => cells[i].getBoundingClientRect();
    const apart = (a, b) => Math.abs(a.bottom - b.bottom) > 8;
    const start = place(from);
    let first = from;
    while (cells[first] && !apart(place(first), start)) first += direction;
    let best = cells[first] ? first : from;
    const off = (i) => Math.abs(place(i).left - start.left);
    for (let i = first; cells[i] && !apart(place(i), place(first)); i += direction) if (off(i) < off(best)) best = i;
    return best;
  }
  return {
    node,
    cells,
    /** Of a lit expert (or -1) all characters show its colour, those where it is not the first choice no tint. */
    tint(b, lit) {
      cells.forEach((cell, i) => {
        const chosen = at(b, i);
        const place = lit < 0 ? 0 : chosen.indexOf(lit);
        const e = chosen[place];
        const colour = blocks[b].dead[e] ? "moe-gone" : `moe-u${pattern(e, E)}`;
        cell.className = place < 0 ? "moe-faint" : `${colour}${place > 0 ? " moe-later" : ""}`;
        cell.style.cssText = place < 0 ? "" : dye(e);
        cell.dataset.e = e ?? "";
      });
    },
    indexOf: (event) => Number(event.target.closest("[role=option]")?.dataset.i ?? -1),
    /** The character that a key leads to from one, if any. */
    follow(key, from) {
      if (key === "ArrowUp") return beside(from, -1);
      if (key === "ArrowDown") return beside(from, 1);
      return { ArrowLeft: Math.max(0, from - 1), ArrowRight: Math.min(T - 1, from + 1), Home: 0, End: T - 1 }[key];
    },
  };
}

// One character: its path through the blocks, and the probabilities in the block that is shown.
function characterPart({ E, k, T, letters, blocks, at, weightsAt, probsAt }) {
  const heading = subtitle();
  const path = el("ol", { className: "moe-path" });
  const help = note();
  const spoken = el("p", { className: "moe-sr", ariaLive: "polite" });
  const likelyTitle = subtitle();
  const likely = el("ol", { className: "moe-shares" });
  const others = note();
  const panel = el("div", { className: "moe-panel" }, heading, path, help, spoken);
  const experts = (b, i) => at(b, i).map((e, rank) => ({ e, weight: weightsAt(b, i)[rank].toFixed(2) }));

  function drawPath(i, b) {
    const steps = blocks.map(({ name, dead }, other) => {
      const chosen = experts(other, i).map(({ e, weight }) => el("span", {}, number(e, dead[e]), ` ${weight}`));
      return el("li", { className: other === b ? "moe-here" : "" }, el("span", {}, name), ...chosen);
    });
    path.replaceChildren(...steps);
  }
  // The chosen first, then the likeliest others.
  function drawLikely(i, b) {
    const { name, dead } = blocks[b];
    const p = probsAt(b, i).map((steps) => steps / MANY);
    const own = at(b, i);
    const rest = [...p.keys()].filter((e) => !own.includes(e)).sort((one, other) => p[other] - p[one]);
    const order = [...own, ...rest];
    const shown = order.splice(0, Math.max(4, k));
    likelyTitle.textContent = `Probabilities in ${name.toLowerCase()}`;
    const row = (e) => barRow(e, E > 8, { dead: dead[e], part: p[e], words: p[e].toFixed(2) });
    likely.replaceChildren(...shown.map(row));
    const left = sum(order.map((e) => p[e])).toFixed(2);
    others.textContent = order.length ? `The other ${order.length} together: ${left}.` : "";
  }
  function speak(i) {
    const inBlock = (b) => experts(b, i).map(({ e, weight }) => `expert ${e} weight ${weight}`);
    const all = blocks.map(({ name }, b) => `${name.toLowerCase()} ${inBlock(b).join(", ")}`).join("; ");
    spoken.textContent = `Character ${i + 1}, ${nameOf(letters[i])}: ${all}.`;
  }
  return {
    nodes: probsAt ? [panel, usage(likelyTitle, likely, others)] : [panel],
    draw(i, b, pinned) {
      const name = nameOf(letters[i]);
      heading.replaceChildren(`Character ${i + 1} of ${T}: `, INVISIBLE.has(letters[i]) ? name : mono(name));
      drawPath(i, b);
      if (probsAt) drawLikely(i, b);
      const how = "Point at a character, click to pin it, or use the arrow keys.";
      help.textContent = pinned ? "Pinned. Escape lets it go." : `Beside each expert: its gate weight. ${how}`;
      if (pinned) speak(i);
    },
  };
}

// The shares of a block, with the characters that each expert handles most often; `light` hears at whom one points or clicks.
function usagePart({ E, k, letters, blocks, at }, light) {
  const title = subtitle();
  const bars = el("ol", { className: "moe-shares moe-takes" });
  const beside = "Beside it: the characters that it handles most often.";
  const hint = note(`${fairWords(E)} ${beside} Point at an expert to see only its characters.`);

  function oftenBy(b) {
    const tally = Array.from({ length: E }, () => new Map());
    letters.forEach((c, i) => at(b, i).forEach((e) => tally[e].set(c, (tally[e].get(c) ?? 0) + 1)));
    const few = (counts) => [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4);
    return tally.map((counts) => few(counts).map(([c]) => c));
  }
  const sign = (c) => el("span", INVISIBLE.has(c) ? { className: "moe-muted" } : {}, c === "\n" ? "⏎" : nameOf(c));
  // What is seen in the button is its name, too: its parts say more to those who only hear them.
  function toButton(row, e, often) {
    Object.assign(row.firstChild, { role: "img", ariaLabel: `Expert ${e}` });
    const heard = { role: "img", ariaLabel: `most often ${often.map(nameOf).join(" ")}` };
    const signs = often.length ? [mono("", heard)] : [];
    signs[0]?.append(...often.map(sign));
    const node = el("button", { type: "button", "data-lm-suppress-shortcuts": "true" }, ...row.childNodes, ...signs);
    node.onmouseenter = node.onfocus = () => light(e);
    node.onmouseleave = node.onblur = () => light(-1);
    node.onclick = () => light(e, true);
    row.append(node);
  }
  return {
    node: usage(title, bars, hint),
    draw(b) {
      title.textContent = `${blocks[b].name}: shares of the ${k > 1 ? "choices" : "characters"}`;
      drawBars(bars, blocks[b].shares);
      const often = oftenBy(b);
      [...bars.children].forEach((row, e) => toButton(row, e, often[e]));
    },
    press: (held) => [...bars.children].forEach((row, e) => row.firstChild.setAttribute("aria-pressed", e === held)),
  };
}

// Which experts handle each part of the text, as strips.
function domainsPart({ E, k, blocks }) {
  const title = subtitle();
  const rows = el("tbody");
  const rule = `Grey: experts under ${100 * NARROW} % of the part.`;
  const hint = note(`${rule} At the right: the one that takes most of it.`);
  function rowOf({ name, counts, size }) {
    const shares = counts.map((n) => n / (size * k));
    const most = shares.indexOf(Math.max(...shares));
    const wide = [...shares.keys()].filter((e) => shares[e] >= NARROW);
    const grow = (share) => `flex-grow:${share.toFixed(4)}`;
    const look = (e) => ({ className: `moe-p${pattern(e, E)}`, style: `${dye(e)};${grow(shares[e])}` });
    const rest = el("i", { style: grow(1 - sum(wide.map((e) => shares[e]))) });
    const pieces = wide.map((e) => el("i", look(e), String(e)));
    const strip = el("span", { className: "moe-strip", role: "img", ariaLabel: shareWords(shares) }, ...pieces, rest);
    const winner = el("td", { className: "moe-r" }, number(most), ` ${percent(shares[most])}`);
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, strip), winner);
  }
  return {
    node: usage(title, el("table", { className: "moe-domains" }, rows), hint),
    draw(b) {
      title.textContent = `${blocks[b].name}: who handles which part`;
      rows.replaceChildren(...blocks[b].parts.map(rowOf));
    },
  };
}

function blockButtons(blocks, choose) {
  const group = freshId();
  const labels = blocks.map(({ name }, b) => {
    const checked = b === blocks.length - 1;
    const radio = el("input", { type: "radio", name: group, checked, onchange: () => choose(b) });
    return el("label", {}, radio, el("span", {}, name));
  });
  return el("fieldset", { className: "moe-segments" }, el("legend", { className: "moe-sr" }, "Block"), ...labels);
}

function render({ model, el: root }) {
  const data = read(model);
  const { k, T, all, blocks, parts, at, weightsAt } = data;
  let block = blocks.length - 1;
  let picked = 0;
  let pinned = false;
  let pointed = -1; // at which expert, and which one was clicked
  let held = -1;

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const remark = note();
  const text = textPart(data);
  const character = characterPart(data);
  const takes = usagePart(data, (e, click) => {
    if (click) held = held === e ? -1 : e;
    else pointed = e;
    tint();
  });
  const domains = domainsPart(data);
  const aside = [...character.nodes, takes.node, ...(parts.length ? [domains.node] : [])];
  const kicker = el("p", { className: "moe-kicker" }, model.get("settings").title);
  const choice = blocks.length > 1 ? [blockButtons(blocks, draw)] : [];
  const side = el("div", { className: "moe-aside" }, ...aside);
  mount(root, kicker, message, remark, ...choice, el("div", { className: "moe-split moe-reader" }, text.node, side));

  function tint() {
    const lit = pointed < 0 ? held : pointed;
    text.tint(block, lit);
    takes.press(held);
    const grey = blocks[block].dead.some(Boolean) ? " Grey: dead, under 1 %." : "";
    const usual = `Tint, underline and number: the ${k > 1 ? "first-choice" : "chosen"} expert of each character.${grey}`;
    const only = `Only the characters of expert ${lit}${k > 1 ? "; without tint where it is not the first choice" : ""}.`;
    remark.textContent = `${lit < 0 ? usual : only} A dot is a space, ⏎ a line break.`;
  }
  const inspect = () => character.draw(picked, block, pinned);
  function pick(i, pin = pinned) {
    text.cells[picked].removeAttribute("aria-selected");
    text.cells[picked].tabIndex = -1;
    [picked, pinned] = [i, pin];
    text.cells[i].setAttribute("aria-selected", "true");
    text.cells[i].tabIndex = 0;
    inspect();
  }
  function draw(b = block) {
    block = b;
    const { words, about } = story(data, block);
    message.textContent = words;
    const shares = `Shares: ${shareWords(blocks[block].shares)}.`;
    const keys = "Arrow keys move from character to character.";
    describe(text.node, `Text of ${T} characters, each with its expert. ${words}. ${shares} ${keys}`);
    takes.draw(block);
    domains.draw(block);
    tint();
    inspect();
    return about;
  }

  text.node.onmouseover = (event) => {
    const i = text.indexOf(event);
    if (!pinned && i >= 0) pick(i);
  };
  text.node.onclick = (event) => {
    const i = text.indexOf(event);
    if (i >= 0) pick(i, !(pinned && i === picked));
  };
  text.node.onkeydown = (event) => {
    const next = text.follow(event.key, picked);
    if (next === undefined) return;
    event.preventDefault();
    pick(next, true);
    text.cells[picked].focus();
  };
  root.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    pinned = false;
    pointed = held = -1;
    tint();
    inspect();
  };

  // A reader who touches nothing sees a character that the title is about, best one whose experts differ by block.
  const about = draw();
  const differ = (i) => new Set(blocks.map((_, b) => at(b, i)[0])).size;
  const sure = (i) => weightsAt(block, i)[0];
  const better = (a, b) => differ(b) - differ(a) || sure(b) - sure(a);
  pick((about.length ? about : all).reduce((a, b) => (better(a, b) > 0 ? b : a)));
}
export default { render };
