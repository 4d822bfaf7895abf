// Who handled each character: a text tinted by the experts of one block, a character's path, an expert's characters.
import { describe, el, freshId, mount, note, numbers, subtitle } from "./dom.js";
import { DEAD, fairWords, percent, shareWords, sum } from "./words.js";
import { barRow, drawBars, dye, number, pattern } from "./shares.js";

const NAMES = { " ": "space", "\n": "line break", "\t": "tab" };
const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥" };
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

// What is invisible or sits on its neighbour gets a form of its own, since it is a token as well.
function glyph(c) {
  if (/\p{Cc}/u.test(c)) return c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "◌";
  return /[\p{M}\p{Cf}]/u.test(c) ? `◌${c}` : c;
}
const nameOf = (c) => NAMES[c] ?? glyph(c);
const mono = (...children) => el("span", { className: "moe-mono" }, ...children);

// The model's numbers, by block and character.
function read(model) {
  const { experts: E, blocks: B, k, labels } = model.get("settings");
  const letters = Array.from(model.get("text"));
  const T = letters.length;
  const all = letters.map((_, i) => i);
  const blocks = Array.from({ length: B }, (_, b) => b);
  const chosen = numbers(model.get("indices"), Uint8Array);
  const weights = numbers(model.get("weights"));
  const probs = numbers(model.get("probs"), Uint16Array);

  const at = (b, i) => chosen.subarray((b * T + i) * k, (b * T + i + 1) * k);
  const weightsAt = (b, i) => weights.subarray((b * T + i) * k, (b * T + i + 1) * k);
  const probsAt = (b, i) => Array.from(probs.subarray((b * T + i) * E, (b * T + i + 1) * E), (v) => v / MANY);
  function count(members, b) {
    const counts = Array(E).fill(0);
    for (const i of members) for (const e of at(b, i)) counts[e]++;
    return counts;
  }

  const kinds = KINDS.map(({ name }) => ({ name, members: [] }));
  letters.forEach((c, i) => kinds[KINDS.findIndex(({ fits }) => fits.test(c))]?.members.push(i));
  let end = 0;
  const parts = labels.map(([name, length]) => {
    end += length;
    return { name, members: all.slice(end - length, end) };
  });
  const totals = blocks.map((b) => count(all, b));
  const shares = totals.map((counts) => counts.map((n) => n / (T * k)));
  const dead = shares.map((own) => own.map((share) => share < DEAD));
  const hasProbs = probs.length > 0;
  return { E, k, T, letters, all, blocks, kinds, parts, totals, shares, dead, hasProbs, at, weightsAt, probsAt, count };
}

// The one or two kinds that are more than half of an expert's characters, if it gets more of them than of others.
function mainKinds({ kinds, T, totals, count }, block, e) {
  const total = totals[block][e];
  const over = kinds
    .map((kind) => ({ ...kind, n: count(kind.members, block)[e] }))
    .filter(({ n, members }) => n / total > (1.5 * members.length) / T)
    .sort((a, b) => b.n - a.n);
  const main = over[0]?.n > total / 2 ? over.slice(0, 1) : over.slice(0, 2);
  return sum(main.map(({ n }) => n)) > total / 2 ? main : [];
}
// The kind or part that one expert has most for itself, beyond its share of all characters.
function ownKind({ kinds, parts, T, totals, count }, block) {
  let own = null;
  for (const group of [...kinds, ...parts]) {
    const size = group.members.length;
    if (size < FEW) continue;
    count(group.members, block).forEach((n, expert) => {
      const part = n / size;
      const usual = totals[block][expert] / T;
      const gain = n - size * usual;
      if (part > 0.5 && part > 2 * usual && gain > (own?.gain ?? 0)) own = { ...group, expert, part, gain };
    });
  }
  return own;
}
// The message, and the characters that it is about: it names only what a count of this block bears out.
function story(text, block) {
  const { E, k, all, at } = text;
  const when = `Block ${block + 1}:`;
  if (k === E) {
    const who = E > 1 ? `all ${E} experts handle` : "the only expert handles";
    return { words: `${when} ${who} every character`, about: all };
  }
  const shares = text.shares[block];
  const e = shares.indexOf(Math.max(...shares));
  const rival = Math.max(...shares.filter((_, other) => other !== e));
  const big = shares[e] > Math.max(1.5 / E, 1.1 * rival);
  const main = big ? mainKinds(text, block, e) : [];
  const own = ownKind(text, block);
  const gone = text.dead[block].filter(Boolean).length;

  const part = `${percent(shares[e])} of the ${k > 1 ? "choices" : "characters"}`;
  let words = big ? `${when} expert ${e} takes ${part}` : `${when} no expert takes more than ${part}`;
  if (main.length) {
    const names = main.map(({ name }) => name).join(" and ");
    words += k > 1 ? `; most of its characters are ${names}` : `, most of them ${names}`;
  } else if (own) words += `; expert ${own.expert} handles ${percent(own.part)} of the ${own.name}`;
  else if (!gone) words += "; no kind of character has an expert of its own";
  if (gone) words += `; ${gone} of ${E} ${gone === 1 ? "is" : "are"} dead`;

  const owner = main.length || !own ? e : own.expert;
  const members = main.length ? main.flatMap((kind) => kind.members) : (own?.members ?? all);
  return { words: words.replaceAll(" %", "\u00a0%"), about: members.filter((i) => at(block, i)[0] === owner) };
}

// The text: a cell for each character, in its parts.
function textPart({ E, T, letters, parts, all, at }) {
  const cells = letters.map((c, i) => {
    const shown = c in MARKS ? c : glyph(c);
    const attributes = { role: "option", tabIndex: -1, "data-i": i, "data-lm-suppress-shortcuts": "true" };
    const cell = el("span", attributes, c === "\n" ? "" : shown);
    if (c in MARKS) {
      cell.dataset.mark = MARKS[c];
      cell.ariaLabel = c === "\n" ? "line end" : "space";
    }
    return cell;
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
    const start = place(from);
    let best = from;
    let least = Infinity;
    let bottom = null; // of the next line
    for (let i = from + direction; cells[i]; i += direction) {
      const box = place(i);
      if (Math.abs(box.bottom - start.bottom) < 8) continue;
      bottom ??= box.bottom;
      if (Math.abs(box.bottom - bottom) > 8) break;
      const off = Math.abs(box.left - start.left);
      if (off < least) [best, least] = [i, off];
    }
    return best;
  }
  return {
    node,
    cells,
    /** Of a lit expert (or -1) all characters show its colour, those where it is not the first choice no tint. */
    tint(block, lit, dead) {
      cells.forEach((cell, i) => {
        const place = lit < 0 ? 0 : at(block, i).indexOf(lit);
        const e = at(block, i)[place];
        if (place < 0) cell.className = "moe-faint";
        else cell.className = `${dead[e] ? "moe-gone" : `moe-u${pattern(e, E)}`}${place > 0 ? " moe-later" : ""}`;
        cell.style.cssText = place < 0 ? "" : dye(e);
        cell.dataset.e = place < 0 ? "" : e;
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
function characterPart({ E, k, T, letters, blocks, dead, hasProbs, at, weightsAt, probsAt }) {
  const heading = subtitle();
  const path = el("ol", { className: "moe-path" });
  const help = note();
  const spoken = el("p", { className: "moe-sr", ariaLive: "polite" });
  const likelyTitle = subtitle();
  const likely = el("ol", { className: "moe-shares" });
  const others = note();
  const panel = el("div", { className: "moe-panel" }, heading, path, help, spoken);
  const chance = el("div", { className: "moe-usage" }, likelyTitle, likely, others);
  const experts = (b, i) => Array.from(at(b, i), (e, rank) => ({ e, weight: weightsAt(b, i)[rank].toFixed(2) }));

  function drawPath(i, block) {
    const steps = blocks.map((b) => {
      const chosen = experts(b, i).map(({ e, weight }) => el("span", {}, number(e, dead[b][e]), ` ${weight}`));
      return el("li", { className: b === block ? "moe-here" : "" }, el("span", {}, `Block ${b + 1}`), ...chosen);
    });
    path.replaceChildren(...steps);
  }
  // The chosen first, then the likeliest others.
  function drawLikely(i, block) {
    const p = probsAt(block, i);
    const own = Array.from(at(block, i));
    const rest = p.map((_, e) => e).filter((e) => !own.includes(e));
    const order = [...own, ...rest.sort((a, b) => p[b] - p[a])];
    const shown = order.slice(0, Math.max(4, k));
    const left = order.slice(shown.length).map((e) => p[e]);
    const row = (e) => barRow(e, E > 8, { dead: dead[block][e], part: p[e], words: p[e].toFixed(2) });
    likelyTitle.textContent = `Probabilities in block ${block + 1}`;
    likely.replaceChildren(...shown.map(row));
    others.textContent = left.length ? `The other ${left.length} together: ${sum(left).toFixed(2)}.` : "";
  }
  function speak(i) {
    const inBlock = (b) => experts(b, i).map(({ e, weight }) => `expert ${e} weight ${weight}`);
    const all = blocks.map((b) => `block ${b + 1} ${inBlock(b).join(", ")}`).join("; ");
    spoken.textContent = `Character ${i + 1}, ${nameOf(letters[i])}: ${all}.`;
  }
  return {
    nodes: hasProbs ? [panel, chance] : [panel],
    draw(i, block, pinned) {
      const name = nameOf(letters[i]);
      heading.replaceChildren(`Character ${i + 1} of ${T}: `, letters[i] in NAMES ? name : mono(name));
      drawPath(i, block);
      if (hasProbs) drawLikely(i, block);
      help.textContent = pinned
        ? "Pinned. Escape lets it go."
        : "Beside each expert: its gate weight. Point at a character, click to pin it, or use the arrow keys.";
      if (pinned) speak(i);
    },
  };
}

// The shares of a block, with the characters that each expert handles most often; `light` hears at whom one points or clicks.
function usagePart({ E, k, letters, shares, dead, at }, light) {
  const title = subtitle();
  const bars = el("ol", { className: "moe-shares moe-takes" });
  const beside = "Beside it: the characters that it handles most often.";
  const hint = note(`${fairWords(E)} ${beside} Point at an expert to see only its characters.`);

  function oftenBy(block) {
    const tally = Array.from({ length: E }, () => new Map());
    letters.forEach((c, i) => at(block, i).forEach((e) => tally[e].set(c, (tally[e].get(c) ?? 0) + 1)));
    const few = (counts) => [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4);
    return tally.map((counts) => few(counts).map(([c]) => c));
  }
  const sign = (c) => el("span", c in NAMES ? { className: "moe-muted" } : {}, c === "\n" ? MARKS[c] : nameOf(c));
  function toButton(row, e, often, block) {
    const share = dead[block][e] ? "dead" : percent(shares[block][e]);
    const ariaLabel = `Expert ${e}, ${share}${often.length ? `, most often: ${often.map(nameOf).join(" ")}` : ""}`;
    const attributes = { type: "button", "data-lm-suppress-shortcuts": "true", ariaLabel };
    const node = el("button", attributes, ...row.childNodes, mono(...often.map(sign)));
    node.onmouseenter = node.onfocus = () => light(e);
    node.onmouseleave = node.onblur = () => light(-1);
    node.onclick = () => light(e, true);
    row.append(node);
  }
  return {
    node: el("div", { className: "moe-usage" }, title, bars, hint),
    draw(block) {
      title.textContent = `Block ${block + 1}: shares of the ${k > 1 ? "choices" : "characters"}`;
      drawBars(bars, shares[block]);
      const often = oftenBy(block);
      [...bars.children].forEach((row, e) => toButton(row, e, often[e], block));
    },
    press: (held) => [...bars.children].forEach((row, e) => row.firstChild.setAttribute("aria-pressed", e === held)),
  };
}

// Which experts handle each part of the text, as strips.
function domainsPart({ E, k, parts, count }) {
  const title = subtitle();
  const rows = el("tbody");
  const rule = `Grey: experts under ${100 * NARROW} % of the part.`;
  const hint = note(`${rule} At the right: the one that takes most of it.`);
  function rowOf({ name, members }, block) {
    const shares = count(members, block).map((n) => n / (members.length * k));
    const most = shares.indexOf(Math.max(...shares));
    const wide = shares.map((share, e) => ({ share, e })).filter(({ share }) => share >= NARROW);
    const grow = (share) => `flex-grow:${share.toFixed(4)}`;
    const pieces = wide.map(({ share, e }) =>
      el("i", { className: `moe-p${pattern(e, E)}`, style: `${dye(e)};${grow(share)}` }, String(e)),
    );
    const rest = el("i", { style: grow(1 - sum(wide.map(({ share }) => share))) });
    const strip = el("span", { className: "moe-strip", role: "img" }, ...pieces, rest);
    describe(strip, shareWords(shares));
    const winner = el("td", { className: "moe-r" }, number(most), ` ${percent(shares[most])}`);
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, strip), winner);
  }
  return {
    node: el("div", { className: "moe-usage" }, title, el("table", { className: "moe-domains" }, rows), hint),
    draw(block) {
      title.textContent = `Block ${block + 1}: who handles which part`;
      rows.replaceChildren(...parts.map((part) => rowOf(part, block)));
    },
  };
}

function blockButtons(blocks, choose) {
  const name = freshId();
  const last = blocks.length - 1;
  const labels = blocks.map((b) => {
    const radio = el("input", { type: "radio", name, checked: b === last, onchange: () => choose(b) });
    return el("label", {}, radio, el("span", {}, `Block ${b + 1}`));
  });
  return el("fieldset", { className: "moe-segments" }, el("legend", { className: "moe-sr" }, "Block"), ...labels);
}

function render({ model, el: root }) {
  const data = read(model);
  const { k, T, all, blocks, parts, dead, at, weightsAt } = data;
  let block = blocks.length - 1;
  let picked = 0;
  let pinned = false;
  let pointed = -1; // at which expert, and which one was clicked
  let held = -1;

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const remark = note();
  const text = textPart(data);
  const character = characterPart(data);
  const usage = usagePart(data, (e, click) => {
    if (click) held = held === e ? -1 : e;
    else pointed = e;
    tint();
  });
  const domains = domainsPart(data);
  const choose = (b) => {
    block = b;
    draw();
  };
  mount(
    root,
    el("p", { className: "moe-kicker" }, model.get("settings").title),
    message,
    remark,
    ...(blocks.length > 1 ? [blockButtons(blocks, choose)] : []),
    el(
      "div",
      { className: "moe-split moe-reader" },
      text.node,
      el("div", { className: "moe-aside" }, ...character.nodes, usage.node, ...(parts.length ? [domains.node] : [])),
    ),
  );

  function tint() {
    const lit = pointed < 0 ? held : pointed;
    text.tint(block, lit, dead[block]);
    usage.press(held);
    const grey = dead[block].some(Boolean) ? " Grey: dead, under 1 %." : "";
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
  function draw() {
    const { words, about } = story(data, block);
    message.textContent = words;
    const shares = `Shares: ${shareWords(data.shares[block])}.`;
    const keys = "Arrow keys move from character to character.";
    describe(text.node, `Text of ${T} characters, each with its expert. ${words}. ${shares} ${keys}`);
    usage.draw(block);
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
  const differ = (i) => new Set(blocks.map((b) => at(b, i)[0])).size;
  const sure = (i) => weightsAt(block, i)[0];
  const better = (a, b) => differ(b) - differ(a) || sure(b) - sure(a);
  pick((about.length ? about : all).reduce((a, b) => (better(a, b) > 0 ? b : a)));
}
export default { render };
