//! `nuncius queue submit`: says what it waits for, and what is known already at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use nuncius_jobs::{Acceptance, Queues, Submission, Submitter, SubmitterOptions, Ticket, Waits};
use nuncius_schemas::job::{JobResult, JobStatus};

use crate::output::{note, print};

/// How often is looked at what a job waits for.
const LOOK: Duration = Duration::from_secs(1);
/// How often the same is said again.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// Exit code of a job that did not succeed.
const EXIT_JOB_FAILED: u8 = 1;
/// Client of jobs that have an id of their own: so that it is the same job when it is submitted again.
const CLIENT: &str = "submit";

/// Submits a job and, unless told otherwise, waits for its record.
pub(super) async fn submit(queues: &Queues, queue: &str, submission: Submission, no_wait: bool) -> Result<u8> {
    let begun = Instant::now();
    let client = match &submission.id {
        Some(_) => CLIENT.to_owned(),
        None => format!("{CLIENT}-{:016x}", fastrand::u64(..)),
    };
    let options = SubmitterOptions { queue: queue.to_owned(), client, presence: false };
    let submitter = Submitter::open(queues.bus(), options).await?;
    let ticket = submitter.submit(submission).await?;
    let id = ticket.id.clone();
    match ticket.acceptance {
        Acceptance::New => {}
        Acceptance::Waiting => note(&format!("job {id} is in queue {queue} already: it is not submitted again")),
        Acceptance::Ended => {
            note(&format!("job {id} of queue {queue} has ended before: this is its record, it is not run again"));
        }
    }
    if no_wait {
        print(&id);
        return Ok(0);
    }
    let Some(result) = wait(queues, queue, ticket, begun).await else {
        return Err(anyhow::anyhow!("the connection ended before the result came"));
    };
    let succeeded = result.status == JobStatus::Succeeded;
    print(&format!("{:#}", serde_json::to_value(&result)?));
    Ok(if succeeded { 0 } else { EXIT_JOB_FAILED })
}

/// The result; who waits long is told why.
async fn wait(queues: &Queues, queue: &str, ticket: Ticket, begun: Instant) -> Option<JobResult> {
    let id = ticket.id.clone();
    let result = ticket.result();
    tokio::pin!(result);
    let mut told = Told::default();
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            result = &mut result => return result,
            _ = look.tick() => {}
        }
        let text = match queues.waits(queue).await {
            Ok(waits) => {
                told.tell(&waits, &format!("job {id} has waited {} s", begun.elapsed().as_secs()));
                continue;
            }
            Err(error) => error.to_string(),
        };
        told.say(&text, &format!("job {id} has waited {} s", begun.elapsed().as_secs()));
    }
}

/// What was said last, so that the same is not said every time.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Option<(String, Instant)>,
}

impl Told {
    /// Says what is waited for, after `since`: at once when it is another thing than before, else now and then.
    pub(super) fn tell(&mut self, waits: &Waits, since: &str) {
        self.say(&waits.to_string(), since);
    }

    fn say(&mut self, text: &str, since: &str) {
        let is_news = self.last.as_ref().is_none_or(|(last, at)| last != text || at.elapsed() >= SAY_AGAIN);
        if is_news {
            note(&format!("{since}: {text}"));
            self.last = Some((text.to_owned(), Instant::now()));
        }
    }
}
