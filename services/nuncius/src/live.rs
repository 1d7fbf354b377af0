//! Following an experiment: events and merged seconds on standard error, until it has ended.
//!
//! Both come from streams: whoever joins late is shown where the experiment is, and misses nothing from then on.

use anyhow::{Result, anyhow};
use nuncius_bus::Bus;
use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::run::{Control, ControlReply, RunStatus, Verdict};
use nuncius_schemas::second::ExperimentSecond;
use nuncius_stats::second::add_piece;
use tokio::signal::unix::{SignalKind, signal};

use self::screen::Screen;
use crate::args::REQUEST_TIMEOUT;
use crate::signals::Interrupts;

mod screen;

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
    let mut seconds = Seconds::join(bus, id).await?;
    let mut events = bus.tail(&namespace.stream_event(), &namespace.experiment_event(id), Start::All).await?;
    let mut screen = Screen::new(quiet);
    let mut interrupts = 0;
    let mut signals = Interrupts::watch()?;
    let mut resized = signal(SignalKind::window_change())?;
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
                match event.status.filter(|status| status.is_terminal()) {
                    Some(status) => {
                        // The last seconds are in the stream before the end is told.
                        seconds.rest(bus, id, |second| screen.second(second)).await;
                        screen.end();
                        screen.event(&event);
                        return Ok(Some(Ended { status, verdict: event.verdict }));
                    }
                    None => {
                        screen.event(&event);
                        continue;
                    }
                }
            }
            second = seconds.next() => {
                match second {
                    Ok(second) => screen.second(second),
                    Err(error) => {
                        screen.line(&format!("seconds cannot be read: {error}"));
                        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    }
                }
                continue;
            }
            _ = resized.recv() => {
                screen.redraw();
                continue;
            }
            // Another process ended this one's work, somebody has pressed Ctrl-C, or the terminal has gone.
            () = signals.next() => {
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
            Interrupt::Leave => {
                screen.end();
                return Ok(None);
            }
        }
    }
}

/// The merged seconds of an experiment from the last one on.
struct Seconds {
    tail: Tail,
    /// The sequence up to which they have been read.
    through_sequence: u64,
    /// The parts so far of one that came in several.
    pieces: Option<ExperimentSecond>,
}

impl Seconds {
    async fn join(bus: &Bus, id: &str) -> Result<Self> {
        let (stream, subject) = (bus.namespace().stream_second(), bus.namespace().experiment_second(id));
        let last = bus.last_message(&stream, &subject).await?;
        // Of one in several parts, the last may be any of them: begin with the first.
        let start = match last {
            Some(last) => {
                let part = codec::decode::<ExperimentSecond>(&last.payload).map_or(0, |second| second.part);
                last.sequence.saturating_sub(u64::from(part)).max(1)
            }
            None => 1,
        };
        let tail = bus.tail(&stream, &subject, Start::FromSequence(start)).await?;
        Ok(Self { tail, through_sequence: start.saturating_sub(1), pieces: None })
    }

    /// The next second that is complete; cancel-safe.
    async fn next(&mut self) -> Result<ExperimentSecond> {
        loop {
            let stored = self.tail.next().await?;
            if let Some(second) = self.take(&stored) {
                return Ok(second);
            }
        }
    }

    fn take(&mut self, stored: &StoredMessage) -> Option<ExperimentSecond> {
        self.through_sequence = stored.sequence;
        let piece: ExperimentSecond = codec::decode(&stored.payload).ok()?;
        if piece.late {
            return None;
        }
        if piece.part == 0 {
            self.pieces = Some(piece);
        } else {
            let sum = self.pieces.as_mut()?;
            if (sum.second, sum.revision, sum.part + 1) != (piece.second, piece.revision, piece.part) {
                self.pieces = None;
                return None;
            }
            add_piece(sum, &piece).ok()?;
            sum.part = piece.part;
        }
        self.pieces.take_if(|sum| sum.part + 1 >= sum.parts)
    }

    /// Shows what is in the stream already and has not been read; gives up when it does not come.
    async fn rest(&mut self, bus: &Bus, id: &str, mut show: impl FnMut(ExperimentSecond)) {
        let namespace = bus.namespace();
        let last = bus.last_sequence_of(&namespace.stream_second(), &namespace.experiment_second(id)).await;
        let Ok(Some(last)) = last else { return };
        while self.through_sequence < last {
            let Ok(Ok(stored)) = tokio::time::timeout(REQUEST_TIMEOUT, self.tail.next()).await else { return };
            self.take(&stored).into_iter().for_each(&mut show);
        }
    }
}

/// Asks the daemon that holds the run to end it.
pub(crate) async fn cancel(bus: &Bus, id: &str, reason: &str) -> Result<()> {
    let control = Control::Cancel { reason: reason.to_owned(), who: None };
    let subject = bus.namespace().experiment_control(id);
    let reply: ControlReply = bus.request_message(&subject, "control.v1", &control, REQUEST_TIMEOUT).await?;
    match reply.error {
        None => Ok(()),
        Some(error) => Err(anyhow!(error)),
    }
}
