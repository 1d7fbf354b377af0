//! `nuncius compare`: whether two runs differ, step by step.

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_control::comparing::{Comparing, Schedule, Side, compare as compare_sides};
use nuncius_control::{ControlError, archive};
use nuncius_report::comparison::text;
use nuncius_schemas::comparison::{ComparableRun, ComparisonVerdict};
use nuncius_store::{Store, StoreError};

use super::experiment_id;
use super::report::fetch;
use crate::args::{CompareArgs, ComparedSchedule, Global};
use crate::connect;
use crate::exit::Usage;
use crate::output::{print, print_json, text_options};

/// `nuncius compare`: 0 not shown to differ, 1 different, 3 too little data.
pub(super) async fn compare(global: &Global, args: CompareArgs) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-compare").await?;
    let baseline = experiment_id::meant(global, bus.as_ref(), &args.baseline).await?;
    let candidate = experiment_id::meant(global, bus.as_ref(), &args.candidate).await?;
    let baseline = side(global, bus.as_ref(), &baseline).await?;
    let candidate = side(global, bus.as_ref(), &candidate).await?;
    let comparing = Comparing {
        figures: args.figures,
        confidence: args.confidence.as_share(),
        least_relative: args.ignore.as_share(),
        schedule: match args.schedule {
            ComparedSchedule::Same => Schedule::Same,
            ComparedSchedule::Apart => Schedule::Apart,
            ComparedSchedule::Auto => Schedule::Auto,
        },
    };
    let compared = compare_sides(baseline, candidate, &comparing).map_err(|error| match error {
        ControlError::Compare(error) => Usage(error.to_string()).into(),
        other => anyhow::Error::from(other),
    })?;
    if global.json {
        print_json(&compared)?;
    } else {
        print(&text(&compared, text_options()));
    }
    Ok(match compared.comparison.verdict {
        ComparisonVerdict::NotShownToDiffer => 0,
        ComparisonVerdict::Different => 1,
        ComparisonVerdict::TooLittleData => 3,
    })
}

async fn side(global: &Global, bus: Option<&Bus>, id: &str) -> Result<Side> {
    let report = fetch(global, bus, id).await?;
    Ok(Side { run: comparable(global, bus, id).await?, report })
}

/// What of a run is compared: from the store of this machine, else from the daemon that has it.
async fn comparable(global: &Global, bus: Option<&Bus>, id: &str) -> Result<ComparableRun> {
    let place = connect::database(global)?;
    if place.may_exist() {
        let store = Store::open(&place).await?;
        let found = match store.comparable(id).await {
            Err(StoreError::NotFound { .. }) => None,
            other => Some(other?),
        };
        store.close().await;
        if let Some(run) = found {
            return Ok(run);
        }
    }
    let there = match bus {
        Some(bus) => archive::comparable(bus, id).await?,
        None => None,
    };
    match there {
        Some(run) => Ok(run),
        None => bail!("the seconds of {id} are not in {place}, and no daemon that runs has them"),
    }
}
