//! `nuncius pause`, `nuncius resume`, `nuncius scale` and `nuncius end`.

use anyhow::Result;
use nuncius_control::amend::{self, Amend};
use nuncius_schemas::amendment::Change;
use nuncius_schemas::units::HumanDuration;

use super::experiment_id;
use crate::args::{Global, ScaleArgs, SteeredArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::say;

/// `nuncius pause`, `nuncius resume` and `nuncius end`.
pub(super) async fn amend(global: &Global, args: SteeredArgs, change: Change) -> Result<u8> {
    let bus = connect::existing_to_look_on(global, "nuncius-steer").await?;
    let id = experiment_id::meant(global, Some(&bus), &args.id).await?;
    let wanted = Amend { group: args.group, change, reason: args.reason, who: None };
    let at_ns = amend::amend(&bus, &id, &wanted).await?;
    let at = HumanDuration(at_ns);
    let told = serde_json::json!({ "id": id, "change": wanted.change, "group": wanted.group, "at_ns": at_ns });
    let of = wanted.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
    say(global.json, &told, &format!("{id}: {}{of} from {at} of run time on, on all nodes", wanted.change.told()))?;
    Ok(0)
}

/// `nuncius scale`.
pub(super) async fn scale(global: &Global, args: ScaleArgs) -> Result<u8> {
    let change = args.change().ok_or_else(|| Usage("say one of --rate, --by, --users and --weights".to_owned()))?;
    amend(global, args.steered, change).await
}
