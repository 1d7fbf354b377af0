// Charts over time, drawn by uPlot: one look, one cursor, and what happened as lines across all of them.
import { colour, duration, element, number, percent } from "./text.js";

export const HEIGHT = 220;
const SYNC = "run";
// How near to the line of an event the cursor must be for its text, in pixels.
const NEAR = 6;
// Most lines of events: of more the latest.
const MARKS_MAX = 300;

const TOLD = { time: duration, count: number, share: percent };
const MARK_TONES = { status: "soft", control: "lag", warning: "undetermined", node: "offered", gate: "p99",
  experiment: "soft", user: "service" };

// What happened, by the second in which it did; and when nodes were starved.
export class Marks {
  constructor() {
    this.marks = [];
    this.bands = [];
  }

  add(second, kind, text) {
    this.marks.push({ second, kind, text });
    if (this.marks.length > MARKS_MAX) this.marks.shift();
  }

  draw(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("invalid");
    ctx.globalAlpha = 0.14;
    for (const [from, to] of this.bands) {
      const left = plot.valToPos(from, "x", true);
      ctx.fillRect(left, bbox.top, Math.max(1, plot.valToPos(to, "x", true) - left), bbox.height);
    }
    ctx.globalAlpha = 0.85;
    ctx.lineWidth = 1;
    ctx.setLineDash([3, 3]);
    for (const { second, kind } of this.marks) {
      const x = Math.round(plot.valToPos(second, "x", true)) + 0.5;
      ctx.strokeStyle = colour(MARK_TONES[kind] ?? "soft");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // The texts of what happened where the cursor is.
  near(plot, left) {
    return this.marks.filter(({ second }) => Math.abs(plot.valToPos(second, "x") - left) <= NEAR)
      .slice(0, 6).map(({ kind, text, second }) => `${number(second)}s ${kind}: ${text.slice(0, 160)}`);
  }
}

const tip = () => document.getElementById("tip");

const tell = (plot, marks) => {
  const { left, idx } = plot.cursor;
  const place = tip();
  // Other charts follow the cursor; only the one under it speaks.
  if (!plot.over.matches(":hover")) return;
  const texts = left < 0 || idx == null ? [] : marks.near(plot, left);
  place.hidden = texts.length === 0;
  if (place.hidden) return;
  place.textContent = texts.join("\n");
  const box = plot.over.getBoundingClientRect();
  const beside = box.left + left + 14;
  const fits = beside + place.offsetWidth < innerWidth;
  place.style.left = Math.max(4, fits ? beside : beside - place.offsetWidth - 28) + "px";
  place.style.top = Math.max(4, box.top + 8) + "px";
};

// Steps of run time that read well, in seconds.
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800];
// Ticks of run time: seconds, minutes with seconds, or hours with minutes, all alike.
const runTimes = (ticks) => {
  const last = ticks.at(-1) ?? 0;
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return ticks.map((tick) => {
    if (last < 120) return tick + "s";
    if (last < 7200) return `${Math.floor(tick / 60)}:${two(tick % 60)}`;
    return `${Math.floor(tick / 3600)}:${two((tick % 3600) / 60)} h`;
  });
};
// `5.00ms` as `5ms`.
const short = (text) => text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");

// Once, twice and five times the powers of ten; the powers alone where that would be many.
const decades = (low, high) => {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const times of [1, 2, 5]) all.push(times * 10 ** power);
  }
  const within = all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  return within.length > 7 ? within.filter((tick) => Math.abs(Math.log10(tick) % 1) < 1e-9) : within;
};

export const axes = (unit, isLogarithmic = false) => {
  const look = { stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 },
    ticks: { stroke: colour("grid"), width: 1 } };
  const all = { splits: (_, axis, low, high) => decades(low, high), filter: (_, ticks) => ticks };
  return [
    { ...look, incrs: STEPS, values: (_, ticks) => runTimes(ticks) },
    { ...look, ...(isLogarithmic ? all : {}), size: 60,
      values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : short(tick === 0 ? "0" : TOLD[unit](tick)))) },
  ];
};

// A chart is as wide as its place, whatever becomes of that.
export const fit = (plot, figure) => {
  const width = () => Math.max(240, figure.clientWidth);
  const watch = new ResizeObserver(() => {
    if (plot.width !== width()) plot.setSize({ width: width(), height: plot.height });
  });
  watch.observe(figure);
  return watch;
};

export const figureIn = (place, title, note) => {
  const figure = element("figure", "live");
  figure.append(element("figcaption", "", title));
  if (note) figure.append(element("p", "key", note));
  place.append(figure);
  return figure;
};

// A chart of lines: each has name, tone, and perhaps dash. `draw` takes the seconds and a column for each line.
export const lineChart = (place, { title, note, unit, lines, marks, height = HEIGHT }) => {
  const figure = figureIn(place, title, note);
  const told = (_, value) => TOLD[unit](value);
  // A logarithm has no place for what is nothing.
  const clean = (value) => (value == null || Number.isNaN(value) || (unit === "time" && !(value > 0)) ? null : value);
  const top = (high) => Math.max(unit === "share" ? 0.05 : 1, high * 1.1);
  let [plot, watch, now] = [null, null, []];
  const make = (wanted) => {
    plot?.destroy();
    watch?.disconnect();
    now = wanted;
    plot = new uPlot({
      width: Math.max(240, figure.clientWidth), height,
      cursor: { sync: { key: SYNC }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: unit === "time" ? { distr: 3 } : { range: (_, low, high) => [0, top(high)] } },
      axes: axes(unit, unit === "time"),
      series: [{ label: "second" }, ...wanted.map(({ name, tone, dash }) => ({
        label: name, stroke: colour(tone), width: dash ? 2 : 1.6, dash, value: told, spanGaps: false,
      }))],
      hooks: { drawClear: [(u) => marks.draw(u)], setCursor: [(u) => tell(u, marks)] },
    }, [[], ...wanted.map(() => [])], figure);
    plot.over.addEventListener("pointerleave", () => { tip().hidden = true; });
    watch = fit(plot, figure);
  };
  make(lines);
  return {
    figure,
    draw: (seconds, columns) => plot.setData([seconds, ...columns.map((column) => column.map(clean))]),
    // Other lines than before.
    lines: (wanted) => {
      if (wanted.map(({ name }) => name).join("\n") !== now.map(({ name }) => name).join("\n")) make(wanted);
    },
  };
};

// A heat map: a cell is the darker the more there were, by magnitude.
export const heatChart = (place, { title, note, marks }) => {
  const figure = figureIn(place, title, note);
  let heat = null;
  let [low, high] = [1e6, 1e9];
  const paint = (u) => {
    if (!heat) return;
    const { ctx, bbox } = u;
    let most = 1;
    for (const column of heat.columns.values()) {
      for (let at = 1; at < column.length; at += 2) most = Math.max(most, column[at]);
    }
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("heat");
    for (const [at, column] of heat.columns) {
      const left = u.valToPos(at * heat.width, "x", true);
      const width = Math.max(1, u.valToPos((at + 1) * heat.width, "x", true) - left);
      if (left + width < bbox.left || left > bbox.left + bbox.width) continue;
      for (let cell = 0; cell < column.length; cell += 2) {
        const [upper, count] = [column[cell], column[cell + 1]];
        const share = most > 1 ? Math.log(count) / Math.log(most) : 1;
        ctx.globalAlpha = 0.12 + 0.88 * share;
        const top = u.valToPos(upper, "y", true);
        ctx.fillRect(left, top, width, Math.max(1, u.valToPos(upper / 1.259, "y", true) - top));
      }
    }
    ctx.restore();
  };
  const plot = new uPlot({
    width: Math.max(240, figure.clientWidth), height: HEIGHT,
    cursor: { sync: { key: SYNC }, drag: { x: true, y: false }, points: { show: false } },
    legend: { show: false },
    scales: { x: { time: false }, y: { distr: 3, range: () => [low, high] } },
    axes: axes("time", true),
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { drawClear: [paint], draw: [(u) => marks.draw(u)], setCursor: [(u) => tell(u, marks)] },
  }, [[], []], figure);
  plot.over.addEventListener("pointerleave", () => { tip().hidden = true; });
  fit(plot, figure);
  return {
    figure,
    draw: (seconds, map) => {
      heat = map;
      [low, high] = [Infinity, 0];
      for (const column of map.columns.values()) {
        for (let cell = 0; cell < column.length; cell += 2) {
          [low, high] = [Math.min(low, column[cell] / 1.259), Math.max(high, column[cell])];
        }
      }
      figure.hidden = high === 0;
      if (figure.hidden) return;
      // The last column ends where the next second begins.
      const ends = [...seconds, (seconds.at(-1) ?? 0) + map.width];
      plot.setData([ends, ends.map(() => null)]);
    },
  };
};
