//! Telemetry of the machines that an experiment chose: held while its load is offered, stored as it comes.
//!
//! It stands beside the run and never holds it up. What is lost, too much, or not to be had is told as a warning; the
//! verdict does not rest on it. Another daemon that takes the run over goes on storing: holds outlive a daemon, and
//! what is there already is kept once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nuncius_bus::{Bus, Message, lease};
use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::MACHINES_MAX;
use nuncius_schemas::spec::TelemetrySpec;
use nuncius_schemas::subjects::telemetry_lease;
use nuncius_schemas::telemetry::{MachineDescription, NodeTelemetry, TelemetryControl, TelemetryState};
use nuncius_schemas::units::HumanDuration;
use nuncius_store::{Store, TelemetrySeries, telemetry_rows};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::daemon::Daemon;
use crate::journal::Journal;
use crate::stress::Told;

/// How long a hold lasts, and how often it is asked for again: a daemon that takes over has the time between.
const HOLD: HumanDuration = HumanDuration::from_secs(45);
const HOLD_AGAIN: Duration = Duration::from_secs(10);
/// How long a sampler may take to answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Samples that may wait to be stored, and their bytes as they came.
const WAITING_MAX: usize = 4_096;
const WAITING_MAX_BYTES: usize = 64 << 20;
/// Most that are written in one transaction, and how long they are gathered for one.
const BATCH: usize = 256;
const GATHER: Duration = Duration::from_millis(500);
/// Pause before what the store did not take is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Different warnings that are told of one run.
const TOLD_MAX: usize = 32;

/// The telemetry of one run. Dropped, nothing more is stored, and the holds run out by themselves.
pub(crate) struct Telemetry {
    site: Site,
    stop: CancellationToken,
    told: mpsc::Receiver<Told>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Clone)]
struct Site {
    bus: Bus,
    store: Store,
    experiment: String,
    wanted: TelemetrySpec,
    rows_max: u64,
    patience: Duration,
    tell: mpsc::Sender<Told>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    waiting_bytes: AtomicUsize,
    /// Samples that were not stored because others waited, and because of the limit of rows.
    too_many: AtomicU64,
    beyond_limit: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    said: BTreeSet<String>,
    /// Machines that are held, and those that told something.
    held: BTreeSet<String>,
    heard: BTreeSet<String>,
    /// What they say that they are.
    machines: BTreeMap<String, MachineDescription>,
    /// Why the store does not take what waits.
    trouble: Option<String>,
}

impl State {
    /// Notes what a machine is, of as many as a report describes.
    fn describe(&mut self, node: &str, machine: MachineDescription) {
        if self.machines.len() < MACHINES_MAX || self.machines.contains_key(node) {
            self.machines.insert(node.to_owned(), machine);
        }
    }
}

impl Telemetry {
    /// Begins to hold and to store, where an experiment wants it.
    pub(crate) fn start(daemon: &Daemon, experiment: &str, wanted: Option<&TelemetrySpec>) -> Option<Self> {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let site = Site {
            bus: daemon.bus.clone(),
            store: daemon.store.clone(),
            experiment: experiment.to_owned(),
            wanted: wanted?.clone(),
            rows_max: daemon.timing.telemetry_rows,
            patience: daemon.timing.store_patience,
            tell,
            tally: Arc::default(),
        };
        let stop = CancellationToken::new();
        let (heard, waiting) = mpsc::channel(WAITING_MAX);
        let tasks = vec![
            tokio::spawn(site.clone().hold(stop.clone())),
            tokio::spawn(site.clone().hear(heard, stop.clone())),
            tokio::spawn(site.clone().keep(waiting)),
        ];
        Some(Self { site, stop, told, tasks })
    }

    /// What there is to tell by now.
    pub(crate) fn told(telemetry: Option<&mut Self>) -> Vec<Told> {
        telemetry.map(Self::take_told).unwrap_or_default()
    }

    fn take_told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Lets the machines go, and waits until what has come is stored, as long as is waited for the store. Gives what
    /// there is to tell.
    async fn stop(mut self) -> Vec<Told> {
        self.stop.cancel();
        let patience = self.site.patience;
        let stored = async {
            for task in &mut self.tasks {
                let _ = task.await;
            }
        };
        let is_stored = tokio::time::timeout(patience, stored).await.is_ok();
        let mut told = self.take_told();
        let warn = |text: String| (EventKind::Warning, format!("telemetry: {text}"));
        told.extend(self.site.missing(is_stored).await.into_iter().map(warn));
        told
    }
}

/// Tells it, as events of the run on which no verdict rests.
pub(crate) async fn say(journal: &mut Journal, told: Vec<Told>) {
    for (kind, text) in told {
        journal.say(kind, &text, BTreeMap::new()).await;
    }
}

/// Ends the telemetry of a run, and tells what is to be told; what the sampled machines are.
pub(crate) async fn end(journal: &mut Journal, telemetry: Option<Telemetry>) -> BTreeMap<String, MachineDescription> {
    let Some(telemetry) = telemetry else { return BTreeMap::new() };
    let site = telemetry.site.clone();
    say(journal, telemetry.stop().await).await;
    site.state(|state| std::mem::take(&mut state.machines))
}

impl Site {
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.tally.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells it, once.
    fn warn(&self, text: String) {
        if self.state(|state| state.said.len() < TOLD_MAX && state.said.insert(text.clone())) {
            // There is room for all that are told.
            let _ = self.tell.try_send((EventKind::Warning, format!("telemetry: {text}")));
        }
    }

    /// The machines that are sampled and meant.
    async fn meant(&self) -> Result<Vec<String>, nuncius_bus::BusError> {
        let bucket = self.bus.kv(&self.bus.namespace().bucket_lease()).await?;
        let mut nodes = lease::names_under(&bucket, &telemetry_lease("")).await?;
        nodes.retain(|node| self.wanted.nodes.contain(node));
        Ok(nodes)
    }

    /// Has machines sampled until it is told to stop; then lets them go.
    async fn hold(self, stop: CancellationToken) {
        let mut again = tokio::time::interval(HOLD_AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = again.tick() => {}
            }
            match self.meant().await {
                Ok(nodes) => {
                    let control = TelemetryControl::Hold {
                        experiment: self.experiment.clone(),
                        period: self.wanted.period,
                        lasts: HOLD,
                    };
                    for (node, problem) in self.ask_all(&nodes, &control).await {
                        self.warn(format!("node {node} is not asked for samples: {problem}"));
                    }
                    self.state(|state| state.held.extend(nodes));
                }
                Err(error) => debug!(experiment = self.experiment, %error, "machines are not held"),
            }
        }
        // Those that were heard and never held, too: they answer what they are. One that does not hear it stops by
        // itself.
        let known: Vec<String> = self.state(|state| state.held.union(&state.heard).cloned().collect());
        self.ask_all(&known, &TelemetryControl::Release { experiment: self.experiment.clone() }).await;
    }

    /// What did not go well, by node.
    async fn ask_all(&self, nodes: &[String], control: &TelemetryControl) -> Vec<(String, String)> {
        let asked = nodes.iter().map(async |node| {
            let subject = self.bus.namespace().telemetry_control(node);
            let schema = "telemetry-control.v1";
            let asked = self.bus.request_message::<_, TelemetryState>(&subject, schema, control, COMMAND_TIMEOUT).await;
            let problem = match asked {
                Ok(TelemetryState { error, machine, .. }) => {
                    self.state(|state| state.describe(node, machine));
                    error
                }
                Err(error) => Some(error.to_string()),
            };
            problem.map(|problem| (node.clone(), problem))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Takes what machines tell, and never waits for the store: others would not be heard meanwhile.
    async fn hear(self, heard: mpsc::Sender<(usize, NodeTelemetry)>, stop: CancellationToken) {
        let subject = self.bus.namespace().telemetry("*");
        loop {
            match self.bus.subscribe(&subject).await {
                Ok(mut samples) => loop {
                    tokio::select! {
                        biased;
                        message = samples.next() => match message {
                            Some(message) => self.take(&message, &heard),
                            None => break,
                        },
                        () = stop.cancelled() => return,
                    }
                },
                Err(error) => self.warn(format!("samples cannot be heard: {error}")),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }

    fn take(&self, message: &Message, heard: &mpsc::Sender<(usize, NodeTelemetry)>) {
        let prefix = self.bus.namespace().telemetry("");
        let Some(node) = message.subject.strip_prefix(&prefix).filter(|node| self.wanted.nodes.contain(node)) else {
            return;
        };
        let bytes = message.payload.len();
        let sample: NodeTelemetry = match message.decode() {
            Ok(sample) => sample,
            Err(error) => return self.warn(format!("a sample of node {node} cannot be read: {error}")),
        };
        if sample.node != node {
            let claimed: String = sample.node.chars().take(64).collect();
            return self.warn(format!("node {node} told a sample of `{}`", claimed.escape_debug()));
        }
        self.state(|state| state.heard.insert(node.to_owned()));
        let waiting = self.tally.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > WAITING_MAX_BYTES || heard.try_send((bytes, sample)).is_err() {
            self.tally.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.tally.too_many.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Stores what was heard, until nobody hears any more.
    async fn keep(self, mut waiting: mpsc::Receiver<(usize, NodeTelemetry)>) {
        let mut series = TelemetrySeries::default();
        // What another daemon has stored counts.
        let mut rows = loop {
            match self.store.telemetry_rows(&self.experiment).await {
                Ok(rows) => break rows,
                Err(error) => self.state(|state| state.trouble = Some(error.to_string())),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        };
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let bytes: usize = batch.iter().map(|(bytes, _)| bytes).sum();
            let mut samples = Vec::new();
            for (_, sample) in batch.drain(..) {
                let more = telemetry_rows(&sample);
                if rows + more > self.rows_max {
                    self.tally.beyond_limit.fetch_add(1, Ordering::Relaxed);
                    self.warn(format!(
                        "{} figures are stored, the limit (`--telemetry-rows` of the daemon): the rest is not",
                        self.rows_max
                    ));
                    continue;
                }
                rows += more;
                samples.push(sample);
            }
            if !samples.is_empty() {
                self.write(&samples, &mut series).await;
            }
            self.tally.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // One transaction has many: each costs a write of the disk.
            if !waiting.is_closed() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// Writes, however long the store does not take it: what cannot wait meanwhile is counted.
    async fn write(&self, samples: &[NodeTelemetry], series: &mut TelemetrySeries) {
        loop {
            match self.store.add_telemetry(&self.experiment, samples, series).await {
                Ok(_) => {
                    self.state(|state| state.trouble = None);
                    return;
                }
                Err(error) if error.is_of_the_data() => return self.warn(format!("samples are not stored: {error}")),
                Err(error) => {
                    debug!(experiment = self.experiment, %error, "telemetry not stored, trying again");
                    self.state(|state| state.trouble = Some(error.to_string()));
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// What there is not, at the end.
    async fn missing(&self, is_stored: bool) -> Vec<String> {
        let mut missing = Vec::new();
        let trouble = self.state(|state| state.trouble.clone());
        if !is_stored || trouble.is_some() {
            let reason = trouble.unwrap_or_else(|| "it is too slow".to_owned());
            missing.push(format!("the last samples are not stored: {reason}"));
        }
        let too_many = self.tally.too_many.load(Ordering::Relaxed);
        if too_many > 0 {
            missing.push(format!(
                "{too_many} samples are not stored: more than {WAITING_MAX} of them, or {WAITING_MAX_BYTES} bytes, \
                 waited for the store"
            ));
        }
        let beyond_limit = self.tally.beyond_limit.load(Ordering::Relaxed);
        if beyond_limit > 0 {
            missing.push(format!("{beyond_limit} samples came after the limit of {} figures", self.rows_max));
        }
        let (held, heard) = self.state(|state| (state.held.clone(), state.heard.clone()));
        if held.is_empty() && heard.is_empty() {
            let patterns = self.wanted.nodes.0.join(", ");
            missing.push(format!("no machine of `{patterns}` is sampled; start `nuncius telemetry` there"));
        }
        missing.extend(held.difference(&heard).map(|node| format!("node {node} told nothing")));
        match self.store.telemetry_coverage(&self.experiment).await {
            Ok(coverage) => missing.extend(coverage.iter().filter_map(|of| {
                let lost = (of.last_sequence + 1).saturating_sub(of.first_sequence).saturating_sub(of.samples);
                (lost > 0).then(|| format!("{lost} samples of node {} are missing between its others", of.node))
            })),
            Err(error) => missing.push(format!("whether all samples are stored is not known: {error}")),
        }
        missing
    }
}
