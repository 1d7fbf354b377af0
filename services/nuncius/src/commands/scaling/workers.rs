//! The workers of the queue: brought to a number, counted in the registry, and watched while they are measured.
//!
//! Layout: `processes` are workers of this machine; `kubectl` scales a deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nuncius_bus::Bus;
use nuncius_schemas::codec;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::scaling::ScalingWorkers;
use nuncius_schemas::units::HumanDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::measure::pause;
use super::{Scene, Wanted};

mod kubectl;
mod processes;

use kubectl::Deployment;
use processes::{Launch, Processes};

/// How often the registry is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Whoever waits for longer than this is told what is waited for.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// Where workers come from.
enum Source {
    Processes(Processes),
    /// Somebody else starts and stops them.
    Others,
    Kubectl(Deployment),
}

/// The workers of one queue.
pub(super) struct Workers {
    bus: Bus,
    queue: String,
    slots: u32,
    patience: HumanDuration,
    interrupted: CancellationToken,
    source: Source,
}

/// A worker as the registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of its incarnation.
    epoch: u64,
    /// Raised whenever the worker says that it is still there.
    revision: u64,
    slots: u32,
}

/// Workers by their names.
pub(super) type Registered = BTreeMap<String, Entry>;

impl Workers {
    /// Nothing is started yet.
    pub(super) fn new(scene: &Scene<'_>, wanted: &Wanted, interrupted: CancellationToken) -> Result<Self> {
        let scaling = &wanted.scaling;
        let source = match &scaling.workers {
            ScalingWorkers::Local { command, slots } => {
                Source::Processes(Processes::new(Launch::new(scene, &wanted.id, &wanted.queue, *slots, command)?))
            }
            ScalingWorkers::Wait { .. } => Source::Others,
            ScalingWorkers::Kubectl { deployment, namespace, .. } => {
                Source::Kubectl(Deployment::new(deployment, namespace.as_deref(), scaling.patience.to_std()))
            }
        };
        Ok(Self {
            bus: scene.bus.clone(),
            queue: wanted.queue.clone(),
            slots: scaling.workers.slots(),
            patience: scaling.patience,
            interrupted,
            source,
        })
    }

    /// Returns once exactly `count` workers are registered.
    ///
    /// # Errors
    /// When they are not within the patience, when one that was started has ended, or when there is no starting.
    pub(super) async fn bring(&mut self, count: u32) -> Result<()> {
        match &mut self.source {
            Source::Processes(processes) => processes.bring(count)?,
            Source::Others => {}
            Source::Kubectl(deployment) => deployment.scale(count, &self.interrupted).await?,
        }
        let begun = Instant::now();
        let mut told = None;
        loop {
            if let Source::Processes(processes) = &mut self.source
                && let Some(problem) = processes.ended()
            {
                bail!(problem);
            }
            let found = self.registered().await?.len();
            if found == count as usize {
                return Ok(());
            }
            let after = begun.elapsed();
            if after >= self.patience.to_std() {
                bail!("{} after {} (scaling.patience){}", self.lacks(found, count), self.patience, self.advice());
            }
            if after >= TELL_AFTER && told != Some(found) {
                crate::output::note(&format!("{:>9}  {}", "waiting", self.lacks(found, count)));
                told = Some(found);
            }
            pause(LOOK, &self.interrupted).await?;
        }
    }

    fn lacks(&self, found: usize, count: u32) -> String {
        let workers = |number: usize| if number == 1 { "1 worker".to_owned() } else { format!("{number} workers") };
        let are = if found == 1 { "is" } else { "are" };
        format!("{} of queue {} {are} there, {count} wanted", workers(found), self.queue)
    }

    fn advice(&self) -> String {
        match &self.source {
            Source::Processes(processes) => {
                format!(
                    "; workers that this run did not start have to go, and why its own do not come is in {}",
                    processes.logs()
                )
            }
            Source::Others => format!(
                "; start or stop some while it waits: nuncius worker --queue {} --slots {} COMMAND",
                self.queue, self.slots
            ),
            Source::Kubectl(deployment) => format!("; see `{}`", deployment.describe()),
        }
    }

    /// The workers, where exactly `count` with the right slots are there.
    pub(super) async fn present(&self, count: u32) -> Result<Registered> {
        let found = self.registered().await?;
        if found.len() != count as usize {
            bail!(self.lacks(found.len(), count));
        }
        match found.iter().find(|(_, entry)| entry.slots != self.slots) {
            Some((name, entry)) => {
                bail!("worker {name} has {} slots, scaling.workers.slots says {}", entry.slots, self.slots)
            }
            None => Ok(found),
        }
    }

    /// Who of `before` is gone or came; `None` when the same workers were there all the time.
    pub(super) async fn lost_since(&mut self, before: &Registered) -> Result<Option<String>> {
        if let Source::Processes(processes) = &mut self.source {
            // The registry learns late of one that was killed.
            return match processes.ended() {
                Some(problem) => Ok(Some(problem)),
                None => Ok(difference(before, &self.registered().await?)),
            };
        }
        // The entry of one that was killed stays until it runs out: only what is renewed from now on is alive.
        let after = self.registered().await?;
        let longest = self.nodes().await?.max_age().unwrap_or_default() * 2;
        let deadline = Instant::now() + longest;
        loop {
            let now = self.registered().await?;
            if let Some(problem) = difference(before, &now) {
                return Ok(Some(problem));
            }
            let is_silent = |name: &str, entry: &Entry| now.get(name).is_none_or(|now| now.revision <= entry.revision);
            let Some((name, _)) = after.iter().find(|(name, entry)| is_silent(name, entry)) else { return Ok(None) };
            if Instant::now() >= deadline {
                return Ok(Some(format!("worker {name} was not heard of for {longest:?}")));
            }
            pause(LOOK, &self.interrupted).await?;
        }
    }

    /// Stops what was started and puts back what was changed.
    pub(super) async fn stop(self) {
        match self.source {
            Source::Processes(processes) => processes.stop().await,
            Source::Others => {}
            Source::Kubectl(deployment) => deployment.put_back().await,
        }
    }

    async fn nodes(&self) -> Result<nuncius_bus::kv::Kv> {
        Ok(self.bus.kv(&self.bus.namespace().bucket_node()).await?)
    }

    async fn registered(&self) -> Result<Registered> {
        let entries = self.nodes().await?.entries(">").await.context("the registry cannot be read")?;
        let worker = |entry: &nuncius_bus::kv::Entry| {
            let info: NodeInfo = codec::decode(&entry.value).ok()?;
            let worker = info.worker.filter(|worker| worker.queue == self.queue)?;
            Some((info.name, Entry { epoch: info.epoch, revision: entry.revision, slots: worker.slots }))
        };
        Ok(entries.iter().filter_map(worker).collect())
    }
}

/// Says which worker is gone, has come or was started anew.
fn difference(before: &Registered, after: &Registered) -> Option<String> {
    for (name, entry) in before {
        match after.get(name) {
            None => return Some(format!("worker {name} was lost during the measurement")),
            Some(now) if now.epoch != entry.epoch => {
                return Some(format!("worker {name} was started anew during the measurement"));
            }
            Some(_) => {}
        }
    }
    let came = after.keys().find(|name| !before.contains_key(*name))?;
    Some(format!("worker {came} came during the measurement"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(entries: &[(&str, u64)]) -> Registered {
        let entry = |(name, epoch): &(&str, u64)| ((*name).to_owned(), Entry { epoch: *epoch, revision: 1, slots: 1 });
        entries.iter().map(entry).collect()
    }

    #[test]
    fn a_worker_that_goes_comes_or_begins_anew_is_named() {
        let before = registered(&[("a", 1), ("b", 2)]);
        let told = |after: &[(&str, u64)]| difference(&before, &registered(after)).unwrap_or_default();
        assert_eq!(told(&[("a", 1), ("b", 2)]), "");
        assert!(told(&[("a", 1)]).contains("b was lost"));
        assert!(told(&[("a", 1), ("b", 3)]).contains("b was started anew"));
        assert!(told(&[("a", 1), ("b", 2), ("c", 1)]).contains("c came"));
        // It says that it is still there.
        let mut later = before.clone();
        later.get_mut("a").unwrap().revision = 9;
        assert_eq!(difference(&before, &later), None);
    }
}
