//! Where the latencies were, over time: a cell for each column of seconds and row of latencies, the darker the more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nuncius_schemas::report::HeatMap;

use super::chart::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, even_ticks};
use crate::format::{count, duration};

/// Shades: each is one path, so that a map of thousands of cells stays small.
const SHADES: u32 = 7;
/// About how many latencies are written beside it.
const LABELS: usize = 7;

/// The map as a `<figure>`; nothing where it has no cells.
pub(crate) fn figure(map: &HeatMap) -> String {
    let rows = map.row_upper_ns.len();
    let columns = map.cells.iter().map(|(column, _, _)| *column + 1).max().unwrap_or(0);
    let most = map.cells.iter().map(|(_, _, count)| *count).max().unwrap_or(0);
    if rows == 0 || columns == 0 || most == 0 {
        return String::new();
    }
    let (width, height) = ((WIDTH - LEFT - RIGHT) / f64::from(columns), (HEIGHT - TOP - BOTTOM) / rows as f64);
    let mut shades: BTreeMap<u32, String> = BTreeMap::new();
    for (column, row, count) in map.cells.iter().filter(|(_, row, count)| (*row as usize) < rows && *count > 0) {
        let (x, y) = (LEFT + f64::from(*column) * width, HEIGHT - BOTTOM - f64::from(*row + 1) * height);
        // By magnitude: a single request of ten seconds must be seen beside a thousand of one millisecond.
        let share = if most > 1 { (*count as f64).ln() / (most as f64).ln() } else { 1.0 };
        let shade = (share * f64::from(SHADES - 1)).round() as u32;
        let path = shades.entry(shade).or_default();
        let _ = write!(path, "M{x:.1} {y:.1}h{width:.2}v{height:.2}h-{width:.2}z");
    }
    let quantity = map.quantity.name();
    let mut out = format!(
        "<figure class=\"chart heat\">\n<figcaption>Heat map: {quantity}</figcaption>\n\
         <p class=\"key\">the darker, the more requests; the darkest cell has {}</p>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Heat map of {quantity} over time\">\n",
        count(most)
    );
    for (shade, path) in shades {
        let _ = writeln!(out, "<path class=\"cell s{shade}\" d=\"{path}\"/>");
    }
    out.push_str("<g class=\"labels\">");
    let step = rows.div_ceil(LABELS).max(1);
    for (row, upper_ns) in map.row_upper_ns.iter().enumerate().step_by(step) {
        let y = HEIGHT - BOTTOM - (row as f64 + 1.0) * height + 3.5;
        let _ = write!(out, "<text x=\"{}\" y=\"{y:.1}\" class=\"y\">{}</text>", LEFT - 8.0, duration(*upper_ns));
    }
    let seconds = f64::from(columns) * f64::from(map.column_seconds.max(1));
    for tick in even_ticks(0.0, seconds, 8.0, 1.0) {
        let x = LEFT + tick / seconds * (WIDTH - LEFT - RIGHT);
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{}\">{}</text>", HEIGHT - BOTTOM + 16.0, count(tick as u64));
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{}\" class=\"title\">second of run time</text></g>\n\
         <path class=\"axis\" d=\"M{LEFT} {:.1}H{}\"/>\n</svg>\n</figure>\n",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 6.0,
        HEIGHT - BOTTOM,
        WIDTH - RIGHT
    );
    out
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::gate::Quantity;

    use super::*;

    fn map(cells: Vec<(u32, u32, u64)>) -> HeatMap {
        HeatMap { quantity: Quantity::Response, column_seconds: 1, row_upper_ns: vec![1_000_000, 1_250_000], cells }
    }

    #[test]
    fn many_and_few_have_shades_of_their_own_and_one_alone_is_seen() {
        let svg = figure(&map(vec![(0, 0, 1_000), (1, 0, 1_000), (1, 1, 1)]));
        assert_eq!(svg.matches("<path class=\"cell s6\"").count(), 1);
        assert_eq!(svg.matches("<path class=\"cell s0\"").count(), 1);
        assert!(svg.contains("1.25ms") || svg.contains("1.00ms"), "{svg}");
    }

    #[test]
    fn nothing_and_what_cannot_be_are_not_drawn() {
        assert_eq!(figure(&map(vec![])), "");
        assert_eq!(figure(&map(vec![(0, 0, 0)])), "");
        assert!(!figure(&map(vec![(0, 9, 5), (0, 0, 5)])).contains("NaN"));
    }
}
