// Experts' numbers and shares as HTML.
// Each expert's share as a bar.
import { DEAD, percent } from "./words.js";

export function drawBars(list, now) {
  const E = now.length,
    most = Math.max(...now, 0.25);
  list.innerHTML = now
    .map(
      (v, e) => `<li>${badge(e, v < DEAD)}<span class="moe-track"><i class="moe-p${E > 8 ? e >> 2 : 0}"
    style="--c:var(--moe-e${e});--o:var(--moe-on${e});width:${v < DEAD ? 0 : ((100 * v) / most).toFixed(1)}%"></i><b style="left:${(100 / E / most).toFixed(1)}%"></b></span>
    <span class="moe-r">${v < DEAD ? '<span class="moe-muted">dead</span>' : percent(v)}</span></li>`,
    )
    .join("");
}
export const badge = (e, dead) =>
  `<span class="moe-badge${dead ? " moe-dead" : ""}" style="--c:var(--moe-e${e});--o:var(--moe-on${e})">${e}</span>`;
