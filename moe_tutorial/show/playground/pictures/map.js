// The map of the plane's regions, and the pictures of the predictions.
import { el } from "../../web/dom.js";
import { shareWords } from "../../web/words.js";
import { number } from "../../web/draw/shares.js";
import { nearestTo, pixels, placeOf } from "../../web/draw/plane.js";
import { group, heading, makeCanvas, set, square } from "../panels/elements.js";
import { drawPredictions, drawRegions } from "./pictures.js";
import { makeTip } from "../panels/tip.js";

const SCATTERED = 72; // grid points along a side if neighbours have different owners

// Grid points along the map's side, in motion and at rest: fewer if a point takes more neurons, so that sliders stay
// fast. Patterns need the full number at rest, because their dots are two pixels wide.
function sidesOf(cost, patterned) {
  const few = Math.sqrt(16 / cost);
  const side = (most, least) => Math.max(least, Math.min(most, Math.round(most * few)));
  return { quick: side(112, 48), sharp: patterned ? 320 : side(320, 180) };
}

const DISCS =
  "<circle cx='5' cy='8' r='3.6' fill='var(--moe-text)'/><path d='M16 3.5l4.3 7.5h-8.6z' fill='var(--moe-text)'/>" +
  "<rect x='24.5' y='4.5' width='7' height='7' fill='none' stroke='var(--moe-text)' stroke-width='1.5'/>";
const ringed = (radius, colour, width) =>
  "<circle cx='8' cy='8' r='3' fill='var(--moe-text)'/>" +
  `<circle cx='8' cy='8' r='${radius}' fill='none' stroke='var(--moe-${colour})' stroke-width='${width}'/>`;

const svg = (drawing, width = 16) =>
  `<svg width="${width}" height="16" viewBox="0 0 ${width} 16" aria-hidden="true">${drawing}</svg>`;

// The legend of the marks. Each kind sets the text of `part`.
function makeKey() {
  const drawn = (drawing, width) => el("span", { innerHTML: svg(drawing, width) }).firstChild;
  const badge = (e, dead) => el("span", {}, number(e, dead));
  const row = (mark, words) => el("li", {}, mark, el("span", {}, words));
  const part = el("span");
  const rows = [
    row(drawn(DISCS, 34), "a class, as its shape"),
    row(drawn(ringed(6.2, "fails", 1.7)), "predicted wrongly"),
    row(drawn(ringed(6.6, "accent", 2)), "the inspected point"),
    row(badge(2), part),
    row(badge(5, true), "dead: under 1 % of the points"),
  ];
  return { node: el("ul", { className: "pg-key" }, ...rows), part };
}

// kinds: name -> kind; inspect(i): called to inspect a point.
export function makeMap(kinds, inspect) {
  const map = makeCanvas("regions");
  const above = heading();
  const tip = makeTip();
  const key = makeKey();
  const node = group("pg-map", "The plane", above.node, square(map, tip.node));
  const predictions = group("pg-predictions", "What is predicted");
  const most = Math.max(...Object.values(kinds).map(({ words }) => words.predictions.length));
  const pictures = Array.from({ length: most }, (_, i) => {
    const canvas = makeCanvas(i ? "soft" : "mixture");
    const above = heading();
    const box = el("div", { className: i ? "pg-soft" : "pg-mixture" }, above.node, square(canvas));
    predictions.append(box);
    return { above, canvas, box };
  });
  predictions.append(key.node);
  let frame;
  map.onclick = (click) => {
    tip.open();
    inspect(nearestTo(click, frame.data.x, frame.data.drawn, frame.data.extent));
  };

  function show({ words }) {
    set(key.part, `${words.key}, always this number and colour`);
    pictures.forEach(({ box, above }, i) => {
      box.hidden = !words.predictions[i];
      above.explain(words.predictions[i]?.note ?? "");
    });
  }

  // Draw the map, and return the plane for other pictures. In motion, the predictions are drawn in turn.
  function draw(next, kind, { dead, patterned, turn }) {
    frame = next;
    const { words, pictures: own } = kind;
    const { settings, settled, data, now } = frame;
    const scattered = own.scattered(settings);
    const { quick, sharp } = sidesOf(own.cost(settings), patterned);
    const side = settled ? Math.min(sharp, pixels(map)) : quick;
    const plane = frame.plane(scattered ? SCATTERED : side);
    drawRegions(map, plane, frame, { dead, patterned, scattered, overlay: own.overlay });
    above.title(words.mapTitle(frame, plane));
    above.explain(words.mapNote(settings));
    tip.draw(frame, words, placeOf(data.x, frame.point, data.extent, 1));
    const shares = shareWords(Array.from(now.shares), words.part);
    map.ariaLabel = `Map of the plane. ${above.words()}. Shares of the points: ${shares}.`;
    words.predictions.forEach(({ of, points, title, label }, i) => {
      const { canvas, above } = pictures[i];
      const said = of(plane); // undefined while a slider moves, if it takes long to compute
      if (said && canvas.clientWidth && (settled || turn % 2 === i))
        drawPredictions(canvas, said, plane.n, data, points(now));
      above.title(title(frame));
      canvas.ariaLabel = `${label} ${above.words()}.`;
    });
    return plane;
  }
  return { node, predictions, show, draw };
}
