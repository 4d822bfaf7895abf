// The texts about a tree.
import { DEAD, percent } from "../../web/words.js";
import { most, ownersIn, rightOf, shape, verdictOn } from "../words.js";

export const letter = (n) => String.fromCharCode(65 + n); // questions have letters, because numbers are leaves

// The title first mentions a question that sends all its points one way, if there is one.
export function partsTitle({ now: { nodes, shares, dead } }) {
  const all = [...nodes, ...shares];
  const leans = Array.from(nodes, (part, n) => (part < DEAD ? 0 : Math.abs((2 * all[2 * n + 2]) / part - 1)));
  const idle = most(leans);
  if (leans[idle] > 0.98)
    return `Question ${letter(idle)} gets the same answer from ${leans[idle] === 1 ? "everybody" : "nearly everybody"}`;
  return `${dead ? `${shares.length - dead} of` : "All"} ${shares.length} leaves are reached`;
}

const reads = ({ now }) => [
  ["Dead leaves", now.dead, ` of ${now.shares.length}`],
  ["Undecided", (now.undecided / Math.log(2)).toFixed(2), " of 1"],
  ["Right, one leaf", (100 * now.hard.accuracy).toFixed(0), " %"],
  ["Right, all mixed", (100 * now.soft.accuracy).toFixed(0), " %"],
  ["Usage entropy", now.entropy.toFixed(2), " of 1"],
  ["Specialisation", now.nmi.toFixed(2), " NMI"],
];

export const treeWords = {
  name: "Tree",
  part: "leaf",
  parts: "leaves",
  shared: "points",
  losses: ["hardening", "balance"],
  key: "a leaf",
  heads: ["Asked", "Right", "Goes", "Weight", "Pull"],
  partsNote:
    "Width: the points, each on its way down; pale, how the soft mixture spreads them. Below: what each leaf would " +
    "predict, in colour where it is asked.",
  sharesNote: "Share of the points that hard decisions send there.",
  readsNote:
    "Dead: under 1 % of the points. Undecided: 1 where every question is a coin's toss. Right: of 1,024 new " +
    "points, with one leaf each, and with all leaves mixed as in training. Entropy: 1 where all leaves get the same.",
  pointNote:
    "Asked: the questions on its way down. Right: the probability to go right. Weight: how much of it arrives. " +
    "Pull: which way this point would move the question.",
  compared: ["Dead leaves", "Right, one leaf", "Right, all mixed"],
  asked: ({ inspected: { path, leaf } }) => `Asked: ${path.map(letter).join(", ")}; it ends in leaf ${leaf}.`,
  count: ({ depth }) => 2 ** depth,
  kicker: ({ depth, leaf_width }) =>
    `a tree of depth ${depth}: ${2 ** depth - 1} ${depth === 1 ? "question" : "questions"}, ` +
    `${2 ** depth} leaves of ${leaf_width} neuron${leaf_width === 1 ? "" : "s"}`,
  mapNote: () =>
    "Colour: the leaf at the end, deeper the more weight it has in the soft mixture. Lines: the questions. " +
    "Shape: the class.",
  usageNote: () => "Share of the points, one leaf each.",
  more: () => "",
  message({ step, now: { shares, dead, soft, hard } }) {
    if (!step) return "Nobody has learned anything yet";
    const L = shares.length;
    const best = most(shares);
    const scored = `of new points, one leaf gets ${percent(hard.accuracy)} right, all mixed ${percent(soft.accuracy)}`;
    if (dead === L - 1) return `${shares[best] === 1 ? "All" : "Nearly all"} points go to leaf ${best}: ${scored}`;
    return `${dead ? `${dead} of ${L} leaves ${dead > 1 ? "are" : "is"} dead` : `All ${L} leaves work`}: ${scored}`;
  },
  mapTitle(_, plane) {
    const owners = ownersIn(plane);
    if (owners === 1) return `The questions send the whole plane to leaf ${plane.owner[0]}`;
    return `Straight cuts divide the plane among ${owners} leaves`;
  },
  partsTitle,
  reads,
  point({ inspected }) {
    const { leaf, weights, soft } = inspected;
    const heaviest = most(weights);
    const other = `The heaviest of them is leaf ${heaviest}, with ${percent(weights[heaviest])}.`;
    const which = heaviest === leaf ? `Leaf ${leaf} is the heaviest of them.` : other;
    const pull = "Pull: which way this point alone would move each question.";
    return {
      ...verdictOn(inspected, `Leaf ${leaf} says`),
      heard: `All leaves mixed say ${shape(soft)}. ${which} ${pull}`,
    };
  },
  predictions: [
    {
      note: "Shade of grey: the class that each place's own leaf predicts.",
      of: (plane) => plane.predicted,
      title: ({ now, data }) => `Hard, one leaf each: ${rightOf(data, now.hard.predicted)}`,
      points: (now) => now.hard.predicted,
      label: "What one leaf for each place predicts.",
    },
    {
      note: "Shade of grey: the class that all leaves predict together, each as loudly as the tree is sure of it.",
      of: (plane) => plane.soft,
      title: ({ now, data }) => `Soft, all leaves mixed: ${rightOf(data, now.soft.predicted)}`,
      points: (now) => now.soft.predicted,
      label: "What all leaves mixed predict.",
    },
  ],
};
