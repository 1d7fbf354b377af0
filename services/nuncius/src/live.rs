//! Following an experiment: events and live figures on standard error, until it has ended.

use std::io::{IsTerminal, Write};

use anyhow::{Result, anyhow};
use nuncius_bus::tail::Start;
use nuncius_bus::{Bus, Subscription};
use nuncius_schemas::codec;
use nuncius_schemas::event::{EventKind, ExperimentEvent, Progress};
use nuncius_schemas::run::{Control, ControlReply, RunStatus, Verdict};

use crate::args::REQUEST_TIMEOUT;
use crate::commands::text_options;

/// How the experiment ended.
pub(crate) struct Ended {
    pub(crate) status: RunStatus,
    pub(crate) verdict: Option<Verdict>,
}

/// What the person at the keyboard did.
enum Interrupt {
    Cancel,
    Leave,
}

/// Follows `id` to its end. With `owner`, Ctrl-C cancels the experiment (twice: returns `None` at once); without, it
/// only stops following.
pub(crate) async fn follow(bus: &Bus, id: &str, quiet: bool, owner: bool) -> Result<Option<Ended>> {
    let namespace = bus.namespace();
    let mut progress: Subscription = bus.subscribe(&namespace.experiment_progress(id)).await?;
    let mut events = bus.tail(&namespace.stream_event(), &namespace.experiment_event(id), Start::All).await?;
    let mut screen = Screen::new(quiet);
    let mut interrupts = 0;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        let interrupt = tokio::select! {
            stored = events.next() => {
                let event: ExperimentEvent = match stored {
                    Ok(stored) => codec::decode(&stored.payload)?,
                    Err(error) => {
                        screen.line(&format!("events cannot be read: {error}"));
                        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                        continue;
                    }
                };
                screen.event(&event);
                match event.status.filter(|status| status.is_terminal()) {
                    Some(status) => {
                        screen.clear();
                        return Ok(Some(Ended { status, verdict: event.verdict }));
                    }
                    None => continue,
                }
            }
            message = progress.next() => {
                if let Some(Ok(progress)) = message.map(|message| message.decode::<Progress>()) {
                    screen.progress(&progress);
                }
                continue;
            }
            _ = tokio::signal::ctrl_c() => {
                interrupts += 1;
                if owner && interrupts == 1 { Interrupt::Cancel } else { Interrupt::Leave }
            }
            _ = terminate.recv() => {
                interrupts += 1;
                if owner && interrupts == 1 { Interrupt::Cancel } else { Interrupt::Leave }
            }
        };
        match interrupt {
            Interrupt::Cancel => {
                screen.line("cancelling; once more to stop at once");
                if let Err(error) = cancel(bus, id, "interrupted").await {
                    screen.line(&format!("not cancelled: {error:#}"));
                }
            }
            Interrupt::Leave => return Ok(None),
        }
    }
}

/// Asks the daemon that holds the run to end it.
pub(crate) async fn cancel(bus: &Bus, id: &str, reason: &str) -> Result<()> {
    let control = Control::Cancel { reason: reason.to_owned() };
    let subject = bus.namespace().experiment_control(id);
    let reply: ControlReply = bus.request_message(&subject, "control.v1", &control, REQUEST_TIMEOUT).await?;
    match reply.error {
        None => Ok(()),
        Some(error) => Err(anyhow!(error)),
    }
}

/// Standard error, with one block of live figures that is drawn over itself on a terminal.
struct Screen {
    quiet: bool,
    terminal: bool,
    lines_drawn: usize,
}

impl Screen {
    fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), lines_drawn: 0 }
    }

    fn clear(&mut self) {
        if self.lines_drawn > 0 {
            eprint!("\x1b[{}A\x1b[J", self.lines_drawn);
            self.lines_drawn = 0;
            let _ = std::io::stderr().flush();
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    fn event(&mut self, event: &ExperimentEvent) {
        if !self.quiet && event.kind != EventKind::Gate {
            self.line(&format!("{:>9}  {}", event.kind.name(), event.message));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.quiet {
            return;
        }
        self.clear();
        let block = if self.terminal {
            nuncius_report::text::progress_block(progress, text_options())
        } else {
            nuncius_report::text::progress_line(progress)
        };
        eprintln!("{}", block.trim_end());
        if self.terminal {
            self.lines_drawn = block.trim_end().lines().count();
        }
    }
}
