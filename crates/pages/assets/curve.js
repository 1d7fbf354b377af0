// A curve of rates: points with x in 0..1 and y in 0..1, sampled into stages.
export const curve = (place) => {
  const svg = place.querySelector("svg");
  // There is room for whole points at the edges.
  const [width, height, edge] = [640, 200, 12];
  let points = [[0, 0.1], [0.3, 0.8], [0.7, 0.8], [1, 0.1]];
  const field = (name) => place.querySelector(`[name="${name}"]`);
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const at = (x) => {
    let after = points.findIndex(([px]) => px >= x);
    if (after <= 0) return points[Math.max(0, after)][1];
    const [[ax, ay], [bx, by]] = [points[after - 1], points[after]];
    const share = bx > ax ? (x - ax) / (bx - ax) : 1;
    if (field("shape").value === "step") return ay;
    const eased = field("shape").value === "spline" ? share * share * (3 - 2 * share) : share;
    return ay + (by - ay) * eased;
  };
  const stages = () => {
    const length = Math.max(1, Number(field("length").value) || 60);
    const highest = Math.max(1, Number(field("highest").value) || 100);
    const rate = (x) => Math.round(at(x) * highest * 1000) / 1000;
    const isStep = field("shape").value === "step";
    const parts = Math.min(40, Math.max(4, length));
    const cuts = field("shape").value === "spline"
      ? Array.from({ length: parts + 1 }, (_, k) => k / parts)
      : points.map(([x]) => x);
    const out = [];
    for (let k = 1; k < cuts.length; k += 1) {
      const milliseconds = Math.round((cuts[k] - cuts[k - 1]) * length * 1000);
      if (milliseconds <= 0) continue;
      const from = isStep ? points[k - 1][1] * highest : rate(cuts[k - 1]);
      const to = isStep ? from : rate(cuts[k]);
      const until = to === from ? "" : `, to: ${to}/s`;
      out.push(`{duration: ${milliseconds}ms, rate: ${Math.round(from * 1000) / 1000}/s${until}}`);
    }
    return out;
  };
  const draw = () => {
    const line = Array.from({ length: 161 }, (_, k) => k / 160)
      .map((x, k) => `${k ? "L" : "M"}${(x * width).toFixed(1)} ${((1 - at(x)) * height).toFixed(1)}`).join("");
    const dots = points.map(([x, y], index) => {
      const dot = make("circle", { cx: x * width, cy: (1 - y) * height, r: 8, tabindex: 0, role: "slider",
        "aria-label": `point ${index + 1}`, "aria-valuetext": `${Math.round(x * 100)} %, ${Math.round(y * 100)} %` });
      dot.dataset.index = index;
      return dot;
    });
    svg.replaceChildren(make("path", { d: line }), ...dots);
    place.querySelector("[data-stages]").textContent = "stages:\n" + stages().map((stage) => "  - " + stage).join("\n");
  };
  const move = (index, x, y) => {
    const [low, high] = [index ? points[index - 1][0] : 0, index < points.length - 1 ? points[index + 1][0] : 1];
    const isEnd = index === 0 || index === points.length - 1;
    points[index] = [isEnd ? points[index][0] : Math.min(high, Math.max(low, x)), Math.min(1, Math.max(0, y))];
    draw();
  };
  const where = (event) => {
    const box = svg.getBoundingClientRect();
    const share = (at, length, inner) => ((at / length) * (inner + 2 * edge) - edge) / inner;
    return [share(event.clientX - box.left, box.width, width), 1 - share(event.clientY - box.top, box.height, height)];
  };
  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    const index = event.target.dataset?.index;
    if (index !== undefined) {
      held = Number(index);
    } else {
      const [x, y] = where(event);
      held = points.findIndex(([px]) => px > x);
      if (held > 0) points.splice(held, 0, [x, y]);
      draw();
    }
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => { if (held !== null && held >= 0) move(held, ...where(event)); });
  svg.addEventListener("pointerup", () => { held = null; });
  const remove = (index) => {
    if (index > 0 && index < points.length - 1) { points.splice(index, 1); draw(); }
  };
  svg.addEventListener("dblclick", (event) => {
    if (event.target.dataset?.index !== undefined) remove(Number(event.target.dataset.index));
  });
  svg.addEventListener("keydown", (event) => {
    const index = Number(event.target.dataset?.index ?? -1);
    const by = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, 0.02], ArrowDown: [0, -0.02] }[event.key];
    if (index < 0) return;
    if (event.key === "Delete") remove(index);
    if (!by) return;
    event.preventDefault();
    move(index, points[index][0] + by[0], points[index][1] + by[1]);
    svg.querySelector(`[data-index="${index}"]`)?.focus();
  });
  place.addEventListener("input", draw);
  place.querySelector("[data-use]").addEventListener("click", () => {
    const text = document.getElementById("spec");
    const lines = text.value.split("\n");
    const groups = lines.findIndex((line) => /^groups:/.test(line));
    const first = lines.findIndex((line, k) => groups >= 0 && k > groups && /^\s*- /.test(line));
    if (first < 0) return;
    const indent = " ".repeat(lines[first].search(/\S/) + 2);
    const end = lines.findIndex((line, k) => k > first && line.trim() && line.search(/\S/) < indent.length);
    const last = end < 0 ? lines.length : end;
    const kept = [];
    let isStages = false;
    for (const line of lines.slice(first, last)) {
      const body = line.replace(/^\s*- /, indent);
      const isField = body.startsWith(indent) && /^\S/.test(body.slice(indent.length));
      if (isField) isStages = /^(stages|rate|duration|users|iterations):/.test(body.slice(indent.length));
      if (!isStages || (isField && kept.length === 0 && !isStages)) kept.push(line);
      else if (kept.length === 0) kept.push(line.replace(/\S.*$/, "- name: drawn"));
    }
    const drawn = [indent + "stages:", ...stages().map((stage) => indent + "  - " + stage)];
    text.value = [...lines.slice(0, first), ...kept, ...drawn, ...lines.slice(last)].join("\n");
    text.focus();
  });
  place.hidden = false;
  draw();
};
