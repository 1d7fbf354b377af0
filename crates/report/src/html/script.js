"use strict";
(() => {
  const tip = document.getElementById("tip");
  const time = (ns) => {
    for (const [unit, scale] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (ns >= scale) return (ns / scale).toPrecision(3).replace(/e\+\d+$/, "") + unit;
    }
    return ns + "ns";
  };
  const bytes = (value) => {
    for (const [unit, scale] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
      if (value >= scale) return (value / scale).toPrecision(3) + unit;
    }
    return Math.round(value) + "B";
  };
  const duration = (ns) => (ns >= 1e12 ? Math.round(ns / 1e9) + "s" : time(ns));
  const number = (value, digits = 1) => value.toLocaleString("en", { maximumFractionDigits: digits });
  for (const figure of document.querySelectorAll("figure.chart:not(.heat)")) {
    const svg = figure.querySelector("svg");
    const data = JSON.parse(svg.dataset.chart);
    const cursor = svg.querySelector(".cursor");
    const buttons = [...figure.querySelectorAll(".legend button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        for (const part of svg.querySelectorAll('[data-line="' + button.dataset.line + '"]')) part.classList.toggle("off", !on);
      });
    }
    const hide = () => {
      tip.hidden = true;
      cursor.setAttribute("visibility", "hidden");
    };
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", (event) => {
      if (!data.x.length) return;
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const wanted = data.low + ((at - data.left) / (data.right - data.left)) * (data.high - data.low);
      let near = 0;
      for (let i = 1; i < data.x.length; i++) {
        if (Math.abs(data.x[i] - wanted) < Math.abs(data.x[near] - wanted)) near = i;
      }
      const x = data.x[near];
      const pixel = data.left + ((x - data.low) / (data.high - data.low)) * (data.right - data.left);
      cursor.setAttribute("transform", "translate(" + pixel + ")");
      cursor.setAttribute("visibility", "visible");
      const share = 1 / (1 + Math.pow(10, -x));
      const rest = 100 * (1 - share);
      const digits = Math.min(6, Math.max(1, Math.ceil(-Math.log10(rest)) + 1));
      const rows = [data.odds ? "p" + (100 * share).toFixed(digits) : data.name + " " + number(x)];
      buttons.forEach((button, line) => {
        if (button.getAttribute("aria-pressed") !== "true") return;
        const value = data.y[line][near];
        rows.push(button.textContent + "  " + (value === null ? "-" : data.time ? duration(value) : data.bytes ? bytes(value) : number(value, data.digits)));
      });
      tip.textContent = rows.join("\n");
      tip.hidden = false;
      const left = event.clientX + 16 + tip.offsetWidth > window.innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
      tip.style.left = left + "px";
      tip.style.top = Math.min(event.clientY + 12, window.innerHeight - tip.offsetHeight - 8) + "px";
    });
  }
})();
