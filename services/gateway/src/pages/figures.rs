//! A few figures of the reports of runs that have ended, for lists of them.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use nuncius_control::reports;
use nuncius_pages::runs::Figures;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::head::ExperimentHead;
use nuncius_schemas::report::{GroupReport, Report};

use crate::api::ApiState;

/// Reports that are read at a time.
const AT_ONCE: usize = 8;
/// How long a page waits for figures: those that are read later are there the next time.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Each with its figures, where it has any and they are known in time.
pub(super) async fn with_figures(api: &ApiState, heads: Vec<ExperimentHead>) -> Vec<(ExperimentHead, Figures)> {
    let kept = api.figures();
    let unknown = heads.iter().filter(|head| head.status.is_terminal() && kept.find(head).is_none());
    let read = stream::iter(unknown).for_each_concurrent(AT_ONCE, async |head| {
        if let Ok(report) = reports::report(api.bus(), &head.id).await {
            kept.keep(head, figures(&report));
        }
    });
    let _ = tokio::time::timeout(PATIENCE, read).await;
    let with = |head: ExperimentHead| {
        let figures = kept.find(&head).unwrap_or_default();
        (head, figures)
    };
    heads.into_iter().map(with).collect()
}

fn figures(report: &Report) -> Figures {
    // Of the response, or of the service where nothing is planned.
    let of_group = |group: &GroupReport| {
        let quantity = if group.open { Quantity::Response } else { Quantity::Service };
        let summary = group.steps.last()?.quantities.get(&quantity)?;
        let p99 = summary.quantiles.iter().find(|known| (known.quantile - 0.99).abs() < 1e-9)?;
        Some((p99.value_ns, p99.at_least))
    };
    let rates = report.groups.iter().filter_map(|group| group.steps.last()).map(|step| step.succeeded_per_second);
    Figures { p99: report.groups.iter().filter_map(of_group).max(), succeeded_per_second: Some(rates.sum()) }
}
