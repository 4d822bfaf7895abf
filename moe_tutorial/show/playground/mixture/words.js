// The texts about a mixture.
import { percent } from "../../web/words.js";
import { goneOf, most, ownersIn, rightOf, verdictOn } from "../words.js";

const starved = ({ recent, step }) => step > 0 && recent.steps > 0 && recent.routerGradient === 0;
const gradientWords = (g) => {
  if (Number.isNaN(g)) return "–"; // a layer of one's own may have no router.weight
  if (g === 0) return "exactly 0";
  return g < 0.001 ? g.toExponential(0) : g.toFixed(3);
};

// A note on the gradient of one point's own cross-entropy with respect to the router's logits.
function heardOf({ gradient }, { gate }) {
  if (gate === "hash") return "A hash has no router that could learn from it.";
  if (gradient.every((g) => g === 0)) return "Nothing of it reaches the router: every gradient is exactly zero.";
  return "Pull: which way this point alone would move each logit.";
}

export const mixtureWords = {
  name: "Mixture",
  part: "expert",
  parts: "experts",
  shared: "choices",
  losses: ["balance"], // in the history's rows, beside the task loss
  key: "an expert",
  heads: ["Expert", "Router", "Says", "Weight", "Pull"],
  partsNote:
    "Shade: the class it would predict. Colour: where the router asks it first. " +
    "Grey: where it is asked second or later, and if k is 1 not at all.",
  sharesNote: "Share of the choices in training, noise included.",
  readsNote:
    "Dead: under 1 % of the points. Held out: 1,024 new points that nobody learns from. Entropy: 1 where all get the " +
    "same. Specialisation: how much an expert's number tells of a point's rule.",
  pointNote:
    "The chosen experts, and those that come next. Router: each one's probability. Says: the class that it would " +
    "predict. Weight: what its answer counts. Pull: which way this point would move its logit.",
  compared: ["Dead experts", "Right, held out"],
  asked: ({ inspected: { chosen, weights } }) =>
    `Asked: ${chosen.map((e, c) => `expert ${e} (weight ${weights[c].toFixed(2)})`).join(", ")}.`,
  count: ({ E }) => E,
  kicker: ({ E, k }) => `${E} experts, ${k} per point`,
  mapNote: ({ k }) =>
    `Colour: the ${k > 1 ? "first of the chosen experts" : "chosen expert"}, deeper where the router is surer. ` +
    "Shape: the class.",
  usageNote: ({ k }) => `Share of the ${k > 1 ? "choices" : "points"}, without noise.`,
  more({ recent, settings }) {
    if (!recent.steps || settings.gate === "hash") return "";
    return ` Router gradient ${gradientWords(recent.routerGradient)}, its length over the last twenty steps.`;
  },
  message(frame) {
    const { step, now } = frame;
    const { E, gate } = frame.settings;
    const right = `${percent(now.accuracy)} of new points`;
    const out = frame.knocked.flatMap((gone, e) => (gone ? [e] : [])).join(" and ");
    const even = `Evenly shared, and nobody specialises: ${right} right`;
    if (!step) return "Nobody has learned anything yet";
    const largest = percent(Math.max(...now.shares));
    if (out) return `Without expert ${out}, ${right} are right; the largest share is ${largest}`;
    if (gate === "hash") return now.nmi < 0.15 ? even : `A fixed hash chooses; ${right} come out right`;
    if (starved(frame)) return "The router hears nothing: its gradient is exactly zero";
    if (now.dead >= E / 2) {
      const who = E - now.dead === 1 ? "One expert takes everything" : `${E - now.dead} experts share the plane`;
      return `${who}; ${now.dead} of ${E} are dead`;
    }
    if (now.entropy > 0.8 && now.nmi < 0.15) return even;
    if (now.dead)
      return `${now.dead} of ${E} experts ${now.dead > 1 ? "are" : "is"} dead; the others get ${right} right`;
    return `${E === 2 ? "Both" : `All ${E}`} experts work, and ${right} come out right`;
  },
  mapTitle({ settings, now }, plane) {
    const owners = ownersIn(plane);
    const empty = owners - (settings.E - now.dead);
    const best = most(now.shares);
    if (settings.gate === "hash") return `A hash scatters the plane over ${owners} experts`;
    if (owners === 1) return `The router sends the whole plane to expert ${plane.owner[0]}`;
    if (now.shares[best] > 0.9) return `The router sends nearly all points to expert ${best}`;
    return `The router cuts the plane into ${owners} regions${empty > 0 ? `, ${empty} nearly without points` : ""}`;
  },
  partsTitle({ settings: { E, gate }, now: { dead, nmi }, step }) {
    if (!step) return "What each expert would say, untrained";
    if (gate === "hash") return "Asked everywhere, nobody learns one place well";
    if (dead) return E - dead === 1 ? "One expert does the work" : `${E - dead} of ${E} experts do the work`;
    if (nmi > 0.3) return "Every expert has its own patch, and its own opinion";
    return "Every expert is asked, and has its own opinion";
  },
  reads({ now, settings, knocked }) {
    const gone = goneOf({ knocked });
    return [
      ["Dead experts", now.dead - gone, ` of ${settings.E}${gone ? `, ${gone} out` : ""}`],
      ["Right, held out", (100 * now.accuracy).toFixed(0), " %"],
      ["Usage entropy", now.entropy.toFixed(2), " of 1"],
      ["Specialisation", now.nmi.toFixed(2), " NMI"],
    ];
  },
  point: ({ inspected, settings }) => ({
    ...verdictOn(inspected, "The mixture says"),
    heard: heardOf(inspected, settings),
  }),
  // The pictures of the predictions.
  predictions: [
    {
      note: "Shade of grey: the predicted class.",
      of: (plane) => plane.predicted,
      title: ({ now, data }) => `Together: ${rightOf(data, now.predicted)}`,
      points: (now) => now.predicted,
      label: "What the mixture predicts.",
    },
  ],
};
