//! One experiment on this node: from "get ready" to the last delta.

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nuncius_bundle::Held;
use nuncius_bus::Bus;
use nuncius_clock::monotonic_ns;
use nuncius_engine::{Control, EngineMessage};
use nuncius_schemas::node::{Extend, NodeReply, Prepare, RefusalCode, Start};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::collector::{CollectorInput, collect};
use crate::config::ClientConfig;
use crate::engines::{Engines, PrepareError, bundle_of, control_of};
use crate::health::HealthMeter;
use crate::heartbeat::Heartbeat;
use crate::recorded::with_arrivals;
use crate::reporter::{ReporterInput, report};
use crate::roster::Roster;
use crate::routes::Routes;
use crate::spans::RunSpans;

/// Messages of engine threads that may wait for the collector.
const ENGINE_QUEUE: usize = 256;

/// Why a session does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("already started at another instant")]
    OtherInstant,
    #[error("the start instant passed {0:?} ago")]
    Late(Duration),
}

impl StartError {
    /// What the daemon goes by.
    pub(crate) const fn code(&self) -> RefusalCode {
        match self {
            Self::OtherInstant => RefusalCode::Stale,
            Self::Late(_) => RefusalCode::Late,
        }
    }
}

/// An attempt of an experiment that this node works for. Dropped before its start, it ends and says nothing to anybody.
pub(crate) struct Session {
    pub(crate) experiment: String,
    pub(crate) attempt: u32,
    pub(crate) prepared_at_ns: u64,
    pub(crate) started: bool,
    /// Numbers of what was taken over from lost nodes.
    pub(crate) taken: BTreeSet<u32>,
    /// With what more threads are started.
    pub(crate) engines: Engines,
    control: Arc<Control>,
    start_at_ns: Arc<OnceLock<u64>>,
    start_unix_ns: Arc<OnceLock<u64>>,
    /// Span of the start on this node: the load that it offers hangs under it.
    parent_span_id: Arc<OnceLock<u64>>,
    /// Why the node itself ends its part early.
    leaving: Arc<OnceLock<String>>,
    /// Ends when the last delta has been stored.
    pub(crate) reporter: JoinHandle<()>,
}

impl Session {
    /// Plans and checks everything, and spawns the engine threads (which wait for the start), the collector and the
    /// reporter. Blocks until the threads are there; within a runtime, on a thread that may block.
    pub(crate) fn prepare(
        prepare: Arc<Prepare>,
        trace_id: u128,
        config: &ClientConfig,
        bus: &Bus,
        (node, epoch): (&str, u64),
    ) -> Result<Self, PrepareError> {
        let bundle = bundle_of(&prepare.spec, config, bus)?;
        let prepare = with_arrivals(prepare, bundle.as_deref().map(Held::path))?;
        let heartbeat = Heartbeat::start().map_err(|error| PrepareError::Thread(error.to_string()))?;
        let control = control_of(config);
        let (sink, messages) = sync_channel::<EngineMessage>(ENGINE_QUEUE);
        let roster = Arc::new(Roster::default());
        let engines = Engines {
            prepare: Arc::clone(&prepare),
            trace_id,
            config: config.clone(),
            bus: bus.clone(),
            control: Arc::clone(&control),
            sink,
            roster: Arc::clone(&roster),
            bundle,
            routes: Arc::new(Routes::new(prepare.routes.clone())),
            taken: Arc::default(),
        };
        engines.prepare()?;
        let start_at_ns = Arc::new(OnceLock::new());
        let start_unix_ns = Arc::new(OnceLock::new());
        let parent_span_id = Arc::new(OnceLock::new());
        let leaving = Arc::new(OnceLock::new());
        let (collected_sender, collected) = mpsc::channel(config.report_queue.max(1));
        let events_bus = bus.clone();
        let input = CollectorInput {
            messages,
            meter: HealthMeter::new(roster.take_new()),
            roster,
            heartbeat,
            start_at_ns: Arc::clone(&start_at_ns),
            slow_consumers: Box::new(move || {
                events_bus.events().slow_consumer.load(std::sync::atomic::Ordering::Relaxed)
            }),
        };
        std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || collect(input, &collected_sender))
            .inspect_err(|_| control.abandon())
            .map_err(|error| PrepareError::Thread(error.to_string()))?;
        let spans = RunSpans::new(
            (&prepare.experiment, node),
            trace_id,
            &prepare.spec,
            bus.namespace(),
            Arc::clone(&parent_span_id),
            Arc::clone(&start_unix_ns),
        );
        let reporter = tokio::spawn(report(ReporterInput {
            bus: bus.clone(),
            experiment: prepare.experiment.clone(),
            node: node.to_owned(),
            epoch,
            attempt: prepare.attempt,
            spec: prepare.spec.clone(),
            start_unix_ns: Arc::clone(&start_unix_ns),
            spans,
            leaving: Arc::clone(&leaving),
            collected,
        }));
        Ok(Self {
            experiment: prepare.experiment.clone(),
            attempt: prepare.attempt,
            prepared_at_ns: monotonic_ns(),
            started: false,
            taken: BTreeSet::new(),
            engines,
            control,
            start_at_ns,
            start_unix_ns,
            parent_span_id,
            leaving,
            reporter,
        })
    }

    /// Sets the run's instant zero; refuses one that has passed.
    pub(crate) fn start(&mut self, start: &Start, span_id: u64) -> Result<(), StartError> {
        let now = monotonic_ns();
        if self.started {
            // The daemon asks again when the answer was lost: the same start is the same start.
            return if self.start_at_ns.get() == Some(&start.start_at_ns) {
                Ok(())
            } else {
                Err(StartError::OtherInstant)
            };
        }
        if start.start_at_ns <= now {
            return Err(StartError::Late(Duration::from_nanos(now - start.start_at_ns)));
        }
        let _ = self.parent_span_id.set(span_id);
        let _ = self.start_unix_ns.set(start.start_unix_ns);
        let _ = self.start_at_ns.set(start.start_at_ns);
        self.control.start(start.start_at_ns, start.horizon_ns);
        self.started = true;
        Ok(())
    }

    /// What it is, for a daemon that takes the run up.
    pub(crate) fn standing(&self, epoch: u64) -> NodeReply {
        NodeReply::Standing {
            epoch,
            attempt: self.attempt,
            is_started: self.started,
            start_at_ns: self.start_at_ns.get().copied().unwrap_or(0),
            horizon_ns: self.control.horizon_ns(),
            taken: self.taken.iter().copied().collect(),
        }
    }

    /// Amendments before the horizon that lies beyond them.
    pub(crate) fn extend(&self, extend: &Extend) {
        self.control.amend(extend.amendments.as_slice().into());
        self.control.extend(extend.horizon_ns);
    }

    /// As [`Session::stop`], by the node's own will: the last delta says why, so that what is missing then is not taken
    /// for measured.
    pub(crate) fn leave(&self, drain_ns: u64, reason: &str) {
        let _ = self.leaving.set(reason.to_owned());
        self.stop(drain_ns);
    }

    /// Offers nothing more; a session that never started ends at once.
    pub(crate) fn stop(&self, drain_ns: u64) {
        if self.started {
            self.control.stop(drain_ns);
        } else {
            self.control.abandon();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.started {
            self.control.abandon();
        }
    }
}
