// The titles: each says what its picture shows, computed from the numbers that are drawn.
import { DEAD, capital, percent, shareWords, sum } from "../web/words.js";
import { SHAPES } from "../web/pen.js";

import { letter } from "./flow.js";

const most = (values) => values.indexOf(Math.max(...values));
const some = (n, one, many = `${one}s`) => `${n === 1 ? "one" : n} ${n === 1 ? one : many}`;
const starved = ({ recent, step }) => step > 0 && recent.steps > 0 && recent.routerGradient === 0;

// What does the work: an expert, or a tree's leaf.
export const partOf = ({ layer }) => (layer === "tree" ? "leaf" : "expert");
const parts = (settings) => (settings.layer === "tree" ? "leaves" : "experts");

export const kickerWords = ({ layer, E, k, depth, leaf_width }) =>
  layer === "tree"
    ? `a tree of depth ${depth}: ${2 ** depth - 1} ${depth === 1 ? "question" : "questions"}, ${2 ** depth} leaves of ${some(leaf_width, "neuron")}`
    : `${E} experts, ${k} per point`;

export function message(frame) {
  if (!frame.step) return "Nobody has learned anything yet";
  return frame.settings.layer === "tree" ? treeMessage(frame) : mixtureMessage(frame);
}

function treeMessage({ now: { shares, dead, soft, hard } }) {
  const L = shares.length,
    best = most(shares),
    compared = `one leaf gets ${percent(hard.accuracy)} right, all mixed ${percent(soft.accuracy)}`;
  if (dead === L - 1)
    return `${shares[best] === 1 ? "Everything" : "Nearly everything"} goes down to leaf ${best}: ${compared}`;
  return `${dead ? `${dead} of ${L} leaves are dead` : `All ${L} leaves work`}: ${compared}`;
}

function mixtureMessage(frame) {
  const { settings: s, now, knocked, forced } = frame,
    { E, gate } = s,
    right = percent(now.accuracy),
    best = most(now.shares);
  const gone = sum(knocked.map(Number)),
    dead = now.dead - gone,
    left = E - gone;
  if (gone)
    return `${capital(some(gone, "expert"))} knocked out: expert ${best} takes ${percent(now.shares[best])}, and ${right} comes out right`;
  if (forced)
    return `Expert ${forced.expert} gets ${percent(now.shares[forced.expert])} by force, and ${right} comes out right`;
  if (gate === "hash")
    return now.nmi < 0.15
      ? `Evenly shared, and nobody specialises: ${right} right`
      : `A fixed hash chooses; ${right} comes out right`;
  if (starved(frame)) return "The router hears nothing: its gradient is exactly zero";
  if (dead >= left / 2)
    return `${left - dead === 1 ? "One expert takes everything" : `${left - dead} experts share the plane`}; ${dead} of ${E} are dead`;
  if (now.entropy > 0.8 && now.nmi < 0.15) return `Evenly shared, and nobody specialises: ${right} right`;
  if (dead) return `${dead} of ${E} experts died; the others get ${right} right`;
  return `All ${E} experts work, and ${right} comes out right`;
}

export function regionsTitle({ settings: { layer, gate }, now }, plane) {
  const met = new Uint8Array(16);
  for (const e of plane.owner) met[e] = 1;
  const owners = sum(Array.from(met)),
    best = most(now.shares);
  if (layer === "tree")
    return owners === 1
      ? `The questions send the whole plane to leaf ${plane.owner[0]}`
      : `Straight cuts divide the plane among ${owners} leaves`;
  if (gate === "hash") return `A hash scatters the plane over ${owners} experts`;
  return owners === 1
    ? `The router sends the whole plane to expert ${plane.owner[0]}`
    : now.shares[best] > 0.9
      ? `The router sends nearly all points to expert ${best}`
      : `The router cuts the plane into ${owners} regions`;
}

const rightOf = ({ y }, predicted) =>
  `${sum(Array.from(y, (label, i) => +(label === predicted[i])))} of ${y.length} right`;
export const mixtureTitle = ({ settings, now, data }) =>
  `${settings.layer === "tree" ? "Hard, one leaf each:" : "Together they get"} ${rightOf(data, now.predicted)}`;
export const softTitle = ({ now, data }) => `Soft, all leaves mixed: ${rightOf(data, now.soft.predicted)}`;

// First of all, whether a question that is asked tells nobody apart.
export function flowTitle({ now: { nodes, shares, dead } }) {
  const all = [...nodes, ...shares],
    right = Array.from(nodes, (part, n) => (part < DEAD ? 0.5 : all[2 * n + 2] / part));
  const leans = right.map((part) => Math.abs(2 * part - 1)),
    idle = most(leans);
  if (leans[idle] > 0.98)
    return `Question ${letter(idle)} gets the same answer from ${leans[idle] === 1 ? "everybody" : "nearly everybody"}`;
  return dead
    ? `${shares.length - dead} of ${shares.length} leaves are reached`
    : `All ${shares.length} leaves are reached`;
}

export function expertsTitle({ settings: { E, gate }, now: { dead, nmi }, step }) {
  if (!step) return "What each expert would say, untrained";
  if (gate === "hash") return "Asked everywhere, nobody learns one place well";
  if (dead) return E - dead === 1 ? "One expert does the work" : `${E - dead} of ${E} experts do the work`;
  return nmi > 0.3
    ? "Every expert has its own patch, and its own opinion"
    : "Every expert is asked, and has its own opinion";
}

export function sharesTitle({ history, settings }) {
  const last = history.at(-1),
    E = last.shares.length,
    part = partOf(settings),
    best = most(last.shares),
    share = last.shares[best],
    first = history.find((row) => row.shares[best] > 0.5);
  if (history.length < 2) return "The shares, step by step";
  if (Math.max(...last.shares.map((v, e) => Math.abs(v - history[0].shares[e]))) < 0.02)
    return "The shares end where they began";
  if (share > 0.5)
    return first.step
      ? `${capital(part)} ${best} passed half of the ${part === "leaf" ? "points" : "choices"} at step ${first.step}`
      : `${capital(part)} ${best} leads from the start`;
  if (share * E > 2.2) return `Nobody dominates, yet ${part} ${best} takes ${(share * E).toFixed(1)} fair shares`;
  return share * E < 1.8 ? "The shares end near equal" : `No ${part} takes more than ${percent(share)}`;
}

export function lossTitle({ history }) {
  const [from, to] = [history[0].task, history.at(-1).task];
  if (history.length < 2) return `The loss starts at ${from.toFixed(2)}`;
  return to < 0.1
    ? `The loss is nearly gone: ${to.toFixed(2)}`
    : to < 0.75 * from
      ? `The loss fell from ${from.toFixed(2)} to ${to.toFixed(2)}`
      : `The loss stalls at ${to.toFixed(2)}`;
}

export function usageTitleOf({ now: { shares, dead }, settings }) {
  const best = most(shares);
  return shares[best] > 0.5
    ? `${capital(partOf(settings))} ${best} takes ${percent(shares[best])}`
    : dead
      ? `${shares.length - dead} ${parts(settings)} share the work`
      : "Everyone works";
}

// What the router hears of one point. The gradient of its own cross-entropy, before any average over a batch.
const shape = (c) => `${SHAPES[c].sign} ${SHAPES[c].name}`;
export function pointWords({ inspected, settings: { layer, gate } }) {
  const { label, predicted, gradient } = inspected;
  if (layer === "tree") {
    const { leaf, weights, soft } = inspected,
      heaviest = most(weights);
    const heard = `All leaves mixed say ${shape(soft)}. ${heaviest === leaf ? `Leaf ${leaf} is the heaviest of them.` : `The heaviest of them is leaf ${heaviest}, with ${percent(weights[heaviest])}.`} Pull: which way this point alone would move each question.`;
    return {
      verdict: `It is a ${shape(label)}. Leaf ${leaf} says ${shape(predicted)}: `,
      right: predicted === label,
      heard,
    };
  }
  const verdict = `It is a ${shape(label)}. The mixture says ${shape(predicted)}: `;
  const heard =
    gradient === null
      ? ""
      : gate === "hash"
        ? "A hash has no router that could learn from it."
        : gradient.every((g) => g === 0)
          ? "Nothing of it reaches the router: every gradient is exactly zero."
          : "Pull: which way this point alone would move each logit.";
  return { verdict, right: predicted === label, heard };
}

// The whole picture in words, for who does not see it.
export function summary(frame) {
  const { step, now, recent, settings } = frame,
    tree = settings.layer === "tree";
  return (
    `Step ${step}. ${message(frame)}. Loss ${(tree ? now.soft : now).loss.toFixed(2)}, usage entropy ${now.entropy.toFixed(2)} of 1, specialisation ${now.nmi.toFixed(2)}, ` +
    `${now.dead} of ${now.shares.length} dead. Shares: ${shareWords(Array.from(now.shares), partOf(settings))}.${!tree && recent.steps ? ` Router gradient ${gradientWords(recent.routerGradient)}.` : ""}`
  );
}
export const gradientWords = (g) => (g === 0 ? "exactly 0" : g < 0.001 ? g.toExponential(0) : g.toFixed(3));
