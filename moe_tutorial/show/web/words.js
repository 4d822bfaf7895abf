// Figures and shares in words.
export const DEAD = 0.01; // an expert with a smaller share of the choices is dead
export const percent = (v) =>
  v > 0.995 ? "100 %" : v < 0.0005 ? "0 %" : v < 0.1 ? `${(100 * v).toFixed(1)} %` : `${Math.round(100 * v)} %`;
export const sum = (values) => values.reduce((a, b) => a + b, 0);
export const capital = (words) => words[0].toUpperCase() + words.slice(1);
export const fairWords = (E) => `Upright line: a fair share, ${+(100 / E).toFixed(1)} %. Dead: under 1 %.`;
// The message about who is used; `since` are the shares that a rise is told from.
export function usageTitle(when, now, things, since) {
  const E = now.length,
    most = now.indexOf(Math.max(...now)),
    dead = now.filter((v) => v < DEAD).length;
  const gone = dead ? `${dead} of ${E} ${dead === 1 ? "is" : "are"} dead` : `all ${E} work`;
  const grew = since && since[most] < 0.8 * now[most] ? `, up from ${percent(since[most])}` : "";
  return now[most] > 1.5 / E
    ? `${when} expert ${most} takes ${percent(now[most])} of the ${things}${grew}; ${gone}`
    : `${when} ${dead ? gone : `all ${E} experts work`}; the largest takes ${percent(now[most])} of the ${things}`;
}
// For text alternatives.
export const shareWords = (shares, part = "expert") =>
  shares
    .map((s, e) => [s, e])
    .filter(([s]) => s >= DEAD)
    .sort((a, b) => b[0] - a[0])
    .map(([s, e]) => `${part} ${e} ${percent(s)}`)
    .join(", ");
