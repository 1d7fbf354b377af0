// What is told of a run while it goes on: seconds and events, over whatever comes in between.
import { COLUMNS, kindName, messageOf } from "./rows.js";
import { duration, element, number, table } from "./text.js";

// Events that the page lists.
const EVENTS_MAX = 200;
// Rows of the table of steps.
const STEPS_MAX = 200;
// Rows of nodes that a tab keeps: what is older is on the server.
const NODE_ROWS_MAX = 3600;
// Pause before the gateway is asked again, in milliseconds.
const PAUSE_MS = 2000;

const tile = (name, text) => {
  const place = document.querySelector(`[data-tile="${name}"]`);
  if (place) place.textContent = text;
};

const steps = (columns, names) => {
  const place = document.querySelector("[data-steps]");
  if (!place || document.hidden) return;
  const rows = columns.row.slice(0, STEPS_MAX).map((row, at) => {
    const known = names.steps[row];
    const group = names.groups[known?.group];
    const kind = group?.open ? "response" : "service";
    const isAtLeast = columns.censored[at] > 0 ? "≥" : "";
    const time = (quantile) => isAtLeast + duration(columns[`${kind}_${quantile}_ns`][at]);
    return [`${group?.name ?? ""} / ${known?.name ?? ""}`, number(columns.offered[at]), number(columns.succeeded[at]),
      number(columns.failed[at]), time("p50"), time("p99"), number(columns.in_flight[at])];
  });
  place.replaceChildren(table(["step", "offered", "succeeded", "failed", "p50", "p99", "in flight"], rows));
};

const listEvent = (event) => {
  const list = document.querySelector("[data-happened]");
  if (!list) return;
  const item = element("li", event.kind);
  const at = new Date(event.at_unix_ms).toISOString().slice(11, 19);
  item.append(element("time", "", at), element("span", "kind", event.kind), element("span", "", event.message));
  list.prepend(item);
  while (list.children.length > EVENTS_MAX) list.lastChild.remove();
};

const pause = () => new Promise((done) => setTimeout(done, PAUSE_MS));

// The page as the gateway has it now; null while it does not answer.
const pageNow = () => fetch(location.href, { headers: { accept: "text/html" } })
  .then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);

// Loads the page anew, as soon as there is one.
const reload = async () => {
  while ((await pageNow()) == null) await pause();
  location.reload();
};

export const listen = (address, after, scheduledBefore, { known, nodes, happened, begins, draw }) => {
  let [names, scheduled, place, source] = [null, scheduledBefore, after, null];
  const soFar = new Map();
  const status = document.querySelector("[data-status]");
  const progress = document.querySelector("[data-progress]");
  const told = document.querySelector("[data-told]");
  const say = (text) => { if (told && told.textContent !== text) told.textContent = text; };

  const tiles = (second, { p99, lag, inFlight, isAtLeast }) => {
    const sum = (column) => [...soFar.values()].reduce((all, group) => all + group[column], 0);
    const [offered, succeeded, failed] = ["offered", "succeeded", "failed"].map(sum);
    tile("offered", number(offered));
    tile("deficit", scheduled ? `of ${number(scheduled)} scheduled up to now` : "up to now");
    tile("succeeded", number(succeeded));
    tile("failed", number(failed));
    const ended = succeeded + failed;
    tile("failed_share", ended ? ((failed / ended) * 100).toFixed(2) + " % of those that ended" : "up to now");
    tile("p99", (isAtLeast ? "≥" : "") + duration(p99));
    tile("lag", duration(lag));
    tile("in_flight", number(inFlight));
    if (status) status.textContent = second.status;
    if (progress && second.seconds_total) {
      [progress.hidden, progress.max, progress.value] = [false, second.seconds_total, second.second + 1];
    }
    say(`second ${second.second + 1}${second.seconds_total ? ` of ${second.seconds_total}` : ""}`);
  };

  // Where the latencies of each step were, as heat maps have it.
  const cellsOf = ({ heat }) => {
    const cells = new Map();
    heat.row.forEach((row, at) => {
      if (!cells.has(row)) cells.set(row, []);
      cells.get(row).push(names.heat_upper_ns[heat.edge[at]], heat.count[at]);
    });
    return cells;
  };

  const take = (message, second) => {
    const columns = second.steps;
    const shown = { p99: null, lag: null, inFlight: 0, isAtLeast: false };
    const { groups } = second;
    groups.row.forEach((row, at) => soFar.set(row, { offered: groups.so_far_offered[at],
      succeeded: groups.so_far_succeeded[at], failed: groups.so_far_failed[at] }));
    const cells = cellsOf(second);
    const planned = new Map(groups.row.map((row, at) => [row, groups.scheduled[at]]));
    begins(second.at_unix_ms - second.second * 1000);
    columns.row.forEach((row, at) => {
      const step = names.steps[row];
      if (!step) return;
      const group = names.groups[step.group];
      const values = Object.fromEntries(COLUMNS.map((column) => [column, columns[column]?.[at]]));
      const rows = known.of(group.name, step.name);
      if (step.iteration) {
        values.scheduled = second.late ? 0 : planned.get(step.group);
        const isNew = !second.late && !rows.isFolded(second.second);
        if (isNew) scheduled += (values.scheduled ?? 0) - (rows.value(second.second, "scheduled") || 0);
        const p99 = group.open ? values.response_p99_ns : values.service_p99_ns;
        shown.p99 = Math.max(shown.p99 ?? 0, p99 ?? 0) || null;
        shown.inFlight += values.in_flight ?? 0;
        shown.isAtLeast ||= values.censored > 0;
      }
      shown.lag = Math.max(shown.lag ?? 0, values.lag_p99_ns ?? 0) || null;
      const failures = second.failures.filter(([of]) => of === row)
        .map(([, kind, answer, count]) => [kindName(kind, answer), count]);
      rows.put(second.second, values, failures, second.late);
      rows.heat.put(message, second.second, cells.get(row) ?? [], second.late);
    });
    nodes.put(second.second, second.nodes, NODE_ROWS_MAX);
    known.bound();
    tiles(second, shown);
    if (!second.late) steps(columns, names);
    draw();
  };

  const open = () => {
    source = new EventSource(address + (place ? "?after=" + encodeURIComponent(place) : ""));
    const on = (name, then) => source.addEventListener(name, (event) => {
      place = event.lastEventId || place;
      then(event.data);
    });
    on("definitions", (data) => { names = JSON.parse(data); });
    on("reset", () => location.reload());
    on("second", (data) => { if (names) take(messageOf(place), JSON.parse(data)); });
    on("event", (data) => {
      const event = JSON.parse(data);
      listEvent(event);
      happened(event);
      draw();
    });
    // The same page has the report now.
    on("end", () => { source.close(); setTimeout(reload, 400); });
    source.onerror = async () => {
      say("The gateway does not answer: trying again. What comes meanwhile is told then.");
      // A browser comes again by itself, but not where it was refused.
      if (source.readyState !== EventSource.CLOSED) return;
      await pause();
      const page = await pageNow();
      if (page != null && !page.includes("data-stream")) location.reload();
      else open();
    };
  };
  open();
  addEventListener("pagehide", () => source.close());
};
