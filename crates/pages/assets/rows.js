// What is known of a run over time: the rows of each series, its failures by kind, its heat map; bounded: what is older
// loses detail.
import { number } from "./text.js";

export const COLUMNS = ["offered", "scheduled", "succeeded", "failed", "censored", "in_flight",
  "response_p50_ns", "response_p95_ns", "response_p99_ns", "response_max_ns",
  "service_p50_ns", "service_p95_ns", "service_p99_ns", "service_max_ns",
  "blocked_p99_ns", "lag_p99_ns", "censored_max_ns"];
const COUNTS = ["offered", "scheduled", "succeeded", "failed", "censored"];
// Rows that a tab keeps at most, of one series and of all, and of each at least.
const KEPT_MAX = 1000;
const KEPT_ALL = 50000;
const KEPT_LEAST = 120;
// Seconds that may be told anew.
const RECENT = 120;
// Columns of a heat map before two are made one: of one series, of all together, and what each has at least.
const HEAT_COLUMNS = 300;
const HEAT_ALL = 12000;
const HEAT_LEAST = 60;
// Kinds of failure that are told apart.
const KINDS_MAX = 7;

const known = (value) => (value == null ? NaN : value);

// Where latencies were. The cells of a column are a list: the upper edge of a row, how many, the next edge, and so on.
export class Heat {
  constructor() {
    this.clear();
    this.recent = new Map();
    this.most = HEAT_COLUMNS;
    // Whether it has all of the run; what is told meanwhile waits for what the server is asked for.
    this.isWhole = true;
    this.waiting = null;
    // What the server told of it: up to which message of the stream, and up to which second.
    [this.through, this.lastTold] = [0, -1];
  }

  clear() {
    this.width = 1;
    this.columns = new Map();
  }

  add(second, upper, count) {
    const at = Math.floor(second / this.width);
    if (!this.columns.has(at)) this.columns.set(at, []);
    const column = this.columns.get(at);
    let cell = 0;
    while (cell < column.length && column[cell] !== upper) cell += 2;
    if (cell === column.length) column.push(upper, 0);
    column[cell + 1] += count;
    if (column[cell + 1] <= 0) column.splice(cell, 2);
    if (this.columns.size > this.most) this.widen(this.width * 2);
  }

  addAll(second, cells, sign) {
    for (let at = 0; at < cells.length; at += 2) this.add(second, cells[at], sign * cells[at + 1]);
  }

  // What one second has, in the place of what it was told to have before. `message` is its sequence in the stream.
  put(message, second, cells, isLate) {
    if (this.waiting) { this.waiting.push([message, second, cells, isLate]); return; }
    const isThere = message <= this.through;
    if (!isLate) {
      const before = this.recent.get(second);
      this.recent.set(second, cells);
      if (this.recent.size > RECENT) this.recent.delete(this.recent.keys().next().value);
      // Of what the server told it cannot be taken out again: it stays as it was told first.
      if (!isThere && !before && second <= this.lastTold) return;
      if (!isThere) this.addAll(second, before ?? [], -1);
    }
    if (!isThere) this.addAll(second, cells, 1);
  }

  widen(width) {
    const before = this.columns;
    const factor = width / this.width;
    this.width = width;
    this.columns = new Map();
    for (const [at, column] of before) this.addAll(Math.floor(at / factor) * width, column, 1);
  }

  keep(most) {
    this.most = most;
    while (this.columns.size > most) this.widen(this.width * 2);
  }

  // The server is asked for all of it.
  wait() {
    this.waiting = [];
  }

  // What the server told of it, complete up to a message and a second; without a map it stays as it is.
  begin(map, through, lastTold) {
    if (map) {
      this.clear();
      if (map.column_seconds > 1) this.widen(map.column_seconds);
      for (const [column, row, count] of map.cells) this.add(column * map.column_seconds, map.row_upper_ns[row], count);
      [this.through, this.lastTold, this.isWhole] = [through, lastTold, true];
    }
    const waiting = this.waiting ?? [];
    this.waiting = null;
    for (const told of waiting) this.put(...told);
  }
}

const mean = (a, b, weight, other) =>
  (Number.isNaN(a) && Number.isNaN(b) ? NaN : ((a || 0) * weight + (b || 0) * other) / (weight + other));
const larger = (a, b) => (Number.isNaN(a) || b > a ? b : a);

// The rows of one series, in rising order of their second. A row is a second; older ones are several, so that there are
// never too many: counts are those of one of its seconds then, levels the largest.
export class Rows {
  constructor(group, step) {
    [this.group, this.step] = [group, step];
    [this.second, this.seconds] = [[], []];
    // What older rows are folded to, in seconds.
    this.width = 1;
    this.columns = Object.fromEntries(COLUMNS.map((column) => [column, []]));
    this.kinds = new Map();
    this.heat = new Heat();
  }

  // The index of the row that has a second, or of what comes after it.
  place(second) {
    let at = this.second.length;
    while (at > 0 && this.second[at - 1] >= second) at -= 1;
    return at > 0 && this.has(at - 1, second) ? at - 1 : at;
  }

  has(at, second) {
    return this.second[at] <= second && second < this.second[at] + this.seconds[at];
  }

  // Whether it is in a row with others: what was told of it first stays.
  isFolded(second) {
    const at = this.place(second);
    return this.has(at, second) && this.seconds[at] > 1;
  }

  value(second, column) {
    const at = this.place(second);
    return this.has(at, second) ? this.columns[column][at] : NaN;
  }

  // A second as it is told now; what is late is added to what was told before. `seconds` is for how many it stands.
  put(second, values, failures, isLate, seconds = 1) {
    const at = this.place(second);
    const isThere = this.has(at, second);
    if (!isThere) {
      this.second.splice(at, 0, second);
      this.seconds.splice(at, 0, seconds);
      for (const column of COLUMNS) this.columns[column].splice(at, 0, NaN);
      for (const counts of this.kinds.values()) counts.splice(at, 0, 0);
    }
    const isAdded = isLate && isThere;
    if (isThere && !isAdded && this.seconds[at] > 1) return;
    const share = isAdded ? 1 / this.seconds[at] : 1;
    for (const column of COLUMNS) {
      const cells = this.columns[column];
      const value = known(values[column]);
      if (!isAdded) cells[at] = value;
      else if (COUNTS.includes(column)) cells[at] = (cells[at] || 0) + (value || 0) * share;
      else if (value > (cells[at] || 0)) cells[at] = value;
    }
    if (!isAdded) for (const counts of this.kinds.values()) counts[at] = 0;
    for (const [kind, count] of failures) this.kind(kind)[at] += count * share;
  }

  kind(name) {
    const wanted = this.kinds.has(name) || this.kinds.size < KINDS_MAX ? name : "others";
    if (!this.kinds.has(wanted)) this.kinds.set(wanted, this.second.map(() => 0));
    return this.kinds.get(wanted);
  }

  // Where there are more rows than that, all but the latest are folded, to as many seconds each as it takes.
  keep(most) {
    if (this.second.length <= most) return;
    const latest = Math.min(RECENT, most >> 1);
    this.fold(latest);
    while (this.second.length > most * 0.75) {
      this.width *= 2;
      this.fold(latest);
    }
  }

  fold(latest) {
    const { second, seconds, width } = this;
    const old = second.length - latest;
    const isFirst = (at) => at === 0 || at >= old
      || Math.floor(second[at] / width) !== Math.floor(second[at - 1] / width);
    const firsts = second.map((_, at) => at).filter(isFirst);
    const folded = (cells, one) => firsts.map((first, index) => {
      let [all, weight] = [cells[first], seconds[first]];
      for (let at = first + 1; at < (firsts[index + 1] ?? second.length); at += 1) {
        all = one(all, cells[at], weight, seconds[at]);
        weight += seconds[at];
      }
      return all;
    });
    const ends = folded(second.map((begin, at) => begin + seconds[at]), (_, end) => end);
    for (const column of COLUMNS) {
      this.columns[column] = folded(this.columns[column], COUNTS.includes(column) ? mean : larger);
    }
    for (const [kind, counts] of this.kinds) this.kinds.set(kind, folded(counts, mean));
    this.second = firsts.map((at) => second[at]);
    this.seconds = ends.map((end, at) => end - this.second[at]);
  }
}

export const kindName = (kind, status) => (status ? `${kind} ${status}` : kind).replace("_", " ");

// All series of a run by name.
export class Known {
  constructor(onNew) {
    this.series = new Map();
    this.onNew = onNew;
  }

  of(group, step) {
    const name = nameOf(group, step);
    if (!this.series.has(name)) {
      this.series.set(name, new Rows(group, step));
      this.onNew(name, name === group);
    }
    return this.series.get(name);
  }

  bound() {
    const share = (all) => Math.floor(all / Math.max(1, this.series.size));
    const columns = Math.max(HEAT_LEAST, Math.min(HEAT_COLUMNS, share(HEAT_ALL)));
    for (const rows of this.series.values()) {
      rows.keep(Math.max(KEPT_LEAST, Math.min(KEPT_MAX, share(KEPT_ALL))));
      rows.heat.keep(columns);
    }
  }

  // What the server told of the time before: of several seconds a point has the sum of counts, and the largest of
  // levels. Gives the sums of what was scheduled.
  begin(told) {
    let scheduled = 0;
    for (const one of told.series) {
      const rows = this.of(one.group, one.step);
      const at = (column, index) => {
        const count = one.counts[column]?.[index];
        if (count != null) return count / one.point_seconds;
        const level = one.levels[column];
        return level?.max?.[index] ?? level?.last?.[index];
      };
      one.second.forEach((second, index) => {
        const failures = one.failures.filter((kind) => kind.counts[index] > 0)
          .map((kind) => [kindName(kind.kind, kind.status), kind.counts[index] / one.point_seconds]);
        rows.put(second, Object.fromEntries(COLUMNS.map((column) => [column, at(column, index)])), failures, false,
          one.point_seconds);
      });
      rows.heat.isWhole = false;
      rows.heat.begin(one.heat, messageOf(told.after), one.second.at(-1) ?? -1);
      scheduled += (one.counts.scheduled ?? []).reduce((all, count) => all + (count ?? 0), 0);
    }
    return scheduled;
  }
}

// The place in the stream of seconds: of `SECOND.EVENT` the first. A report is the end of it.
export const messageOf = (place) => (place == null ? Infinity : Number(place.split(".")[0]));

// Where iterations are counted has the name of its group alone.
const nameOf = (group, step) => (step == null || step === "iteration" ? group : group + " / " + step);

// The last seconds of a series as text, the latest first.
export const lastRows = (rows, most, time) => {
  const from = Math.max(0, rows.second.length - most);
  const cell = (column, at) => rows.columns[column][at];
  return rows.second.slice(from).map((second, index) => {
    const at = from + index;
    const latency = (quantile) => {
      const value = cell("response_" + quantile, at);
      const shown = Number.isNaN(value) ? cell("service_" + quantile, at) : value;
      return (cell("censored", at) > 0 && !Number.isNaN(shown) ? "≥" : "") + time(shown);
    };
    return [String(second), number(cell("offered", at)), number(cell("succeeded", at)), number(cell("failed", at)),
      latency("p50_ns"), latency("p99_ns"), time(cell("lag_p99_ns", at)), number(cell("in_flight", at))];
  }).reverse();
};
