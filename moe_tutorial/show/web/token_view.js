// Who handled each character: a text tinted by the experts of one block, a character's path, an expert's characters.
import { el, freshId, mount, numbers, subtitle } from "./dom.js";
import { DEAD, fairWords, percent, shareWords, sum } from "./words.js";
import { badge, drawBars } from "./shares.js";

const NAMES = { " ": "space", "\n": "line break", "\t": "tab" };
const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥" };
const KINDS = [
  // that a title may name; a character is of the first kind that fits
  ["spaces", /^ $/],
  ["line breaks", /\n/],
  ["digits", /\p{Nd}/u],
  ["capital letters", /\p{Lu}/u],
  ["vowels", /[aeiou]/],
  ["consonants", /[a-z]/],
  ["signs", /[^\p{L}\p{N}\p{M}\s]/u],
];
const FEW = 10; // characters: a title says nothing about a kind that is rarer
const NARROW = 0.08; // of a strip: too little for a number, and without it no colour
const nameOf = (c) => NAMES[c] ?? glyph(c);
// What is invisible or sits on its neighbour gets a form of its own, since it is a token as well.
function glyph(c) {
  if (/\p{Cc}/u.test(c)) return c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "◌";
  return /[\p{M}\p{Cf}]/u.test(c) ? `◌${c}` : c;
}
const dyes = (e) => `--c:var(--moe-e${e});--o:var(--moe-on${e});--t:var(--moe-t${e})`;

function render({ model, el: root }) {
  const s = model.get("settings"),
    { experts: E, blocks: B, k } = s;
  const letters = Array.from(model.get("text")),
    T = letters.length,
    all = letters.map((_, i) => i);
  const chosen = numbers(model.get("indices"), Uint8Array),
    weights = numbers(model.get("weights")),
    probs = numbers(model.get("probs"), Uint16Array);
  const pattern = (e) => (E > 8 ? e >> 2 : 0);
  const at = (b, i) => chosen.subarray((b * T + i) * k, (b * T + i + 1) * k);
  const kinds = KINDS.map(([name]) => ({ name, members: [] }));
  letters.forEach((c, i) => kinds[KINDS.findIndex(([, fits]) => fits.test(c))]?.members.push(i));
  let end = 0;
  const parts = s.labels.map(([name, length]) => ({ name, members: all.slice(end, (end += length)) }));
  let block = B - 1,
    picked = 0,
    pinned = false,
    pointed = -1,
    held = -1,
    totals,
    shares,
    dead;

  const message = el("p", { className: "moe-title", ariaLive: "polite" }),
    note = el("p", { className: "moe-note" });
  const group = freshId();
  const radios = Array.from({ length: B }, (_, b) =>
    el("input", { type: "radio", name: group, checked: b === block, onchange: () => ((block = b), draw()) }),
  );
  const segments = el(
    "fieldset",
    { className: "moe-segments" },
    el("legend", { className: "moe-sr" }, "Block"),
    ...radios.map((radio, b) => el("label", {}, radio, el("span", {}, `Block ${b + 1}`))),
  );
  const cells = letters.map((c, i) => {
    const cell = el(
      "span",
      { role: "option", tabIndex: -1, "data-i": i, "data-lm-suppress-shortcuts": "true" },
      c === "\n" ? "" : c in MARKS ? c : glyph(c),
    );
    if (c in MARKS) cell.dataset.mark = MARKS[c];
    return cell;
  });
  const line = (members) =>
    el(
      "div",
      { className: "moe-line" },
      ...members.flatMap((i) => (letters[i] === "\n" ? [cells[i], "\n"] : [cells[i]])),
    );
  const text = el(
    "div",
    { className: `moe-text${E > 10 ? " moe-roomy" : ""}`, role: "listbox" },
    ...(parts.length
      ? parts.map((p) =>
          el("div", { role: "group", ariaLabel: p.name }, el("p", { className: "moe-part" }, p.name), line(p.members)),
        )
      : [line(all)]),
  );
  const heading = subtitle(),
    path = el("ol", { className: "moe-path" });
  const likely = el("ol", { className: "moe-shares" }),
    likelyTitle = subtitle(),
    others = el("p", { className: "moe-note" });
  const spoken = el("p", { className: "moe-sr", ariaLive: "polite" }),
    help = el("p", { className: "moe-note" });
  const panel = el("div", { className: "moe-panel" }, heading, path, help, spoken);
  const chance = el("div", { className: "moe-usage" }, likelyTitle, likely, others);
  const bars = el("ol", { className: "moe-shares moe-takes" }),
    barsTitle = subtitle(),
    domains = el("table", { className: "moe-domains" }),
    partTitle = subtitle();
  const usage = el(
    "div",
    { className: "moe-usage" },
    barsTitle,
    bars,
    el(
      "p",
      { className: "moe-note" },
      `${fairWords(E)} Beside it: the characters that it handles most often. Point at an expert to see only its characters.`,
    ),
  );
  mount(
    root,
    el("p", { className: "moe-kicker" }, s.title),
    message,
    note,
    ...(B > 1 ? [segments] : []),
    el(
      "div",
      { className: "moe-split moe-reader" },
      text,
      el(
        "div",
        { className: "moe-aside" },
        panel,
        ...(probs.length ? [chance] : []),
        usage,
        ...(parts.length
          ? [
              el(
                "div",
                { className: "moe-usage" },
                partTitle,
                domains,
                el(
                  "p",
                  { className: "moe-note" },
                  `Grey: experts under ${100 * NARROW} % of the part. At the right: the one that takes most of it.`,
                ),
              ),
            ]
          : []),
      ),
    ),
  );

  function count(members, b = block) {
    const counts = Array(E).fill(0);
    for (const i of members) for (const e of at(b, i)) counts[e]++;
    return counts;
  }
  const deadIn = radios.map((_, b) => count(all, b).map((n) => n / (T * k) < DEAD));

  // The message, and the characters that it is about: it names only what a count of this block bears out.
  function story() {
    const when = `Block ${block + 1}:`,
      e = totals.indexOf(Math.max(...totals)),
      rival = Math.max(...shares.filter((_, f) => f !== e)),
      big = shares[e] > Math.max(1.5 / E, 1.1 * rival),
      gone = dead.filter(Boolean).length;
    if (k === E)
      return {
        words: `${when} ${E > 1 ? `all ${E} experts handle` : "the only expert handles"} every character`,
        about: all,
      };
    const mostly = [];
    const over = kinds
      .map((g) => ({ ...g, n: count(g.members)[e] }))
      .filter((g) => g.n / totals[e] > (1.5 * g.members.length) / T)
      .sort((a, b) => b.n - a.n);
    for (const g of over.slice(0, 2)) if (sum(mostly.map((m) => m.n)) <= totals[e] / 2) mostly.push(g);
    const enough = big && sum(mostly.map((m) => m.n)) > totals[e] / 2;
    let own = { gain: 0 };
    for (const g of [...kinds, ...parts])
      if (g.members.length >= FEW)
        count(g.members).forEach((n, f) => {
          const part = n / g.members.length,
            gain = n - (g.members.length * totals[f]) / T; // more than its share of all
          if (part > 0.5 && part > (2 * totals[f]) / T && gain > own.gain) own = { gain, part, f, ...g };
        });
    const things = k > 1 ? "choices" : "characters";
    const lead = big
      ? `expert ${e} takes ${percent(shares[e])} of the ${things}`
      : `no expert takes more than ${percent(shares[e])} of the ${things}`;
    const rest = enough
      ? `${k > 1 ? "; most of its characters are" : ", most of them"} ${mostly.map((m) => m.name).join(" and ")}`
      : own.name
        ? `; expert ${own.f} handles ${percent(own.part)} of the ${own.name}`
        : gone
          ? ""
          : "; no kind of character has an expert of its own";
    const owner = enough || !own.name ? e : own.f,
      members = enough ? mostly.flatMap((m) => m.members) : (own.members ?? all);
    return {
      words: `${when} ${lead}${rest}${gone ? `; ${gone} of ${E} ${gone === 1 ? "is" : "are"} dead` : ""}`.replaceAll(
        " %",
        "\u00a0%",
      ),
      about: members.filter((i) => at(block, i)[0] === owner),
    };
  }

  // Of a lit expert all characters show its colour, those where it is not the first choice without the tint.
  function tint() {
    const lit = pointed < 0 ? held : pointed;
    cells.forEach((cell, i) => {
      const place = lit < 0 ? 0 : at(block, i).indexOf(lit),
        e = at(block, i)[place];
      cell.className =
        place < 0 ? "moe-faint" : `${dead[e] ? "moe-gone" : `moe-u${pattern(e)}`}${place > 0 ? " moe-later" : ""}`;
      cell.style.cssText = place < 0 ? "" : dyes(e);
      cell.dataset.e = place < 0 ? "" : e;
    });
    [...bars.children].forEach((row, e) => row.firstChild.setAttribute("aria-pressed", e === held));
    note.textContent =
      (lit < 0
        ? `Tint, underline and number: the ${k > 1 ? "first-choice" : "chosen"} expert of each character.${dead.some(Boolean) ? " Grey: dead, under 1 %." : ""}`
        : `Only the characters of expert ${lit}${k > 1 ? "; without tint where it is not the first choice" : ""}.`) +
      " A dot is a space, ⏎ a line break.";
  }

  function inspect() {
    const c = letters[picked],
      experts = (b) => Array.from(at(b, picked), (e, r) => [e, weights[(b * T + picked) * k + r].toFixed(2)]);
    heading.replaceChildren(
      `Character ${picked + 1} of ${T}: `,
      c in NAMES ? nameOf(c) : el("span", { className: "moe-mono" }, nameOf(c)),
    );
    path.innerHTML = Array.from(
      { length: B },
      (_, b) =>
        `<li${b === block ? ' class="moe-here"' : ""}><span>Block ${b + 1}</span>` +
        experts(b)
          .map(([e, w]) => `<span>${badge(e, deadIn[b][e])} ${w}</span>`)
          .join("") +
        "</li>",
    ).join("");
    if (probs.length) {
      const p = Array.from(probs.subarray((block * T + picked) * E, (block * T + picked + 1) * E), (v) => v / 65535);
      const own = [...at(block, picked)],
        order = [
          ...own,
          ...p
            .map((_, e) => e)
            .filter((e) => !own.includes(e))
            .sort((a, b) => p[b] - p[a]),
        ],
        shown = order.slice(0, Math.max(4, k));
      likelyTitle.textContent = `Probabilities in block ${block + 1}`;
      likely.innerHTML = shown
        .map(
          (e) =>
            `<li>${badge(e, dead[e])}<span class="moe-track"><i class="moe-p${pattern(e)}" style="${dyes(e)};${dead[e] ? "--c:var(--moe-border);" : ""}width:${(100 * p[e]).toFixed(1)}%"></i></span><span class="moe-r">${p[e].toFixed(2)}</span></li>`,
        )
        .join("");
      others.textContent =
        E > shown.length
          ? `The other ${E - shown.length} together: ${sum(order.slice(shown.length).map((e) => p[e])).toFixed(2)}.`
          : "";
    }
    help.textContent = pinned
      ? "Pinned. Escape lets it go."
      : "Beside each expert: its gate weight. Point at a character, click to pin it, or use the arrow keys.";
    if (pinned)
      spoken.textContent =
        `Character ${picked + 1}, ${nameOf(c)}: ` +
        Array.from(
          { length: B },
          (_, b) =>
            `block ${b + 1} ${experts(b)
              .map(([e, w]) => `expert ${e} weight ${w}`)
              .join(", ")}`,
        ).join("; ") +
        ".";
  }

  function pick(i, pin = pinned) {
    cells[picked].removeAttribute("aria-selected");
    cells[picked].tabIndex = -1;
    [picked, pinned] = [i, pin];
    cells[i].setAttribute("aria-selected", "true");
    cells[i].tabIndex = 0;
    inspect();
  }

  function draw() {
    totals = count(all);
    shares = totals.map((n) => n / (T * k));
    dead = deadIn[block];
    const { words, about } = story(),
      tally = Array.from({ length: E }, () => new Map());
    letters.forEach((c, i) => at(block, i).forEach((e) => tally[e].set(c, (tally[e].get(c) ?? 0) + 1)));
    message.textContent = words;
    text.setAttribute(
      "aria-label",
      `Text of ${T} characters, each with its expert. ${words}. Shares: ${shareWords(shares)}. Arrow keys move from character to character.`,
    );
    barsTitle.textContent = `Block ${block + 1}: shares of the ${k > 1 ? "choices" : "characters"}`;
    drawBars(bars, shares);
    [...bars.children].forEach((row, e) => {
      const often = [...tally[e]]
        .sort((a, b) => b[1] - a[1])
        .slice(0, 4)
        .map(([c]) => c);
      const button = el(
        "button",
        {
          type: "button",
          "data-lm-suppress-shortcuts": "true",
          ariaLabel: `Expert ${e}, ${dead[e] ? "dead" : percent(shares[e])}${often.length ? `, most often: ${often.map(nameOf).join(" ")}` : ""}`,
        },
        ...row.childNodes,
        el(
          "span",
          { className: "moe-mono" },
          ...often.map((c) =>
            el("span", c in NAMES ? { className: "moe-muted" } : {}, c === "\n" ? MARKS[c] : nameOf(c)),
          ),
        ),
      );
      button.onmouseenter = button.onfocus = () => ((pointed = e), tint());
      button.onmouseleave = button.onblur = () => ((pointed = -1), tint());
      button.onclick = () => ((held = held === e ? -1 : e), tint());
      row.append(button);
    });
    partTitle.textContent = `Block ${block + 1}: who handles which part`;
    domains.innerHTML = parts
      .map(({ members }) => {
        const part = count(members).map((n) => n / (members.length * k)),
          most = part.indexOf(Math.max(...part)),
          wide = part.map((v) => (v < NARROW ? 0 : v));
        const strip = wide
          .map((v, e) =>
            v ? `<i class="moe-p${pattern(e)}" style="${dyes(e)};flex-grow:${v.toFixed(4)}">${e}</i>` : "",
          )
          .join("");
        return `<tr><th scope="row"></th><td><span class="moe-strip" role="img" aria-label="${shareWords(part)}">${strip}<i style="flex-grow:${(1 - sum(wide)).toFixed(4)}"></i></span></td>
        <td class="moe-r">${badge(most)} ${percent(part[most])}</td></tr>`;
      })
      .join("");
    parts.forEach((p, i) => (domains.rows[i].cells[0].textContent = p.name));
    tint();
    inspect();
    return about;
  }

  const indexOf = (event) => +(event.target.closest("[role=option]")?.dataset.i ?? -1);
  text.onmouseover = (event) => void (!pinned && indexOf(event) >= 0 && pick(indexOf(event)));
  text.onclick = (event) => indexOf(event) >= 0 && pick(indexOf(event), !(pinned && indexOf(event) === picked));
  // Up and down go to the nearest character of the next line, wherever the page breaks its lines.
  function beside(direction) {
    const place = (i) => cells[i].getBoundingClientRect(),
      from = place(picked);
    let best = picked,
      least = Infinity,
      line = null;
    for (let i = picked + direction; cells[i]; i += direction) {
      const { left, bottom } = place(i),
        off = Math.abs(left - from.left);
      if (Math.abs(bottom - from.bottom) < 8) continue;
      if (Math.abs(bottom - (line ??= bottom)) > 8) break;
      if (off < least) [best, least] = [i, off];
    }
    return best;
  }
  text.onkeydown = (event) => {
    const go = {
      ArrowLeft: () => picked - 1,
      ArrowRight: () => picked + 1,
      ArrowUp: () => beside(-1),
      ArrowDown: () => beside(1),
      Home: () => 0,
      End: () => T - 1,
    }[event.key];
    if (!go) return;
    event.preventDefault();
    pick(Math.max(0, Math.min(T - 1, go())), true);
    cells[picked].focus();
  };
  root.onkeydown = (event) =>
    void (event.key === "Escape" && ((pinned = false), (pointed = held = -1), tint(), inspect())); // void: false would cancel the key

  // A reader who touches nothing sees a character that the title is about, best one whose experts differ by block.
  const about = draw(),
    differ = (i) => new Set(Array.from({ length: B }, (_, b) => at(b, i)[0])).size,
    sure = (i) => weights[(block * T + i) * k];
  pick((about.length ? about : all).reduce((a, b) => ((differ(b) - differ(a) || sure(b) - sure(a)) > 0 ? b : a)));
}
export default { render };
