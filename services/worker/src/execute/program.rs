//! One program from its start to the end of its process group.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::group::Group;
use super::output::Output;
use super::{Outcome, failure};
use crate::workload::{OutputUse, ProgramTask};

/// How long what a program has left behind may hold its output once it has ended.
pub const OUTPUT_GRACE: Duration = Duration::from_millis(250);
/// How long a process may take to be gone after KILL. One that hangs in its device's driver may take for ever.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// Why waiting for a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Ended,
    OverLimit,
    Cancelled,
}

/// Runs the program; the outcome lacks limit and device.
pub(super) async fn run(task: &ProgramTask, limit: Option<Duration>, cancel: &CancellationToken) -> Outcome {
    let started = Instant::now();
    if cancel.is_cancelled() {
        return Outcome { cancelled: true, error: Some(failure::CANCELLED.to_owned()), ..Outcome::default() };
    }
    let (mut group, stdout, stderr) = match Group::spawn(task) {
        Ok(spawned) => spawned,
        Err(problem) => {
            let error = Some(failure::not_started(task, &problem));
            return Outcome { run: started.elapsed(), error, ..Outcome::default() };
        }
    };
    let tail_bytes = if let OutputUse::Captured(bytes) = task.output { bytes } else { 0 };
    let mut output = Output::new(stdout, stderr, tail_bytes);

    let first = output.meanwhile(wait(&mut group, limit, cancel)).await;
    let mut last = first;
    if first == Waited::OverLimit {
        group.terminate();
        last = output.meanwhile(wait(&mut group, Some(task.kill_grace), cancel)).await;
    }
    if last != Waited::Ended {
        group.kill();
    }
    let gone = output.meanwhile(timeout(KILL_WAIT, group.ended())).await.is_ok();
    let run = started.elapsed();
    // What it printed last is still in the pipes. Whoever else holds them has had notice enough by then.
    let _ = timeout(OUTPUT_GRACE, output.drain()).await;
    group.kill();
    let status = if gone { group.reap().await } else { None };
    if !gone {
        error!(program = %task.path.display(), "not gone {KILL_WAIT:?} after KILL: stuck in the kernel");
    }
    let (timed_out, cancelled) = (first == Waited::OverLimit, Waited::Cancelled == last);
    let (stdout_tail, stderr_tail) = output.into_tails();
    let outcome = Outcome { run, timed_out, cancelled, stdout_tail, stderr_tail, ..Outcome::default() };
    judged(outcome, task, limit.filter(|_| timed_out), status)
}

async fn wait(group: &mut Group, limit: Option<Duration>, cancel: &CancellationToken) -> Waited {
    let over = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Waited::Cancelled,
        () = group.ended() => Waited::Ended,
        () = over => Waited::OverLimit,
    }
}

/// The outcome with what the status says, and in words what was wrong; `passed` is the limit it was ended for.
fn judged(mut outcome: Outcome, task: &ProgramTask, passed: Option<Duration>, status: Option<ExitStatus>) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    outcome.exit_code = status.and_then(|status| status.code());
    outcome.signal = status.and_then(|status| status.signal());
    let how = match (outcome.exit_code, outcome.signal) {
        _ if outcome.cancelled => Some(failure::CANCELLED.to_owned()),
        _ if let Some(limit) = passed => Some(failure::over_limit(limit)),
        (Some(0), _) => None,
        (Some(code), _) => Some(failure::exited(task, code)),
        (None, Some(signal)) => Some(failure::signalled(task, signal)),
        (None, None) => Some(failure::unknown(task)),
    };
    outcome.error = match (status, how) {
        (None, Some(how)) => Some(failure::stuck(&how)),
        (_, how) => how,
    };
    outcome
}
