// A mixture's controls: the effects of settings on others. Its experts are knocked out by their bars.
export const mixtureControls = {
  knocks: true, // its bars are buttons, and links may have `out`
  // Settings without effect, given the others, and labels that depend on the settings.
  idle: ({ gate, balance }) => [gate === "hash" ? "noise" : "", balance === "none" ? "coefficient" : ""],
  labels: ({ balance }) => ({ coefficient: balance === "bias" ? "Rate of the bias" : "Coefficient" }),
};
