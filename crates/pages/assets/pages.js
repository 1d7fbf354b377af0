// What pages do with a script: each part that wants one says so by an attribute.
import { curve } from "./curve.js";
import { fileInto } from "./file.js";
import { marks } from "./marks.js";
import { keepFresh } from "./refresh.js";
import { follow } from "./run.js";
import { trend } from "./trend.js";

const all = (attribute) => document.querySelectorAll(`[${attribute}]`);

for (const place of all("data-series")) if (window.uPlot) follow(place);
for (const place of all("data-trend")) if (window.uPlot) trend(place);
for (const place of all("data-curve")) curve(place);
for (const label of all("data-file")) fileInto(label);
for (const form of all("data-compare")) marks(form);
keepFresh();
// Colours of charts are read once: another scheme needs them anew.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
