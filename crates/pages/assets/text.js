// Values as people read them, and the small things that all scripts need.

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

export const duration = (ns) => {
  if (ns == null || Number.isNaN(ns)) return "–";
  for (const [unit, scale] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (ns >= scale) return (ns / scale).toPrecision(3).replace(/e\+\d+$/, "") + unit;
  }
  return Math.round(ns) + "ns";
};

export const number = (value) =>
  (value == null || Number.isNaN(value) ? "–" : value.toLocaleString("en", { maximumFractionDigits: 1 }));

export const percent = (share) => (share == null || Number.isNaN(share) ? "–" : number(share * 100) + "%");

// An element with this text; what is told is never read as HTML.
export const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text != null) made.textContent = text;
  return made;
};

// A table: the first column is text, the others are numbers.
export const table = (heading, rows) => {
  const made = element("table");
  const line = (cells, tag) => {
    const row = element("tr");
    cells.forEach((cell, at) => row.append(element(tag, at ? "n" : "t", cell)));
    return row;
  };
  made.createTHead().append(line(heading, "th"));
  made.createTBody().append(...rows.map((row) => line(row, "td")));
  const scroll = element("div", "scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", heading[0]);
  scroll.append(made);
  return scroll;
};
