//! `nuncius queue`.

mod show;
mod submit;

use std::time::Duration;

use anyhow::Result;
use nuncius_jobs::abandoned::purge;
use nuncius_jobs::{Queues, Submission, dead};
use nuncius_schemas::queue::{QueueDefinition, QueueState, check_queue_name};
use serde_json::json;

use crate::Usage;
use crate::args::{DeadCommand, Global, QueueCommand};
use crate::connect;
use crate::output::print_table;
use submit::Told;

/// How often a draining queue is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

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
        QueueCommand::Ls => show::list(&queues, global.json).await?,
        QueueCommand::Info { queue } => show::info(&queues, &queue, global.json).await?,
        QueueCommand::Pause { queue } => change_state(&queues, &queue, QueueState::Paused).await?,
        QueueCommand::Resume { queue } => change_state(&queues, &queue, QueueState::Open).await?,
        QueueCommand::Purge { queue } => {
            let dropped = purge(&queues, &queues.get(&queue).await?).await?;
            let left = queues.info(&queue).await?.jobs;
            let (dropped, left) = (jobs(dropped), jobs(left));
            super::print(&format!("{dropped} of queue {queue} dropped, {left} left, which have begun"));
        }
        QueueCommand::Drain { queue, no_wait } => drain(&queues, &queue, no_wait).await?,
        QueueCommand::Rm { queue, force } => {
            let lost = queues.remove(&queue, force).await?;
            super::print(&format!("queue {queue} removed with its records, {} lost", jobs(lost)));
        }
        QueueCommand::Submit { queue, priority, limit, id, no_wait, arguments } => {
            let submission = Submission { id, args: arguments, limit, priority, ..Submission::default() };
            return submit::submit(&queues, &queue, submission, no_wait).await;
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

async fn change_state(queues: &Queues, queue: &str, state: QueueState) -> Result<()> {
    let was = queues.get(queue).await?.state;
    queues.set_state(queue, state).await?;
    let info = queues.info(queue).await?;
    let does = match state {
        QueueState::Open => "takes and gives jobs",
        QueueState::Paused => "takes jobs and gives none; what has begun goes on",
        QueueState::Draining => "takes no jobs and gives those it has",
    };
    let already = if was == state { "already " } else { "" };
    super::print(&format!("queue {queue} is {already}{}: it {does} ({} in it)", state.name(), jobs(info.jobs)));
    Ok(())
}

/// `1 job`, `2 jobs`.
fn jobs(count: u64) -> String {
    format!("{count} job{}", if count == 1 { "" } else { "s" })
}

async fn drain(queues: &Queues, queue: &str, no_wait: bool) -> Result<()> {
    change_state(queues, queue, QueueState::Draining).await?;
    if no_wait {
        return Ok(());
    }
    let mut told = Told::default();
    loop {
        let waits = queues.waits(queue).await?;
        if waits.jobs == 0 {
            super::print(&format!("queue {queue} is empty"));
            return Ok(());
        }
        told.tell(&waits, &format!("{} left", jobs(waits.jobs)));
        tokio::time::sleep(DRAIN_LOOK).await;
    }
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
                super::print(&format!("the dead letter of {job} is removed"));
            }
        }
    }
    Ok(())
}
