//! The words and tables of a search or a sweep, for text and for pages.

use nuncius_schemas::search::{Load, SearchBound, SearchOutcome, SearchPurpose, SearchRecord, SearchReport};
use nuncius_schemas::sweep::{
    SweepCapacity, SweepCell, SweepDemand, SweepEffects, SweepEstimate, SweepLevels, SweepReport,
};

use crate::format::{ABSENT, duration_f64, plain, rate, share};

/// Longest reason, in characters.
pub(super) const REASON_CHARACTERS: usize = 400;
/// Most experiments, combinations, and effects that are shown.
pub(super) const ROWS_MAX: usize = 500;
/// Longest value or name, in characters.
pub(super) const NAME_CHARACTERS: usize = 48;
/// Figures of a combination that tables show, where they are there.
pub(super) const SHOWN_FIGURES: [&str; 4] =
    ["response_p99_ns", "service_p99_ns", "succeeded_per_second", "failures_share"];

/// The heading of the experiments of a search.
pub(super) const SEARCH_HEADING: [&str; 6] = ["", "load", "length", "for", "outcome", "why"];

/// What was asked for.
pub(super) fn asked(report: &SearchReport) -> String {
    let search = &report.search;
    let between = match search.loads() {
        Some((lowest, _, highest)) => format!("from {lowest} to {highest}"),
        None => "without a range".to_owned(),
    };
    format!(
        "search for the highest load that meets the gates, {between}, to within {}; probes of {}",
        search.precision, search.probe
    )
}

/// Both ends of what was found, with what each is.
pub(super) fn bounds(passed: Option<SearchBound>, not_passed: Option<SearchBound>) -> Vec<(&'static str, SearchBound)> {
    let passed = passed.map(|bound| ("highest load that passes", bound));
    let not_passed = not_passed.map(|bound| ("lowest load that does not", bound));
    passed.into_iter().chain(not_passed).collect()
}

pub(super) fn bound_text(bound: &SearchBound) -> String {
    let SearchBound { load, is_confirmed, passed, of, confidence } = bound;
    let confirmed = match (is_confirmed, of) {
        (true, _) => format!("confirmed: {passed} of {of} probes passed"),
        (false, 0) => "not confirmed".to_owned(),
        (false, _) => format!("not confirmed: {passed} of {of} probes passed"),
    };
    let sure = confidence.map_or_else(String::new, |confidence| format!(", confidence {}", share(confidence)));
    format!("{load} ({confirmed}{sure})")
}

pub(super) fn search_row(record: &SearchRecord) -> Vec<String> {
    vec![
        record.probe.number.to_string(),
        record.probe.load.to_string(),
        record.probe.length.to_string(),
        purpose_text(record.probe.purpose).to_owned(),
        outcome_text(record.outcome).to_owned(),
        plain(&record.reason, REASON_CHARACTERS),
    ]
}

pub(super) const fn purpose_text(purpose: SearchPurpose) -> &'static str {
    match purpose {
        SearchPurpose::Bracket => "bracket",
        SearchPurpose::Halve => "halve",
        SearchPurpose::Confirm => "confirm",
        SearchPurpose::Recover => "recover",
    }
}

pub(super) const fn outcome_text(outcome: SearchOutcome) -> &'static str {
    match outcome {
        SearchOutcome::Pass => "pass",
        SearchOutcome::Fail => "fail",
        SearchOutcome::Undetermined => "undetermined",
        SearchOutcome::Invalid => "invalid",
        SearchOutcome::Broken => "broken",
    }
}

/// A load as a number: per second, or users.
pub(super) fn load_number(load: Load) -> f64 {
    match load {
        Load::Rate(rate) => rate.as_per_second(),
        Load::Users(users) => f64::from(users),
    }
}

/// A table of a sweep; its cells are not escaped.
pub(super) struct SweepTable {
    pub(super) title: &'static str,
    pub(super) heading: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Columns of words beside the first.
    pub(super) left: Vec<usize>,
}

/// The tables that there is something for.
pub(super) fn sweep_tables(report: &SweepReport) -> Vec<SweepTable> {
    let all = [cells(report), capacity(report), demand(report)];
    let effects = report.effects.iter().filter(|effects| is_shown(&effects.figure)).map(effects_table);
    all.into_iter().chain(effects).filter(|table| !table.rows.is_empty()).collect()
}

/// Whether a figure, or that of a group among several, is one that tables show.
pub(super) fn is_shown(figure: &str) -> bool {
    let last = figure.rsplit('.').next().unwrap_or(figure);
    SHOWN_FIGURES.contains(&last)
}

pub(super) fn cells(report: &SweepReport) -> SweepTable {
    let figures: Vec<&String> = {
        let mut all: Vec<&String> =
            report.cells.iter().flat_map(|cell| cell.figures.keys()).filter(|name| is_shown(name)).collect();
        all.sort();
        all.dedup();
        all
    };
    let factors: Vec<&String> = report.sweep.factors.keys().collect();
    let heading = factors.iter().map(|name| plain(name, NAME_CHARACTERS)).chain(["gates".to_owned()]);
    let heading = heading.chain(figures.iter().map(|figure| figure_title(figure))).collect();
    let row = |cell: &SweepCell| {
        let value = |name: &&String| plain(cell.levels.get(*name).map_or("", String::as_str), NAME_CHARACTERS);
        let figure = |name: &&String| {
            cell.figures.get(*name).map_or_else(|| ABSENT.to_owned(), |estimate| estimate_text(name, estimate))
        };
        let told = factors.iter().map(value).chain([passes_text(cell)]);
        told.chain(figures.iter().map(figure)).collect()
    };
    let rows = report.cells.iter().take(ROWS_MAX).map(row).collect();
    SweepTable { title: "combinations (mean over runs ± 95 %)", heading, rows, left: vec![factors.len()] }
}

/// How a combination's runs were judged.
pub(super) fn passes_text(cell: &SweepCell) -> String {
    let judged = cell.passed + cell.failed + cell.undetermined;
    let mut text = match cell.passes() {
        Some(true) => format!("pass ({} of {judged})", cell.passed),
        Some(false) => format!("not passed ({} of {judged})", cell.passed),
        None => "not judged".to_owned(),
    };
    for (number, what) in [(cell.invalid, "invalid"), (cell.unfinished, "unfinished")] {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    text
}

pub(super) fn capacity(report: &SweepReport) -> SweepTable {
    let row = |capacity: &SweepCapacity| {
        vec![
            levels_text(&capacity.levels),
            value_text(&capacity.highest_passed),
            value_text(&capacity.lowest_not_passed),
            doubt(capacity.is_inverted),
        ]
    };
    SweepTable {
        title: "capacity: the highest load that passes",
        heading: ["with", "highest that passes", "lowest that does not", ""].map(str::to_owned).to_vec(),
        rows: report.capacity.iter().take(ROWS_MAX).map(row).collect(),
        left: vec![3],
    }
}

pub(super) fn demand(report: &SweepReport) -> SweepTable {
    let row = |demand: &SweepDemand| {
        vec![
            levels_text(&demand.levels),
            plain(&demand.load, NAME_CHARACTERS),
            value_text(&demand.least_passed),
            value_text(&demand.most_not_passed),
            doubt(demand.is_inverted),
        ]
    };
    SweepTable {
        title: "demand: the least of the resource that passes",
        heading: ["with", "load", "least that passes", "most that does not", ""].map(str::to_owned).to_vec(),
        rows: report.demand.iter().take(ROWS_MAX).map(row).collect(),
        left: vec![4],
    }
}

pub(super) fn doubt(is_inverted: bool) -> String {
    if is_inverted { "out of order: more repeats may tell".to_owned() } else { String::new() }
}

pub(super) fn effects_table(effects: &SweepEffects) -> SweepTable {
    let figure = effects.figure.as_str();
    let rows = effects.effects.iter().take(ROWS_MAX).map(|effect| {
        let end = |end: Option<f64>| end.map_or_else(|| ABSENT.to_owned(), |end| signed_text(figure, end));
        vec![
            plain(&effect.factor, NAME_CHARACTERS),
            plain(&effect.value, NAME_CHARACTERS),
            figure_text(figure, effect.mean),
            signed_text(figure, effect.effect),
            format!("{} … {}", end(effect.lower), end(effect.upper)),
        ]
    });
    SweepTable {
        title: "effects of each factor",
        heading: vec![
            "factor".to_owned(),
            "value".to_owned(),
            figure_title(figure),
            "effect".to_owned(),
            "from … to".to_owned(),
        ],
        rows: rows.collect(),
        left: Vec::new(),
    }
}

pub(super) fn levels_text(levels: &SweepLevels) -> String {
    let all: Vec<String> =
        levels.iter().map(|(name, value)| format!("{} {}", plain(name, 24), plain(value, NAME_CHARACTERS))).collect();
    if all.is_empty() { "everything".to_owned() } else { all.join(", ") }
}

pub(super) fn value_text(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| ABSENT.to_owned(), |value| plain(value, NAME_CHARACTERS))
}

/// A figure's name without its unit: `response p99`.
pub(super) fn figure_title(name: &str) -> String {
    let short = name.strip_suffix("_ns").unwrap_or(name).replace("_per_second", "").replace("_share", "");
    plain(&short.replace('_', " "), NAME_CHARACTERS)
}

/// A value of a figure with its unit, which its name says.
pub(super) fn figure_text(name: &str, value: f64) -> String {
    if name.ends_with("_ns") {
        duration_f64(value)
    } else if name.ends_with("_per_second") {
        rate(value)
    } else if name.ends_with("_share") {
        share(value)
    } else {
        format!("{value:.4}")
    }
}

pub(super) fn signed_text(name: &str, value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    format!("{sign}{}", figure_text(name, value.abs()))
}

pub(super) fn estimate_text(name: &str, estimate: &SweepEstimate) -> String {
    let mean = figure_text(name, estimate.mean);
    match estimate.upper {
        Some(upper) => format!("{mean} ± {}", figure_text(name, upper - estimate.mean)),
        None => mean,
    }
}
