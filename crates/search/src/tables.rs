//! What is said of the outcomes of a sweep.
//!
//! **Each combination**: the mean of each figure over its runs, with the interval of Student's distribution. Runs are
//! independent, so that this is a plain mean of them, as it must be: requests of one run are not. A run that was
//! invalid or did not end counts for no figure; how many there were is told.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_schemas::run::Verdict;
use nuncius_schemas::sweep::{SweepCell, SweepEstimate, SweepLevels, SweepReport, SweepRun, SweepSpec, value_text};
use nuncius_stats::{CONFIDENCE, student_quantile};

mod effects;
mod loads;

use effects::effects;
use loads::{capacity, curves, demand, number_of};

/// Figures that are named where the same is to be said of several.
const FIGURES_NAMED: usize = 3;

/// The report of the sweep `id` whose runs came out so, as far as they have; of several of the same combination and
/// repeat the last counts.
pub fn report(sweep: &SweepSpec, id: &str, started_unix_ms: u64, all: Vec<SweepRun>) -> SweepReport {
    let known = |run: &&SweepRun| (1..=sweep.combinations()).contains(&run.combination);
    let runs: BTreeMap<(u64, u32), &SweepRun> =
        all.iter().filter(known).map(|run| ((run.combination, run.repeat), run)).collect();
    let cells: Vec<SweepCell> = (1..=sweep.combinations()).map(|number| cell(sweep, number, &runs)).collect();
    let names: BTreeSet<&String> = cells.iter().flat_map(|cell| cell.figures.keys()).collect();
    let mut without_effects: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut all_effects = Vec::new();
    for figure in names {
        let values: BTreeMap<(u64, u32), f64> =
            runs.iter().filter_map(|(place, run)| Some((*place, figure_of(run, figure)?))).collect();
        match effects(sweep, figure, &cells, &values) {
            Ok(found) => all_effects.push(found),
            Err(reason) => without_effects.entry(reason).or_default().push(figure),
        }
    }
    let mut problems: Vec<String> =
        without_effects.iter().map(|(reason, figures)| no_effects(figures, reason)).collect();
    let load = numeric_factor(sweep, sweep.load_factor(), "load", &mut problems);
    let resource = numeric_factor(sweep, sweep.resource.as_deref(), "resource", &mut problems);
    SweepReport {
        id: id.to_owned(),
        started_unix_ms,
        sweep: sweep.clone(),
        confidence: CONFIDENCE,
        effects: all_effects,
        curves: load.map_or_else(Vec::new, |load| curves(&cells, load)),
        capacity: load.map_or_else(Vec::new, |load| capacity(&cells, load)),
        demand: load.zip(resource).map_or_else(Vec::new, |(load, resource)| demand(&cells, load, resource)),
        cells,
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
        runs: all,
    }
}

/// Figures of which no effects are told, for one reason.
fn no_effects(figures: &[&str], reason: &str) -> String {
    let (named, more) = figures.split_at(figures.len().min(FIGURES_NAMED));
    let names: Vec<String> = named.iter().map(|figure| format!("`{figure}`")).collect();
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("no effects on {}{more}: {reason}", names.join(", "))
}

/// A factor whose values are numbers.
fn numeric_factor<'a>(
    sweep: &SweepSpec,
    name: Option<&'a str>,
    what: &str,
    problems: &mut Vec<String>,
) -> Option<&'a str> {
    let name = name?;
    let values = sweep.factors.get(name)?.values.iter().map(value_text);
    let Some(strange) = values.into_iter().find(|value| number_of(value).is_none()) else { return Some(name) };
    let strange: String = strange.chars().take(64).collect();
    problems.push(format!("`{strange}` of `{name}`, the {what}, is no number that could be put in order"));
    None
}

fn cell(sweep: &SweepSpec, combination: u64, runs: &BTreeMap<(u64, u32), &SweepRun>) -> SweepCell {
    let levels: SweepLevels =
        sweep.levels(combination).iter().map(|(name, value)| (name.clone(), value_text(value))).collect();
    let own = || runs.range((combination, 0)..=(combination, u32::MAX)).map(|(_, run)| *run);
    let count = |verdict: Option<Verdict>| own().filter(|run| run.verdict == verdict).count() as u32;
    let names: BTreeSet<&String> = own().flat_map(|run| run.figures.keys()).collect();
    let figures = names.into_iter().filter_map(|name| {
        let values: Vec<f64> = own().filter_map(|run| figure_of(run, name)).collect();
        Some((name.clone(), estimate(&values)?))
    });
    SweepCell {
        combination,
        levels,
        passed: count(Some(Verdict::Pass)),
        failed: count(Some(Verdict::Fail)),
        undetermined: count(Some(Verdict::Undetermined)),
        invalid: count(Some(Verdict::Invalid)),
        unfinished: count(None),
        figures: figures.collect(),
    }
}

/// A figure of a run that counts, where it is a number.
fn figure_of(run: &SweepRun, name: &str) -> Option<f64> {
    let counts = run.verdict.is_some_and(|verdict| verdict != Verdict::Invalid);
    run.figures.get(name).copied().filter(|value| counts && value.is_finite())
}

/// The mean of values with its interval; `None` without any.
fn estimate(values: &[f64]) -> Option<SweepEstimate> {
    let count = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let variance = (values.len() > 1)
        .then(|| values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0));
    let reach = variance.map(|variance| student_quantile(CONFIDENCE, count - 1.0) * (variance / count).sqrt());
    Some(SweepEstimate {
        mean,
        lower: reach.map(|reach| mean - reach),
        upper: reach.map(|reach| mean + reach),
        deviation: variance.map(f64::sqrt),
        runs: values.len() as u32,
    })
}

#[cfg(test)]
mod tests;
