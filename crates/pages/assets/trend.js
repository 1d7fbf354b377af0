// All runs of one name, as charts from run to run.
import { HEIGHT, axes, figureIn, fit } from "./chart.js";
import { colour, duration, number } from "./text.js";

export const trend = (place) => {
  const told = JSON.parse(place.dataset.trend);
  for (const [title, unit, column] of [["p99", "time", "p99_ns"], ["Succeeded per second", "count", "rate"]]) {
    const figure = figureIn(place, title);
    const plot = new uPlot({
      width: Math.max(240, figure.clientWidth), height: HEIGHT,
      scales: { y: { range: (_, low, high) => [0, (high || 1) * 1.1] } },
      axes: [{ ...axes(unit)[0], incrs: undefined, values: undefined }, axes(unit)[1]],
      series: [{}, { label: title, stroke: colour("p99"), width: 1.6, points: { show: true, size: 7 },
        value: (_, value) => (unit === "time" ? duration(value) : number(value)) }],
    }, [told.submitted, told[column]], figure);
    fit(plot, figure);
  }
};
