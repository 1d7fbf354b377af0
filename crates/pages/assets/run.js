// The page of a run: its charts, from the series of the interface and from what is told live.
import { Marks, heatChart, lineChart } from "./chart.js";
import { listen } from "./live.js";
import { Known, lastRows, messageOf } from "./rows.js";
import { duration, table } from "./text.js";

// Points of the time before: enough for the widest chart.
const POINTS = 1000;
// Rows of the table of the last seconds.
const LAST = 60;
// What makes a measurement doubtful: the shares of a second, and the lag, that docs/pages.md tells of.
const DELAY_SHARE_MAX = 0.1;
const BUSY_SHARE_MAX = 0.95;
const KIND_TONES = ["failed", "p95", "service", "lag", "blocked", "p50", "offered", "soft"];
const NODE_TONES = ["p95", "service", "lag", "succeeded", "blocked", "p50", "failed", "offered"];
const DOTTED = [2, 4];

const makeCharts = (place, marks) => {
  const chart = (title, unit, lines, note) => lineChart(place, { title, note, unit, lines, marks });
  const line = (name, tone, dash) => ({ name, tone, dash });
  return {
    rate: chart("Per second", "count", [line("scheduled", "soft", [1, 3]), line("offered", "offered"),
      line("succeeded", "succeeded"), line("failed", "failed")]),
    latency: chart("Latency", "time", [line("p50", "p50"), line("p95", "p95"), line("p99", "p99"),
      line("largest", "offered"), line("≥ p99", "undetermined", DOTTED)],
    "Response; service where nothing is planned. Dotted: at least so long, for requests had no answer at the stop."),
    heat: heatChart(place, { title: "Heat map", note: "The darker, the more.", marks }),
    failures: chart("Failures per second, by kind", "count", []),
    causes: chart("Service, blocked, lag (p99)", "time", [line("service", "service"), line("blocked", "blocked"),
      line("lag", "lag")]),
    flight: chart("In flight", "count", [line("in flight", "flight")]),
    starved: chart("Nodes: share of a second", "share", [line("waited for a processor", "invalid"),
      line("busiest thread", "offered")],
    "Of the node that fared worst. Shaded on all charts: a node was starved, so that its figures are in doubt."),
    lags: chart("Nodes: lag p99", "time", []),
  };
};

// How nodes fared, row by row.
class Nodes {
  constructor() {
    [this.second, this.delay, this.busy, this.lag] = [[], [], [], []];
    this.nodes = new Map();
    this.width = 1;
  }

  begin(told) {
    this.width = told.row_seconds;
    [this.second, this.delay, this.busy, this.lag] =
      [told.second, told.run_delay_share, told.utilisation, told.lag_p99_ns];
    for (const { node, lag_p99_ns: lags } of told.nodes) this.nodes.set(node, lags);
  }

  put(second, told, most) {
    if (!told.node.length) return;
    const last = this.second.at(-1) ?? -1;
    if (second < last) return;
    const worst = (shares) => shares.reduce((a, b) => Math.max(a, b), 0);
    const lags = told.lag_p99_ns.map((lag) => lag ?? 0);
    if (second > last) {
      for (const column of [this.second, this.delay, this.busy, this.lag, ...this.nodes.values()]) column.push(null);
    }
    const at = this.second.length - 1;
    this.second[at] = second;
    this.delay[at] = Math.max(this.delay[at] ?? 0, worst(told.run_delay_share));
    this.busy[at] = Math.max(this.busy[at] ?? 0, worst(told.utilisation));
    this.lag[at] = Math.max(this.lag[at] ?? 0, worst(lags)) || null;
    told.node.forEach((node, index) => {
      const isNew = !this.nodes.has(node) && this.nodes.size < NODE_TONES.length;
      if (isNew) this.nodes.set(node, this.second.map(() => null));
      const column = this.nodes.get(node);
      if (column) column[at] = told.lag_p99_ns[index] ?? null;
    });
    if (this.second.length > most) {
      for (const column of [this.second, this.delay, this.busy, this.lag, ...this.nodes.values()]) column.shift();
    }
  }

  // When a node was starved.
  bands(lagLimit) {
    const bands = [];
    this.second.forEach((second, at) => {
      const is = this.delay[at] > DELAY_SHARE_MAX || this.busy[at] > BUSY_SHARE_MAX || this.lag[at] > lagLimit;
      const last = bands.at(-1);
      const end = second + this.width;
      if (!is) return;
      if (last && last[1] >= second) last[1] = end; else bands.push([second, end]);
    });
    return bands;
  }
}

const ask = (path) => fetch(path).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);

export const follow = (place) => {
  const { series, stream, nodes: nodesAt, events: eventsAt, lagLimit } = place.dataset;
  let shown = null;
  const chooser = document.createElement("select");
  const label = document.createElement("label");
  label.append("Series", chooser);
  label.className = "chooser";
  place.before(label);
  // Whole iterations come first, and are shown unless somebody has chosen something else.
  let [wholes, isChosen] = [0, false];
  const known = new Known((name, isWhole) => {
    chooser.add(new Option(isWhole ? `${name}, whole iterations` : name, name), isWhole ? wholes : undefined);
    if (shown == null || (isWhole && wholes === 0 && !isChosen)) [shown, chooser.value] = [name, name];
    if (isWhole) wholes += 1;
  });
  const [marks, nodes] = [new Marks(), new Nodes()];
  const charts = makeCharts(place, marks);
  const last = document.querySelector("[data-last]");
  const drawLast = (rows) => {
    if (!last?.open) return;
    const heading = ["second", "offered", "succeeded", "failed", "p50", "p99", "lag p99", "in flight"];
    last.querySelector("div").replaceChildren(table(heading, lastRows(rows, LAST, duration)));
  };
  const drawNodes = () => {
    for (const chart of [charts.starved, charts.lags]) chart.figure.hidden = nodes.second.length === 0;
    if (nodes.second.length === 0) return;
    marks.bands = nodes.bands(Number(lagLimit) || Infinity);
    charts.starved.draw(nodes.second, [nodes.delay, nodes.busy]);
    const names = [...nodes.nodes.keys()];
    charts.lags.lines(names.map((name, at) => ({ name, tone: NODE_TONES[at] })));
    charts.lags.draw(nodes.second, names.map((name) => nodes.nodes.get(name)));
  };
  const drawAll = (rows) => {
    drawNodes();
    const of = (column) => rows.columns[column];
    const either = (name) => {
      const service = of("service_" + name);
      return of("response_" + name).map((value, at) => (Number.isNaN(value) ? service[at] : value));
    };
    const caption = rows.step == null || rows.step === "iteration" ? "Iterations per second" : "Requests per second";
    charts.rate.figure.firstChild.textContent = caption;
    charts.rate.draw(rows.second, ["scheduled", "offered", "succeeded", "failed"].map(of));
    const p99 = either("p99_ns");
    const [censored, waited] = [of("censored"), of("censored_max_ns")];
    const least = p99.map((value, at) => (censored[at] > 0 ? Math.max(value || 0, waited[at] || 0) : NaN));
    charts.latency.draw(rows.second, [either("p50_ns"), either("p95_ns"), p99, either("max_ns"), least]);
    charts.heat.draw(rows.second, rows.heat);
    const kinds = [...rows.kinds.keys()];
    charts.failures.figure.hidden = kinds.length === 0;
    charts.failures.lines(kinds.map((name, at) => ({ name, tone: KIND_TONES[at] })));
    charts.failures.draw(rows.second, kinds.map((kind) => rows.kinds.get(kind)));
    charts.causes.draw(rows.second, ["service_p99_ns", "blocked_p99_ns", "lag_p99_ns"].map(of));
    charts.flight.draw(rows.second, [of("in_flight")]);
    drawLast(rows);
  };
  let isDrawing = false;
  const draw = () => {
    if (isDrawing || document.hidden || !known.series.has(shown)) return;
    isDrawing = true;
    requestAnimationFrame(() => {
      isDrawing = false;
      const rows = known.series.get(shown);
      drawAll(rows);
      complete(rows);
    });
  };
  // There is no room for the heat maps of all steps in one answer: that of a step is asked for when it is chosen.
  const complete = ({ group, step, heat }) => {
    if (heat.isWhole || heat.waiting) return;
    heat.wait();
    const query = new URLSearchParams({ group, step: step ?? "iteration", points: POINTS });
    ask(`${series}?${query}`).then((told) => {
      const one = told?.series[0];
      // Where there is none, none is asked for again.
      heat.isWhole = one != null;
      heat.begin(one?.heat, messageOf(told?.after), one?.second.at(-1) ?? -1);
      if (told) draw();
    });
  };
  chooser.addEventListener("change", () => { [shown, isChosen] = [chooser.value, true]; draw(); });
  last?.addEventListener("toggle", draw);
  document.addEventListener("visibilitychange", draw);
  // The clock of events is the daemon's: second 0 of run time on it.
  let zero = null;
  const early = [];
  const happened = (event) => {
    if (zero == null) early.push(event);
    else marks.add((event.at_unix_ms - zero) / 1000, event.kind, event.message);
  };
  const begins = (unixMs) => {
    if (zero != null || unixMs == null) return;
    zero = unixMs;
    early.splice(0).forEach(happened);
  };
  // Nothing is missed by reading nodes later than series: of a second the worst counts.
  Promise.all([ask(`${series}?points=${POINTS}`), ask(`${nodesAt}?points=${POINTS}`)]).then(([told, fared]) => {
    const scheduled = told ? known.begin(told) : 0;
    if (fared) nodes.begin(fared);
    // Nothing was measured.
    if (!stream && !known.series.size) place.closest("section").hidden = true;
    begins(told?.zero_unix_ms);
    draw();
    if (stream) listen(stream, told?.after, scheduled, { known, nodes, happened, begins, draw });
    else ask(`${eventsAt}?limit=1000`).then((page) => { page?.items.forEach(happened); draw(); });
  });
};
