//! Changing the load of an experiment while it runs.

use clap::{ArgGroup, Args};
use nuncius_schemas::amendment::{Change, Multiplier};
use nuncius_schemas::route::{Weight, WeightError};
use nuncius_schemas::units::Rate;

/// Which load, and why it is changed.
#[derive(Debug, Args)]
pub(crate) struct SteeredArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Only this group.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Why, for the audit.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("load").required(true).args(["rate", "by", "users", "weights"]))]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    pub(crate) steered: SteeredArgs,
    /// Open model: this rate from then on, whatever the stages say: `200/s`, `30/m`.
    #[arg(long)]
    pub(crate) rate: Option<Rate>,
    /// What the specification says, times this: rates in the open model, users in the closed one; 1 is as written.
    #[arg(long, value_name = "NUMBER", value_parser = multiplier)]
    pub(crate) by: Option<Multiplier>,
    /// Closed model: so many users over all nodes.
    #[arg(long, value_name = "COUNT")]
    pub(crate) users: Option<u32>,
    /// Weights of scenarios for the iterations that begin from then on: `browse=3,buy=0.5`. The others keep theirs.
    #[arg(long, value_name = "SCENARIO=WEIGHT", value_delimiter = ',', value_parser = weight)]
    pub(crate) weights: Vec<(String, Weight)>,
}

fn weight(text: &str) -> Result<(String, Weight), String> {
    let (name, weight) = text.split_once('=').ok_or_else(|| format!("`{text}` is not SCENARIO=WEIGHT"))?;
    let weight = weight.parse().map_err(|error: WeightError| format!("`{text}`: {error}"))?;
    Ok((name.to_owned(), weight))
}

fn multiplier(text: &str) -> Result<Multiplier, String> {
    let number = text.parse().ok().and_then(Multiplier::new);
    number.ok_or_else(|| format!("`{text}` is no number from 0 to 1000000"))
}

impl ScaleArgs {
    /// What is asked for; nothing where clap let nothing through.
    pub(crate) fn change(&self) -> Option<Change> {
        let rate = self.rate.map(Change::Rate);
        let users = self.users.map(Change::Users);
        let weights = (!self.weights.is_empty()).then(|| Change::Weights(self.weights.iter().cloned().collect()));
        rate.or_else(|| self.by.map(Change::Scale)).or(users).or(weights)
    }
}
