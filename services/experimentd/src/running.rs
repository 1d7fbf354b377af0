//! What a run holds while it is under way, and how it is taken and given back.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::BusError;
use nuncius_bus::lease::Lease;
use nuncius_schemas::node::{GivenVariables, GroupVariables};
use nuncius_schemas::run::{RunRecord, RunStatus};
use tracing::Span;

use crate::control::ControlDesk;
use crate::daemon::{Daemon, give_back};
use crate::journal::{Journal, JournalError};
use crate::marks::Marks;
use crate::plan::Plan;

/// How long the bus may refuse what a run cannot do without.
const INSIST_PATIENCE: Duration = Duration::from_secs(60);
/// Pause before it is asked again.
const INSIST_PAUSE: Duration = Duration::from_millis(300);

/// Why a run came to its end before load was offered.
pub(crate) enum Stopped {
    /// It cannot be run; why.
    Failed(String),
    /// Somebody asked.
    Cancelled(String),
    /// It is no longer ours.
    NotOurs(JournalError),
}

impl From<JournalError> for Stopped {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Taken(RunStatus::Cancelled) => Self::Cancelled("cancelled while it waited".to_owned()),
            other => Self::NotOurs(other),
        }
    }
}

/// What a run holds while it is under way.
pub(crate) struct Running {
    pub(crate) daemon: Daemon,
    pub(crate) journal: Journal,
    pub(crate) control: ControlDesk,
    pub(crate) lease: Lease,
    pub(crate) span: Span,
    /// By group, what was made once before the load, for all sessions. It may be tokens, and is shown to nobody.
    pub(crate) given: BTreeMap<u16, GivenVariables>,
    /// Who does what, as it was planned last.
    pub(crate) plan: Option<Plan>,
}

impl Running {
    /// Takes a run whose lease is held into hand: its span continues the submission's trace, its control subject is
    /// listened to. `None` gives everything back, the lease included.
    pub(crate) async fn take(
        daemon: &Daemon,
        record: RunRecord,
        revision: u64,
        lease: Lease,
        span: Span,
    ) -> Option<Self> {
        let id = record.id.clone();
        if let Some(traceparent) = &record.traceparent {
            nuncius_telemetry::set_parent(&span, traceparent);
        }
        let marks = Marks::new(&daemon.bus, &id);
        match ControlDesk::open(&daemon.bus, &id, marks.clone()).await {
            Ok(control) => {
                let journal = Journal::new(daemon, record, revision, marks);
                let (given, plan) = Default::default();
                Some(Self { daemon: daemon.clone(), journal, control, lease, span, given, plan })
            }
            Err(error) => {
                tracing::warn!(experiment = %id, %error, "no control subject");
                leave(daemon, &id, lease).await;
                None
            }
        }
    }

    /// What sessions are given, as it travels.
    pub(crate) fn given_list(&self) -> Vec<GroupVariables> {
        let group = |(group, variables): (&u16, &GivenVariables)| GroupVariables {
            group: *group,
            variables: variables.clone(),
        };
        self.given.iter().map(group).collect()
    }

    /// Takes the lease again where it ran out, as it does in a long outage of the bus.
    ///
    /// # Errors
    /// Somebody else has it, or has had it meanwhile: the record says so.
    pub(crate) async fn keep_lease(&mut self) -> Result<(), JournalError> {
        if self.lease.is_valid() {
            return Ok(());
        }
        match self.daemon.acquire(&self.journal.record.id).await {
            Ok(Some(fresh)) => {
                self.lease = fresh;
                // Whoever looked after the run in between has written its record, and purged what is behind its books.
                self.journal.write().await
            }
            // Our own entry that was not renewed in time: it runs out, then it can be taken again.
            Ok(None) if self.lease.is_still_stored().await.unwrap_or(true) => Ok(()),
            Ok(None) => Err(JournalError::Held),
            // The bus is away: nobody else can take it either. Asked again at the next turn.
            Err(_) => Ok(()),
        }
    }

    /// Asks the bus for something without which the run cannot go on, until it answers.
    ///
    /// # Errors
    /// The run is no longer ours, or the bus has refused for longer than any outage that a run survives.
    pub(crate) async fn insist<T, F: Future<Output = Result<T, BusError>>>(
        &self,
        what: &str,
        ask: impl Fn() -> F,
    ) -> Result<T, Stopped> {
        let deadline = tokio::time::Instant::now() + INSIST_PATIENCE;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tracing::debug!(experiment = %self.journal.record.id, %error, what, "not yet: trying again");
            if self.daemon.shutdown.is_cancelled() {
                return Err(Stopped::NotOurs(JournalError::HandedOver));
            }
            if !self.lease.is_valid() {
                // Whoever has it next asks anew.
                return Err(Stopped::NotOurs(JournalError::Held));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Stopped::Failed(format!("{what}: {error}")));
            }
            tokio::time::sleep(INSIST_PAUSE).await;
        }
    }
}

/// Gives a run back, so that whoever sees its lease go, this daemon among them, may take it up.
pub(crate) async fn leave(daemon: &Daemon, id: &str, lease: Lease) {
    // In this order: while it is ours, we take no notice of the lease.
    daemon.forget(id);
    give_back(lease).await;
}
