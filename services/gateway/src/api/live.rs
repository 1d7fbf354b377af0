//! Live: what is told of a run, and what changes in the system, as server-sent events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode};
use nuncius_bus::BusError;
use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_control::experiments;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};

use super::asked::Asked;
use super::endpoint::{Content, Endpoint};
use super::parameter::{Kind as Of, Parameter};
use super::state::ApiState;
use super::stream::{self, Gone, HEARTBEAT, Lines};
use crate::known::Now;
use crate::live::{Definitions, Frame, Kind, Place, Reader, Seat};
use crate::problem::Problem;

/// Pause before something is tried again that the bus refused.
const PAUSE: Duration = Duration::from_millis(250);
/// How often is looked whether a run is over of which nobody told so.
const LOOK: Duration = Duration::from_secs(2);
/// How long the last seconds may take to come after the end was told.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// Stands for what comes from now on.
const NOW: &str = "now";

const AFTER: Parameter = Parameter::new(
    "after",
    Of::Text,
    "Where to begin, for who does not say it in last-event-id: SECOND.EVENT, or now; the beginning without it.",
);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let events = Content::of(&["text/event-stream"]);
    vec![
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/live",
            "follow-experiment",
            "Server-sent events of a run: definitions, then second and event, and end. The id is SECOND.EVENT, the \
             sequences in the two streams of the bus.",
            follow,
        )
        .parameters(&[AFTER])
        .headers(&[("last-event-id", "The id of the last event that was seen: what came after it is told.")])
        .gives(StatusCode::OK, Some(events))
        .gives(StatusCode::NO_CONTENT, None),
        Endpoint::new(
            Method::GET,
            "/live",
            "follow-system",
            "Server-sent events of the system: now, then each change of a run, a node or a queue.",
            follow_system,
        )
        .gives(StatusCode::OK, Some(events)),
    ]
}

fn seat(api: &ApiState) -> Result<Seat, Problem> {
    let hub = api.hub();
    hub.seat().ok_or_else(|| {
        let text =
            format!("as many readers of live streams as there may be, {}; see --live-clients", hub.clients_max());
        Problem::busy("too-many-readers", text)
    })
}

async fn follow(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?.to_owned();
    let seat = seat(&api)?;
    let found = experiments::record(api.bus(), &id).await?;
    let (record, _) =
        found.ok_or_else(|| Problem::not_found(format!("the bus knows no experiment {id} (any more)")))?;
    let last_seen = asked.header("last-event-id").filter(|text| !text.is_empty());
    let wrong = |field: &str| Problem::parameter(field, "write it as SECOND.EVENT, two sequences");
    let begin = match (last_seen, asked.text("after")) {
        (Some(seen), _) => Some(seen.parse::<Place>().map_err(|()| wrong("last-event-id"))?),
        (None, Some(NOW)) => None,
        (None, Some(after)) => Some(after.parse().map_err(|()| wrong("after"))?),
        (None, None) => Some(Place::default()),
    };
    let reader = api.hub().open(&id, Definitions::of(&record)).await?;
    let end = end_of(&reader);
    // Whoever has seen the end comes again by itself: this tells a browser not to.
    if last_seen.is_some()
        && record.is_told()
        && begin.is_some_and(|at| at.second >= end.second && at.event >= end.event)
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (lines, answer) = stream::open();
    let session = Session { api, id, lines, place: begin.unwrap_or(end), _seat: seat };
    tokio::spawn(session.run(reader));
    Ok(answer)
}

/// Where what the follower has ends.
fn end_of(reader: &Reader) -> Place {
    let mut end = reader.from;
    reader.ready.iter().for_each(|frame| end.pass(frame.kind, frame.sequence));
    end
}

/// One reader.
struct Session {
    api: ApiState,
    id: String,
    lines: Lines,
    place: Place,
    _seat: Seat,
}

/// Whether the run goes on.
#[derive(PartialEq, Eq)]
enum Told {
    More,
    Over,
}

impl Session {
    async fn run(mut self, reader: Reader) {
        let shutdown = self.api.shutdown().clone();
        tokio::select! {
            _ = self.tell(reader) => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn tell(&mut self, mut reader: Reader) -> Result<(), Gone> {
        self.lines.retry().await?;
        self.forget_other_history(&reader).await?;
        let definitions = serde_json::to_string(reader.definitions()).unwrap_or_default();
        self.lines.event("definitions", Some(&self.place.to_string()), &definitions).await?;
        if self.replay(&reader).await? == Told::Over {
            return Ok(());
        }
        let ready = std::mem::take(&mut reader.ready);
        for frame in ready {
            if self.frame(&frame, &mut reader).await? == Told::Over {
                return Ok(());
            }
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut written, mut was_over) = (Instant::now(), false);
        loop {
            tokio::select! {
                told = reader.told.recv() => match told {
                    Ok(frame) => {
                        written = Instant::now();
                        if self.frame(&frame, &mut reader).await? == Told::Over {
                            return Ok(());
                        }
                    }
                    // It comes again, and goes on where it was.
                    Err(RecvError::Lagged(_)) => return self.lines.comment("too slow: come again").await,
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = look.tick() => {
                    // Cancelled while it waited, and no daemon there to tell; or removed. Twice, for an event that is
                    // under way.
                    let is_over = self.over_untold();
                    if let Some(end) = is_over.as_ref().filter(|_| was_over) {
                        return self.end(end).await;
                    }
                    was_over = is_over.is_some();
                    if written.elapsed() >= HEARTBEAT {
                        written = Instant::now();
                        self.lines.comment("there").await?;
                    }
                }
                () = self.lines.closed() => return Err(Gone),
            }
        }
    }

    /// Begins anew where the bus has lost what this reader has seen.
    async fn forget_other_history(&mut self, reader: &Reader) -> Result<(), Gone> {
        let end = end_of(reader);
        if self.place.second <= end.second && self.place.event <= end.event {
            return Ok(());
        }
        let (bus, names) = (self.api.bus(), self.api.bus().namespace());
        let (seconds, events) = (names.stream_second(), names.stream_event());
        let (seconds, events) = tokio::join!(bus.last_sequence(&seconds), bus.last_sequence(&events));
        if seconds.is_ok_and(|last| self.place.second > last) || events.is_ok_and(|last| self.place.event > last) {
            self.place = Place::default();
            self.lines.event(Kind::Reset.name(), Some(&self.place.to_string()), "{}").await?;
        }
        Ok(())
    }

    /// Tells what the follower does not have any more, from the streams, in the order in which it was published.
    async fn replay(&mut self, reader: &Reader) -> Result<Told, Gone> {
        let names = self.api.bus().namespace().clone();
        let (stream, subject) = (names.stream_second(), names.experiment_second(&self.id));
        let mut seconds = self.past(&stream, &subject, self.place.second, reader.from.second).await?;
        let (stream, subject) = (names.stream_event(), names.experiment_event(&self.id));
        let mut events = self.past(&stream, &subject, self.place.event, reader.from.event).await?;
        let definitions = reader.definitions();
        let mut end = None;
        loop {
            let kind = match (&seconds.next, &events.next) {
                (None, None) => break,
                (Some(second), Some(event)) if second.published_unix_ns <= event.published_unix_ns => Kind::Second,
                (Some(_), None) => Kind::Second,
                (_, Some(_)) => Kind::Event,
            };
            let past = if kind == Kind::Second { &mut seconds } else { &mut events };
            let Ok(Some(message)) = past.take().await else { return Err(Gone) };
            if let Some(frame) = Frame::read(&message, kind, definitions) {
                self.write(&frame).await?;
                end = frame.end.or(end);
            }
        }
        seconds.close().await;
        events.close().await;
        match end {
            Some(end) if reader.ready.is_empty() => self.end(&end).await.map(|()| Told::Over),
            Some(_) | None => Ok(Told::More),
        }
    }

    /// Opens what a stream has between two sequences; a server that is away is waited for.
    async fn past(&self, stream: &str, subject: &str, after: u64, last: u64) -> Result<Past, Gone> {
        loop {
            match Past::open(&self.api, stream, subject, after, last).await {
                Ok(past) => return Ok(past),
                Err(error) if error.is_transient() => tracing::debug!(stream, %error, "not read at present"),
                Err(_) => return Err(Gone),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.lines.closed() => return Err(Gone),
            }
        }
    }

    async fn frame(&mut self, frame: &Arc<Frame>, reader: &mut Reader) -> Result<Told, Gone> {
        if !self.place.is_before(frame.kind, frame.sequence) {
            return Ok(Told::More);
        }
        self.write(frame).await?;
        let Some(end) = &frame.end else { return Ok(Told::More) };
        self.last_seconds(reader).await?;
        self.end(end).await.map(|()| Told::Over)
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), Gone> {
        self.place.pass(frame.kind, frame.sequence);
        self.lines.event(frame.kind.name(), Some(&self.place.to_string()), &frame.data).await
    }

    /// Tells the seconds that were published before the end and come after it, by another way.
    async fn last_seconds(&mut self, reader: &mut Reader) -> Result<(), Gone> {
        let names = self.api.bus().namespace();
        let (stream, subject) = (names.stream_second(), names.experiment_second(&self.id));
        let last = self.api.bus().last_sequence_of(&stream, &subject).await.ok().flatten().unwrap_or(0);
        let deadline = Instant::now() + LAST_PATIENCE;
        let mut waiting: VecDeque<Arc<Frame>> = std::mem::take(&mut reader.ready);
        while self.place.second < last {
            let frame = match waiting.pop_front() {
                Some(frame) => frame,
                None => match tokio::time::timeout_at(deadline, reader.told.recv()).await {
                    Ok(Ok(frame)) => frame,
                    Ok(Err(_)) | Err(_) => return Ok(()),
                },
            };
            if self.place.is_before(frame.kind, frame.sequence) {
                self.write(&frame).await?;
            }
        }
        Ok(())
    }

    async fn end(&self, data: &str) -> Result<(), Gone> {
        self.lines.event("end", Some(&self.place.to_string()), data).await
    }

    /// The end of a run that nobody tells of on its subject.
    fn over_untold(&self) -> Option<String> {
        let end = match self.api.known().run(&self.id) {
            Some(head) if head.status.is_terminal() => json!({
                "status": head.status,
                "verdict": head.verdict,
                "reason": head.reason,
                "at_unix_ms": head.ended_unix_ms,
            }),
            Some(_) => return None,
            None if self.api.known().is_complete() => json!({ "status": null, "reason": "it was removed" }),
            None => return None,
        };
        Some(end.to_string())
    }
}

/// What a stream has of a run between two sequences.
struct Past {
    tail: Option<Tail>,
    next: Option<StoredMessage>,
    last: u64,
}

impl Past {
    async fn open(api: &ApiState, stream: &str, subject: &str, after: u64, last: u64) -> Result<Self, BusError> {
        if after >= last {
            return Ok(Self { tail: None, next: None, last });
        }
        let tail = api.bus().tail(stream, subject, Start::FromSequence(after + 1)).await?;
        let mut past = Self { tail: Some(tail), next: None, last };
        past.advance().await?;
        Ok(past)
    }

    async fn advance(&mut self) -> Result<(), BusError> {
        self.next = None;
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.pending() > 0 {
            let message = tail.next().await?;
            self.next = (message.sequence <= self.last).then_some(message);
        }
        Ok(())
    }

    /// Gives the next one.
    async fn take(&mut self) -> Result<Option<StoredMessage>, BusError> {
        let taken = self.next.take();
        self.advance().await?;
        Ok(taken)
    }

    async fn close(self) {
        if let Some(tail) = self.tail {
            tail.close().await;
        }
    }
}

async fn follow_system(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    drop(asked);
    let seat = seat(&api)?;
    let (lines, answer) = stream::open();
    let shutdown = api.shutdown().clone();
    let now = api.known().now();
    tokio::spawn(async move {
        let _seat = seat;
        tokio::select! {
            _ = tell_changes(&lines, now) => {}
            () = shutdown.cancelled() => {}
        }
    });
    Ok(answer)
}

async fn tell_changes(lines: &Lines, now: Now) -> Result<(), Gone> {
    let Now { runs, nodes, queues, mut changes } = now;
    let there = json!({ "runs": as_values(&runs), "nodes": as_values(&nodes), "queues": as_values(&queues) });
    lines.retry().await?;
    lines.event("now", None, &there.to_string()).await?;
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => {
                    lines.event(change.name(), None, &change.data()).await?;
                }
                Err(RecvError::Lagged(_)) => return lines.comment("too slow: come again").await,
                Err(RecvError::Closed) => return Ok(()),
            },
            () = tokio::time::sleep(HEARTBEAT) => lines.comment("there").await?,
            () = lines.closed() => return Err(Gone),
        }
    }
}

fn as_values<T: serde::Serialize>(all: &[Arc<T>]) -> Vec<serde_json::Value> {
    all.iter().filter_map(|one| serde_json::to_value(&**one).ok()).collect()
}
