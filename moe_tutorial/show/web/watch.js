// A router while it trains: its regions, the experts' shares and a score, at any recorded step.

function render({ model, el: root }) {
  const s = model.get("settings"), E = s.experts, size = s.resolution ** 2 * E, last = s.steps.length - 1;
  const codes = numbers(model.get("frames"), Uint8Array);
  const points = numbers(model.get("points")), labels = numbers(model.get("labels"), Uint8Array);
  let frame = last, playing = 0;

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const note = el("p", { className: "moe-note" });
  const play = el("button", { type: "button", className: "moe-button" }, "Play");
  const step = el("input", { type: "range", min: 0, max: last, value: last });
  const canvas = el("canvas", { className: "moe-plane", role: "img" });
  const bars = el("ol", { className: "moe-shares" });
  const chart = el("canvas", { className: "moe-chart", role: "img" });
  const scoreTitle = el("p", { className: "moe-subtitle" }), shareTitle = el("p", { className: "moe-subtitle" });
  const fair = el("p", { className: "moe-note" }, `Upright line: a fair share, ${+(100 / E).toFixed(1)} %. Dead: under 1 %.`);
  const side = el("div", { className: "moe-side" }, shareTitle, bars, fair, ...(s.score && last ? [scoreTitle, chart] : []));
  const transport = el("div", { className: "moe-transport" }, ...(last ? [play, field("Step", step)] : []));
  mount(root, el("p", { className: "moe-kicker" }, s.title), message, note, transport, el("div", { className: "moe-split" }, canvas, side));

  // A byte holds the square root of how far a logit lies below the best one.
  const decode = Float32Array.from({ length: 256 }, (_, q) => -s.span * (q / 255) ** 2);
  const logitsAt = (f) => Float32Array.from(codes.subarray(f * size, (f + 1) * size), (q) => decode[q]);
  const [left, right, bottom, top] = s.extent, G = s.resolution;
  function atPoints(logits) {
    const out = new Float32Array(s.points * E);
    for (let i = 0; i < s.points; i++) {
      const u = Math.max(0, Math.min(1, (points[2 * i] - left) / (right - left))) * (G - 1);
      const v = Math.max(0, Math.min(1, (top - points[2 * i + 1]) / (top - bottom))) * (G - 1);
      const a = Math.min(G - 2, u | 0), b = Math.min(G - 2, v | 0), x = u - a, y = v - b, at = (b * G + a) * E;
      for (let e = 0; e < E; e++)
        out[i * E + e] = (logits[at + e] * (1 - x) + logits[at + E + e] * x) * (1 - y) + (logits[at + G * E + e] * (1 - x) + logits[at + G * E + E + e] * x) * y;
    }
    return out;
  }
  const shares = s.shares || s.steps.map((_, f) => sharesOf(atPoints(logitsAt(f)), s.points, E, s.k));

  function title() {
    const now = shares[frame], most = now.indexOf(Math.max(...now)), dead = now.filter((v) => v < DEAD).length;
    const when = frame || !last ? `By step ${s.steps[frame]}` : `At step ${s.steps[0]}`;
    const gone = dead ? `${dead} of ${E} ${dead === 1 ? "is" : "are"} dead` : `all ${E} work`;
    const grew = frame && shares[0][most] < 0.8 * now[most] ? `, up from ${percent(shares[0][most])}` : "";
    const thing = s.k > 1 ? "choices" : "points";
    return now[most] > 1.5 / E ? `${when} expert ${most} takes ${percent(now[most])} of the ${thing}${grew}; ${gone}`
      : `${when} ${dead ? gone : `all ${E} experts work`}; the largest takes ${percent(now[most])} of the ${thing}`;
  }

  function drawBars(now) {
    const most = Math.max(...now, 0.25);
    bars.innerHTML = now.map((v, e) => `<li>${badge(e, v < DEAD)}<span class="moe-track"><i class="moe-p${E > 8 ? e >> 2 : 0}"
      style="--c:var(--moe-e${e});--o:var(--moe-on${e});width:${v < DEAD ? 0 : ((100 * v) / most).toFixed(1)}%"></i><b style="left:${(100 / E / most).toFixed(1)}%"></b></span>
      <span class="moe-r">${v < DEAD ? '<span class="moe-muted">dead</span>' : percent(v)}</span></li>`).join("");
    shareTitle.textContent = `Shares at step ${s.steps[frame]}`;
  }

  function drawScore() {
    const theme = readTheme(chart), [ctx, w, h] = fit(chart), y = s.score;
    const low = Math.min(0, ...y), high = Math.max(...y) <= 1 && /acc|right/i.test(s.scoreName) ? 1 : Math.max(...y) || 1;
    const X = (f) => 26 + ((w - 74) * (s.steps[f] - s.steps[0])) / (s.steps[last] - s.steps[0]), Y = (v) => h - 20 - ((h - 30) * (v - low)) / (high - low);
    const text = (words, x, at, align, colour = theme.muted, weight = 400) =>
      ((ctx.font = `${weight} 11.5px ${theme.font}`), (ctx.textAlign = align), (ctx.fillStyle = colour), ctx.fillText(words, x, at));
    const line = (from, to) => (ctx.beginPath(), y.slice(from, to + 1).forEach((v, i) => ctx.lineTo(X(from + i), Y(v))), ctx.stroke());
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.line;
    for (const v of [low, (low + high) / 2, high]) {
      ctx.beginPath(), ctx.moveTo(26, Math.round(Y(v)) + 0.5), ctx.lineTo(w - 48, Math.round(Y(v)) + 0.5), ctx.stroke();
      text(v.toPrecision(2).replace(/\.?0+$/, "") || "0", 0, Y(v) + 4, "left");
    }
    text(`step ${s.steps[0]}`, 26, h - 4, "left");
    text(s.steps[last], w - 48, h - 4, "right");
    ctx.lineJoin = "round";
    ctx.lineWidth = 2;
    (ctx.strokeStyle = theme.border), line(frame, last);
    (ctx.strokeStyle = theme.text), line(0, frame);
    ctx.beginPath(), ctx.arc(X(frame), Y(y[frame]), 4, 0, 7), (ctx.fillStyle = theme.text), ctx.fill();
    text(y[frame].toFixed(2), Math.min(w - 40, X(frame) + 8), Y(y[frame]) + (X(frame) > w - 60 ? 4 : -8), "left", theme.text, 600);
    const name = s.scoreName[0].toUpperCase() + s.scoreName.slice(1);
    scoreTitle.textContent = `${name} ${y[frame].toFixed(2)}${frame ? `, from ${y[0].toFixed(2)}` : ""}`;
    chart.setAttribute("aria-label", `${name} by step, from ${y[0].toFixed(2)} to ${y[last].toFixed(2)}; ${y[frame].toFixed(2)} at step ${s.steps[frame]}.`);
  }

  function draw() {
    if (!canvas.clientWidth) return;
    const now = shares[frame], dead = now.map((v) => v < DEAD);
    const plane = cut(logitsAt(frame), G, E, pixels(canvas), { k: s.k });
    step.value = frame;
    if (last) tell(step, s.steps[frame]);
    message.textContent = title();
    note.textContent = `Colour: the ${s.k > 1 ? "most-weighted" : "chosen"} expert, deeper where the router is surer.` +
      `${s.labelled ? " Shape: the class." : ""}${dead.some(Boolean) ? " Grey: dead." : ""}`;
    canvas.setAttribute("aria-label", `Map of the plane. ${message.textContent}. Shares: ${shareWords(now)}.`);
    drawPlane(canvas, plane, { E, dead, points, labels, extent: s.extent });
    drawBars(now);
    if (s.score && last) drawScore();
  }

  // Playing goes through all frames in about eight seconds; with reduced motion it shows one frame in ten.
  const pause = () => (clearInterval(playing), (playing = 0), (play.textContent = "Play"), (message.ariaLive = "polite"));
  play.onclick = () => {
    if (playing) return pause();
    if (frame === last) (frame = 0), draw();
    play.textContent = "Pause";
    message.ariaLive = "off";
    playing = setInterval(() => {
      frame += 1;
      if (!stillness() || frame % 10 === 0 || frame >= last) draw();
      if (frame >= last) pause();
    }, Math.max(50, Math.min(500, 8000 / s.steps.length)));
  };
  step.oninput = () => (pause(), (frame = +step.value), draw());
  const stop = redrawOnChange(root, draw);
  return () => (pause(), stop());
}
export default { render };
