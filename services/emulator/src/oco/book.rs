//! What is known of all applications. Events of one application are taken one after another, whichever way they come.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::answer::{self, Answer};
use super::keep::bucket::Bucket;
use super::keep::log::Log;
use super::keep::{Kept, Last, must_keep};
use super::machine::{Event, Input, Machine, Mode, Refusal, Reply};
use super::request::{self, Heard, fnv};
use super::settings::{Live, Settings};
use crate::form::Form;
use counters::{Counters, EVENTS};

pub(crate) mod counters;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;

/// Parts of the book, each with a lock of its own.
const SHARDS: usize = 16;
/// Applications whose entries are written to a bucket at a time, at most.
const LANES: usize = 1024;

/// Where the book is kept.
#[derive(Debug)]
pub(crate) enum Keeper {
    Nowhere,
    File(Log),
    Bucket { bucket: Bucket, lanes: Vec<tokio::sync::Mutex<()>> },
}

impl Keeper {
    pub(crate) fn bucket(bucket: Bucket) -> Self {
        Self::Bucket { bucket, lanes: (0..LANES).map(|_| tokio::sync::Mutex::default()).collect() }
    }
}

/// An application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct App {
    machine: Machine,
    last: Option<Last>,
    /// Nothing was heard of it since it was read from where it is kept.
    is_restored: bool,
    /// Of its entry in a bucket; 0 where it has none.
    revision: u64,
    /// Events that were accepted, by kind.
    events: [u32; EVENTS],
    /// Events that were refused.
    errors: u32,
}

impl App {
    const fn new(machine: Machine) -> Self {
        Self { machine, last: None, is_restored: false, revision: 0, events: [0; EVENTS], errors: 0 }
    }
}

type Shard = HashMap<Box<str>, App>;

/// All applications.
#[derive(Debug)]
pub(crate) struct Book {
    shards: [Mutex<Shard>; SHARDS],
    pub(crate) live: Live,
    keeper: Keeper,
    pub(crate) counters: Counters,
}

/// Who speaks.
struct Speaker<'a> {
    app: &'a str,
    mode: Mode,
    settings: &'a Settings,
}

/// What an event does, before it is done.
struct Planned {
    /// The application as it will be; none where it stays unknown.
    app: Option<App>,
    /// It must be kept before the answer is sent.
    must_keep: bool,
    outcome: Result<Reply, Refusal>,
}

impl Book {
    /// A book with what was kept of an earlier one.
    pub(crate) fn new(live: Live, keeper: Keeper, kept: impl IntoIterator<Item = (Kept<'static>, u64)>) -> Self {
        let mut shards: [Shard; SHARDS] = std::array::from_fn(|_| Shard::new());
        let counters = Counters::default();
        for (Kept { key, machine, last }, revision) in kept {
            let app = App { last, is_restored: true, revision, ..App::new(machine) };
            if let Some(shard) = shards.get_mut(shard_of(&key))
                && shard.insert(key.into_owned().into(), app).is_none()
            {
                counters.app();
            }
        }
        Self { shards: shards.map(Mutex::new), live, keeper, counters }
    }

    /// Whether an event is taken without waiting for anything.
    pub(crate) fn is_immediate(&self) -> bool {
        !matches!(self.keeper, Keeper::Bucket { .. })
    }

    /// Takes the body of an event; account and application are names.
    pub(crate) async fn take(&self, account: &str, app: &str, body: &[u8], form: Form) -> Answer {
        let heard = match request::read(body, form) {
            Ok(heard) => heard,
            Err(error) => {
                self.counters.unreadable();
                return answer::unreadable(&error);
            }
        };
        let settings = self.live.now();
        let mode = settings.mode(account);
        // Strict mode is as blind to accounts as the original.
        let key = match mode {
            Mode::Strict => Cow::Borrowed(app),
            Mode::Service => Cow::Owned(format!("{account}/{app}")),
        };
        let speaker = Speaker { app, mode, settings: &settings };
        let answer = match &self.keeper {
            Keeper::Nowhere => self.take_now(&key, &speaker, &heard, 0, |_| Ok(())),
            Keeper::File(log) => self.take_now(&key, &speaker, &heard, fnv(body), |kept| log.append(kept)),
            Keeper::Bucket { bucket, lanes } => {
                let hash = fnv(body);
                let lane = lanes.get(slot(&key, lanes.len()));
                let _turn = match lane {
                    Some(lane) => Some(lane.lock().await),
                    None => None,
                };
                self.take_through(&key, &speaker, &heard, hash, bucket).await
            }
        };
        match answer {
            Ok(answer) => answer,
            Err(problem) => {
                // Not each of many: the first, the second, the fourth …
                let times = self.counters.turned_away();
                if times.is_power_of_two() {
                    tracing::warn!(app, problem, times, "events are turned away");
                }
                Answer::error(503, problem)
            }
        }
    }

    fn take_now(
        &self,
        key: &str,
        speaker: &Speaker<'_>,
        heard: &Heard,
        hash: u64,
        keep: impl FnOnce(&Kept<'_>) -> std::io::Result<()>,
    ) -> Result<Answer, String> {
        let mut shard = self.shard(key);
        let mut place = shard.get_mut(key);
        let planned = self.plan(place.as_deref().copied(), speaker, &heard.input, hash)?;
        if let (true, Some(App { machine, last, .. })) = (planned.must_keep, planned.app) {
            let kept = Kept { key: Cow::Borrowed(key), machine, last };
            keep(&kept).map_err(|error| not_kept(speaker.app, &error))?;
        }
        match (planned.app, &mut place) {
            (Some(app), Some(place)) => **place = app,
            (Some(app), None) => {
                shard.insert(key.into(), app);
                self.counters.app();
            }
            (None, _) => {}
        }
        drop(shard);
        Ok(self.answer(speaker, heard, &planned))
    }

    /// The same through a bucket. The application's turn is held by the caller.
    async fn take_through(
        &self,
        key: &str,
        speaker: &Speaker<'_>,
        heard: &Heard,
        hash: u64,
        bucket: &Bucket,
    ) -> Result<Answer, String> {
        let known = self.shard(key).get(key).copied();
        let mut planned = self.plan(known, speaker, &heard.input, hash)?;
        if let (true, Some(app)) = (planned.must_keep, &mut planned.app) {
            let kept = Kept { key: Cow::Borrowed(key), machine: app.machine, last: app.last };
            let written = bucket.put(&kept, app.revision).await;
            app.revision = written.map_err(|error| not_kept(speaker.app, &error))?;
        }
        if let Some(app) = planned.app
            && self.shard(key).insert(key.into(), app).is_none()
        {
            self.counters.app();
        }
        Ok(self.answer(speaker, heard, &planned))
    }

    fn plan(&self, known: Option<App>, speaker: &Speaker<'_>, input: &Input, hash: u64) -> Result<Planned, String> {
        let rules = speaker.settings.rules(speaker.app, speaker.mode);
        let resync = speaker.settings.config.resync;
        let is_kept = !matches!(self.keeper, Keeper::Nowhere);
        let known_machine = known.map(|app| app.machine);
        let Some(mut app) = known.or_else(|| match input.event {
            // Registered even if that is all it comes to.
            Event::Hello => Some(App::new(Machine::new())),
            event if resync => Machine::inferred(event, rules.script).map(App::new),
            _ => None,
        }) else {
            return Ok(Planned { app: None, must_keep: false, outcome: Err(Refusal::UnknownApp) });
        };
        if known.is_none() {
            let apps_max = speaker.settings.config.apps_max;
            if self.counters.apps() >= apps_max as u64 {
                return Err(format!("no more applications than apps_max, {apps_max}, may register; raise apps_max"));
            }
        }
        let restored = std::mem::take(&mut app.is_restored);
        if let (true, Some(last)) = (restored, app.last)
            && last.hash == hash
        {
            // It was accepted, and its answer was lost with the process.
            return Ok(Planned { app: Some(app), must_keep: false, outcome: Ok(last.reply) });
        }
        let outcome = app.machine.step(input, rules);
        if outcome.is_err() && known.is_none() && input.event != Event::Hello {
            return Ok(Planned { app: None, must_keep: false, outcome: Err(Refusal::UnknownApp) });
        }
        match outcome {
            Ok(_) => counters::count(&mut app.events, input.event),
            Err(_) => app.errors = app.errors.saturating_add(1),
        }
        let must_keep = is_kept && known_machine.is_none_or(|known| must_keep(&known, &app.machine));
        if let (true, Ok(reply)) = (must_keep, outcome) {
            app.last = Some(Last { hash, reply });
        }
        Ok(Planned { app: Some(app), must_keep, outcome })
    }

    fn answer(&self, speaker: &Speaker<'_>, heard: &Heard, planned: &Planned) -> Answer {
        let Speaker { app, mode, settings } = *speaker;
        match (planned.outcome, planned.app) {
            (Ok(reply), Some(known)) => {
                self.counters.accepted(heard.input.event);
                answer::accepted(reply, &known.machine, mode, settings)
            }
            (Ok(_), None) => answer::refused(Refusal::UnknownApp, heard, app, mode),
            (Err(refusal), _) => {
                self.counters.refused();
                tracing::debug!(app, event = heard.name(), state = ?planned.app.map(|app| app.machine), ?refusal, "refused");
                answer::refused(refusal, heard, app, mode)
            }
        }
    }

    /// Writes the file of state anew, if there is one and it has become long, or `always`. Everything waits meanwhile.
    pub(crate) fn compact(&self, always: bool) -> std::io::Result<()> {
        let Keeper::File(log) = &self.keeper else { return Ok(()) };
        if !always && !log.is_long() {
            return Ok(());
        }
        let shards: Vec<MutexGuard<'_, Shard>> = self.shards.iter().map(lock).collect();
        let entries = shards.iter().flat_map(|shard| shard.iter());
        log.rewrite(entries.map(|(key, app)| Kept { key: Cow::Borrowed(key), machine: app.machine, last: app.last }))
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        lock(self.shards.get(shard_of(key)).unwrap_or(first))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_kept(app: &str, error: &dyn std::fmt::Display) -> String {
    format!("the state of {app} could not be kept: {error}; send the event again")
}

fn slot(key: &str, slots: usize) -> usize {
    (fnv(key.as_bytes()) % slots.max(1) as u64) as usize
}

fn shard_of(key: &str) -> usize {
    slot(key, SHARDS)
}
