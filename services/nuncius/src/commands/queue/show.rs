//! Queues as they are shown: everything that one statement says is of one moment.

use anyhow::Result;
use nuncius_jobs::{QueueInfo, Queues};
use serde_json::json;

use crate::output::{print, print_table};

/// `nuncius queue ls`.
pub(super) async fn list(queues: &Queues, json: bool) -> Result<()> {
    let mut infos = Vec::new();
    for name in queues.list().await?.into_keys() {
        infos.push(queues.info(&name).await?);
    }
    if json {
        print(&format!("{:#}", infos.iter().map(as_json).collect::<serde_json::Value>()));
        return Ok(());
    }
    let head = ["queue", "state", "jobs", "waiting", "limit", "accepted", "ended", "repeated", "dead", "keeper"];
    let mut rows = Vec::new();
    for info in &infos {
        rows.push(vec![
            info.definition.name.clone(),
            info.definition.state.name().to_owned(),
            info.jobs.to_string(),
            info.waiting.iter().sum::<u64>().to_string(),
            info.limit.to_string(),
            info.accepted.to_string(),
            info.totals.ended().to_string(),
            info.totals.repeated.to_string(),
            info.dead_letters.to_string(),
            info.holder.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    print_table(&head, &rows, &[1, 9], "there is no queue; make one with `nuncius queue create QUEUE`");
    Ok(())
}

/// `nuncius queue info`.
pub(super) async fn info(queues: &Queues, queue: &str, json: bool) -> Result<()> {
    let info = queues.info(queue).await?;
    print(&if json { format!("{:#}", as_json(&info)) } else { as_text(&info) });
    Ok(())
}

fn as_json(info: &QueueInfo) -> serde_json::Value {
    json!({
        "definition": info.definition,
        "totals": info.totals,
        "jobs": info.jobs,
        "waiting": info.waiting,
        "accepted": info.accepted,
        "unaccounted": info.unaccounted,
        "behind_records": info.behind_records,
        "limit": info.limit,
        "dead_letters": info.dead_letters,
        "keeper": info.holder,
    })
}

fn as_text(info: &QueueInfo) -> String {
    let QueueInfo { definition, totals, jobs, unaccounted, behind_records, waiting, accepted, .. } = info;
    let most = if definition.max_waiting > 0 { "most waiting" } else { "most jobs" };
    let mut lines = vec![
        ("queue", definition.name.clone()),
        ("state", definition.state.name().to_owned()),
        ("kept by", info.holder.clone().unwrap_or_else(|| "no frontend: nothing is swept or exported".to_owned())),
        ("jobs now", format!("{jobs}, of which {} were never begun", waiting.iter().sum::<u64>())),
        (most, info.limit.to_string()),
        ("accepted", accepted.to_string()),
        ("succeeded", totals.succeeded.to_string()),
        ("failed", format!("{} ({} timed out)", totals.failed, totals.timed_out)),
        ("dead", totals.dead.to_string()),
        ("dropped", totals.dropped.to_string()),
        ("repeated", totals.repeated.to_string()),
        ("retried", totals.retried.to_string()),
    ];
    if *behind_records > 0 {
        lines.push(("not read", format!("{behind_records} records: no frontend has kept the books for long")));
    } else if *unaccounted > 0 {
        lines.push(("unaccounted", format!("{unaccounted} accepted jobs neither ended nor are there")));
    }
    lines.push(("dead letters", info.dead_letters.to_string()));
    lines.push(("priorities", priorities(info)));
    lines.push((
        "attempts",
        format!("{}{}", definition.attempts, if definition.retry_failures { ", failures too" } else { "" }),
    ));
    lines.push(("longest wait", definition.max_wait.to_string()));
    lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
}

fn priorities(info: &QueueInfo) -> String {
    let definition = &info.definition;
    let shares: Vec<String> = definition.priority_shares.iter().map(u32::to_string).collect();
    match (definition.priorities, shares.as_slice()) {
        (1, _) => "1".to_owned(),
        (count, []) => format!("{count}, the most urgent always first"),
        (count, _) => format!("{count}, with shares {}", shares.join(":")),
    }
}
