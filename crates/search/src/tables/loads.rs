//! Tables of the load: its response, how much of it passes, and how little of a resource it needs.
//!
//! Capacity is the highest load that passes for each combination of the other factors, demand the least of a resource
//! that passes at each load: the two metrics of Theodolite (Henning and Hasselbring, "A configurable method for
//! benchmarking scalability of cloud-native applications", Empirical Software Engineering 27, 2022). A combination
//! passes when more than half of its runs do. Both are bounded from both sides, by the nearest combination that does
//! not pass; what passes beyond one that does not is not believed, and told.

use std::collections::BTreeMap;

use nuncius_schemas::flow::ByteSize;
use nuncius_schemas::sweep::{SweepCapacity, SweepCell, SweepCurve, SweepDemand, SweepLevels, SweepPoint};
use nuncius_schemas::units::{HumanDuration, Rate};

/// A value as a number: as it is, a rate per second, bytes, or seconds. `None` for what is none of these.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let plain = || text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let rate = || text.parse::<Rate>().ok().map(Rate::as_per_second);
    let bytes = || text.parse::<ByteSize>().ok().map(|size| size.0 as f64);
    let duration = || text.parse::<HumanDuration>().ok().map(HumanDuration::as_secs_f64);
    plain().or_else(rate).or_else(bytes).or_else(duration)
}

/// Combinations that differ in one factor alone, by the values of the others; each by the value of the one, rising.
fn along<'a>(cells: &'a [SweepCell], factor: &str) -> BTreeMap<SweepLevels, Vec<(f64, &'a str, &'a SweepCell)>> {
    let mut groups: BTreeMap<SweepLevels, Vec<(f64, &str, &SweepCell)>> = BTreeMap::new();
    for cell in cells {
        let Some((number, value)) = cell.levels.get(factor).and_then(|value| Some((number_of(value)?, value))) else {
            continue;
        };
        let mut others = cell.levels.clone();
        others.remove(factor);
        groups.entry(others).or_default().push((number, value, cell));
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    groups
}

/// Load against response.
pub(super) fn curves(cells: &[SweepCell], load: &str) -> Vec<SweepCurve> {
    let point = |(number, value, cell): (f64, &str, &SweepCell)| SweepPoint {
        load: number,
        value: value.to_owned(),
        combination: cell.combination,
        passes: cell.passes(),
        passed: cell.passed,
        judged: cell.passed + cell.failed + cell.undetermined,
        figures: cell.figures.clone(),
    };
    let groups = along(cells, load).into_iter();
    groups.map(|(levels, group)| SweepCurve { levels, points: group.into_iter().map(point).collect() }).collect()
}

/// The last that passes before the first that does not, that one, and whether one after it passes.
struct Edge {
    last_passed: Option<String>,
    first_not_passed: Option<String>,
    is_inverted: bool,
}

/// Of combinations from the easiest to the hardest; what was not judged says nothing.
fn edge<'a>(from_easiest: impl Iterator<Item = &'a (f64, &'a str, &'a SweepCell)>) -> Edge {
    let mut edge = Edge { last_passed: None, first_not_passed: None, is_inverted: false };
    for (_, value, cell) in from_easiest {
        match (cell.passes(), edge.first_not_passed.is_some()) {
            (Some(true), false) => edge.last_passed = Some((*value).to_owned()),
            (Some(true), true) => edge.is_inverted = true,
            (Some(false), false) => edge.first_not_passed = Some((*value).to_owned()),
            (Some(false), true) | (None, _) => {}
        }
    }
    edge
}

/// The highest load that passes.
pub(super) fn capacity(cells: &[SweepCell], load: &str) -> Vec<SweepCapacity> {
    let groups = along(cells, load).into_iter();
    let capacities = groups.map(|(levels, group)| {
        let Edge { last_passed, first_not_passed, is_inverted } = edge(group.iter());
        SweepCapacity { levels, highest_passed: last_passed, lowest_not_passed: first_not_passed, is_inverted }
    });
    capacities.collect()
}

/// The least of a resource that passes at each load.
pub(super) fn demand(cells: &[SweepCell], load: &str, resource: &str) -> Vec<SweepDemand> {
    let mut demands: Vec<(SweepLevels, f64, SweepDemand)> = Vec::new();
    for (mut levels, group) in along(cells, resource) {
        let Some(value) = levels.remove(load) else { continue };
        // The more there is of it, the easier.
        let Edge { last_passed, first_not_passed, is_inverted } = edge(group.iter().rev());
        let number = number_of(&value).unwrap_or(f64::NAN);
        demands.push((
            levels.clone(),
            number,
            SweepDemand {
                levels,
                load: value,
                least_passed: last_passed,
                most_not_passed: first_not_passed,
                is_inverted,
            },
        ));
    }
    demands.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    demands.into_iter().map(|(_, _, demand)| demand).collect()
}
