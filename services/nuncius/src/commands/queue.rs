//! `nuncius queue`.

use std::time::Duration;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_jobs::abandoned::purge;
use nuncius_jobs::{QueueInfo, Queues, Submission, Submitter, SubmitterOptions, dead};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::{QueueDefinition, QueueState, check_queue_name};
use serde_json::json;

use crate::Usage;
use crate::args::{DeadCommand, Global, QueueCommand};
use crate::connect;
use crate::output::{note, print_table};

/// How often a draining queue is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// Exit code of `submit` for a job that did not succeed.
const EXIT_JOB_FAILED: u8 = 1;

/// Makes, shows and changes queues.
pub(super) async fn queue(global: &Global, command: QueueCommand) -> Result<u8> {
    check_queue_name(named(&command)).map_err(|error| Usage(error.to_string()))?;
    let bus = connect::existing(global, "nuncius-queue").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let queues = Queues::open(&bus).await?;
    match command {
        QueueCommand::Create { queue, like, settings } => {
            if let Some(like) = like {
                let model = queues.get(&like).await?;
                if queues.find(&queue).await?.is_none() {
                    let definition = QueueDefinition { name: queue.clone(), state: QueueState::Open, ..model };
                    queues.put(&definition).await?;
                }
            }
            let made = queues.ensure(&queue, &settings.settings()).await?;
            super::print(&format!("queue {queue} {}", if made { "made" } else { "is as wanted" }));
        }
        QueueCommand::Ls => list(&queues, global.json).await?,
        QueueCommand::Info { queue } => {
            let info = queues.info(&queue).await?;
            super::print(&if global.json { format!("{:#}", as_json(&info)) } else { as_text(&info) });
        }
        QueueCommand::Pause { queue } => queues.set_state(&queue, QueueState::Paused).await?,
        QueueCommand::Resume { queue } => queues.set_state(&queue, QueueState::Open).await?,
        QueueCommand::Purge { queue } => {
            let dropped = purge(&queues, &queues.get(&queue).await?).await?;
            super::print(&format!("{dropped} jobs dropped"));
        }
        QueueCommand::Drain { queue, no_wait } => drain(&queues, &queue, no_wait).await?,
        QueueCommand::Rm { queue, force } => queues.remove(&queue, force).await?,
        QueueCommand::Submit { queue, priority, limit, id, no_wait, arguments } => {
            let submission = Submission { id, args: arguments, limit, priority, ..Submission::default() };
            return submit(&bus, &queue, submission, no_wait).await;
        }
        QueueCommand::Dead(command) => dead_letters(&queues, command, global.json).await?,
    }
    Ok(0)
}

fn named(command: &QueueCommand) -> &str {
    match command {
        QueueCommand::Create { queue, .. }
        | QueueCommand::Info { queue, .. }
        | QueueCommand::Pause { queue }
        | QueueCommand::Resume { queue }
        | QueueCommand::Purge { queue }
        | QueueCommand::Drain { queue, .. }
        | QueueCommand::Rm { queue, .. }
        | QueueCommand::Submit { queue, .. }
        | QueueCommand::Dead(
            DeadCommand::Ls { queue, .. } | DeadCommand::Retry { queue, .. } | DeadCommand::Rm { queue, .. },
        ) => queue,
        // It names none.
        QueueCommand::Ls => "all",
    }
}

async fn list(queues: &Queues, json: bool) -> Result<()> {
    let mut infos = Vec::new();
    for name in queues.list().await?.into_keys() {
        infos.push(queues.info(&name).await?);
    }
    if json {
        super::print(&format!("{:#}", infos.iter().map(as_json).collect::<serde_json::Value>()));
        return Ok(());
    }
    let head = ["queue", "state", "jobs", "waiting", "limit", "accepted", "ended", "dead", "keeper"];
    let mut rows = Vec::new();
    for info in &infos {
        let totals = info.totals.clone().unwrap_or_default();
        rows.push(vec![
            info.definition.name.clone(),
            info.definition.state.name().to_owned(),
            info.jobs.to_string(),
            info.waiting.iter().sum::<u64>().to_string(),
            info.limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            info.accepted.to_string(),
            totals.ended().to_string(),
            info.dead_letters.to_string(),
            info.holder.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    print_table(&head, &rows, &[1, 8], "there is no queue; make one with `nuncius queue create QUEUE`");
    Ok(())
}

fn as_json(info: &QueueInfo) -> serde_json::Value {
    json!({
        "definition": info.definition,
        "totals": info.totals,
        "jobs": info.jobs,
        "waiting": info.waiting,
        "accepted": info.accepted,
        "limit": info.limit,
        "dead_letters": info.dead_letters,
        "keeper": info.holder,
    })
}

fn as_text(info: &QueueInfo) -> String {
    let QueueInfo { definition, totals, jobs, waiting, accepted, limit, dead_letters, holder } = info;
    let mut lines = vec![
        ("queue", definition.name.clone()),
        ("state", definition.state.name().to_owned()),
        ("kept by", holder.clone().unwrap_or_else(|| "no frontend: totals stand still".to_owned())),
        ("jobs now", format!("{jobs}, of which {} were never begun", waiting.iter().sum::<u64>())),
        ("most jobs", limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())),
        ("accepted", accepted.to_string()),
        ("dead letters", dead_letters.to_string()),
        ("priorities", definition.priorities.to_string()),
        (
            "attempts",
            format!("{}{}", definition.attempts, if definition.retry_failures { ", failures too" } else { "" }),
        ),
        ("longest wait", definition.max_wait.to_string()),
    ];
    if let Some(totals) = totals {
        lines.push(("succeeded", totals.succeeded.to_string()));
        lines.push(("failed", format!("{} ({} timed out)", totals.failed, totals.timed_out)));
        lines.push(("dead", totals.dead.to_string()));
        lines.push(("dropped", totals.dropped.to_string()));
        lines.push(("retried", totals.retried.to_string()));
    }
    lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
}

async fn drain(queues: &Queues, queue: &str, no_wait: bool) -> Result<()> {
    queues.set_state(queue, QueueState::Draining).await?;
    if no_wait {
        return Ok(());
    }
    let mut told = None;
    loop {
        let jobs = queues.info(queue).await?.jobs;
        if jobs == 0 {
            return Ok(());
        }
        if told != Some(jobs) {
            note(&format!("{jobs} jobs left"));
            told = Some(jobs);
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn submit(bus: &Bus, queue: &str, submission: Submission, no_wait: bool) -> Result<u8> {
    let client = format!("submit-{:016x}", fastrand::u64(..));
    let options = SubmitterOptions { queue: queue.to_owned(), client, presence: false };
    let submitter = Submitter::open(bus, options).await?;
    let ticket = submitter.submit(submission).await?;
    if no_wait {
        super::print(&ticket.id);
        return Ok(0);
    }
    let Some(result) = ticket.result().await else {
        return Err(anyhow::anyhow!("the connection ended before the result came"));
    };
    let succeeded = result.status == JobStatus::Succeeded;
    super::print(&format!("{:#}", serde_json::to_value(&result)?));
    Ok(if succeeded { 0 } else { EXIT_JOB_FAILED })
}

async fn dead_letters(queues: &Queues, command: DeadCommand, json: bool) -> Result<()> {
    match command {
        DeadCommand::Ls { queue, limit } => {
            let letters = dead::list(queues, &queue, limit).await?;
            if json {
                let all: serde_json::Value = letters
                    .iter()
                    .map(|letter| {
                        json!({
                            "job": letter.job,
                            "client": letter.client,
                            "priority": letter.priority,
                            "attempts": letter.attempts,
                            "reason": letter.reason,
                            "unix_ns": letter.unix_ns,
                        })
                    })
                    .collect();
                super::print(&format!("{all:#}"));
                return Ok(());
            }
            let printable = |text: &str| text.escape_debug().to_string();
            let row = |letter: &dead::DeadLetter| {
                let attempts = letter.attempts.to_string();
                vec![printable(&letter.job), printable(&letter.client), attempts, printable(&letter.reason)]
            };
            let rows: Vec<Vec<String>> = letters.iter().map(row).collect();
            print_table(&["job", "client", "attempts", "reason"], &rows, &[1, 3], "there is no dead letter");
        }
        DeadCommand::Retry { queue, jobs } => {
            let jobs = if jobs.is_empty() {
                dead::list(queues, &queue, usize::MAX).await?.into_iter().map(|letter| letter.job).collect()
            } else {
                jobs
            };
            for job in jobs {
                super::print(&format!("{job} is submitted again as {}", dead::retry(queues, &queue, &job).await?));
            }
        }
        DeadCommand::Rm { queue, jobs } => {
            for job in jobs {
                dead::remove(queues, &queue, &job).await?;
            }
        }
    }
    Ok(())
}
