//! Runs against each other.

use clap::{Args, ValueEnum};
use nuncius_schemas::comparison::ComparedFigure;
use nuncius_schemas::flow::Percent;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Experiment that is compared with: its id, the beginning of one, or `last`.
    pub(crate) baseline: String,
    /// Experiment that is compared, likewise.
    pub(crate) candidate: String,
    /// Confidence of all verdicts together.
    #[arg(long, value_name = "SHARE", default_value = "95%")]
    pub(crate) confidence: Percent,
    /// Differences up to this share are none.
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    pub(crate) ignore: Percent,
    /// Compare this alone; may be given several times. The fewer, the smaller the differences that are found.
    #[arg(long = "figure", value_name = "FIGURE", value_delimiter = ',', value_parser = figure)]
    pub(crate) figures: Vec<ComparedFigure>,
    /// Whether both followed the same schedule, with a load that changes: then they are compared second by second.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) schedule: ComparedSchedule,
}

/// Whether two runs followed the same schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ComparedSchedule {
    /// Where their specifications say so, and the load is not the same all the time.
    #[default]
    Auto,
    /// They did.
    Same,
    /// They did not, or the load is the same all the time.
    Apart,
}

fn figure(text: &str) -> Result<ComparedFigure, String> {
    let known = ComparedFigure::ALL.into_iter().find(|figure| figure.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = ComparedFigure::ALL.iter().map(|figure| figure.name()).collect();
        format!("give {}", names.join(", "))
    })
}
