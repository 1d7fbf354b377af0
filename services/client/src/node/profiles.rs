//! Commands beside the load: run on threads that may block, so that nothing of them holds up what the node answers or
//! offers; never twice, however often they are asked for.

use std::time::Duration;

use nuncius_bus::{Bus, BusError};
use nuncius_schemas::node::{NodeReply, Profile, ProfileOrder, RefusalCode};
use nuncius_schemas::profile::{ProfileOutcome, ProfileReport, ProfileSpec};
use tracing::{info, warn};

use super::call::Call;
use super::profile_desk::{AT_ONCE_MAX, Ended, Key, Known};
use super::{Node, outcome_of};
use crate::profile::{Ending, ProfileFailure, Task, Written, perform};

/// How long the bus may take for an output.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a node that ends waits for its commands to be gone.
const LEAVE_PATIENCE: Duration = Duration::from_secs(6);

impl Node {
    /// Begins a profile, or waits for one that runs; the answer follows when it is done.
    pub(super) async fn profile(&mut self, wanted: Profile, call: Call) {
        let key = Key {
            experiment: wanted.experiment.clone(),
            attempt: wanted.attempt,
            start_unix_ns: wanted.start_unix_ns,
            profile: wanted.profile.name.clone(),
        };
        let mut call = match self.profiles.ask(&key, call, wanted.order) {
            Known::Waits => return,
            Known::Ended(call, report) => return self.tell_profile(vec![call], &report).await,
            Known::Nothing(call) => call,
        };
        if wanted.order != ProfileOrder::Begin || wanted.length_ns == 0 {
            let reason = format!("this node has not run profile {} of the experiment", wanted.profile.name);
            return self.refuse(&mut call, RefusalCode::Unknown, reason).await;
        }
        if !self.profiles.has_room() {
            // Not noted: it may be asked for again when there is room.
            let report = failed(&wanted.profile, &self.name, &ProfileFailure::Busy { limit: AT_ONCE_MAX });
            return self.tell_profile(vec![call], &report).await;
        }
        info!(experiment = wanted.experiment, profile = wanted.profile.name, "profile begins");
        let ending = self.profiles.begin(key.clone(), call);
        let task = Task {
            profile: wanted.profile,
            length: Duration::from_nanos(wanted.length_ns),
            allowed: self.config.allowed_profiles.clone(),
            starter: self.config.profile_starter.clone(),
        };
        let (bus, node) = (self.bus.clone(), self.name.clone());
        self.profiles.work.spawn(async move {
            let report = run(task, ending, &bus, (&key.experiment, &node)).await;
            Ended { key, report }
        });
    }

    /// Tells everybody who waited for a profile.
    pub(super) async fn profile_ended(&mut self, Ended { key, report }: Ended) {
        let Key { experiment, profile, .. } = &key;
        match &report.reason {
            None => info!(experiment, profile, bytes = report.size_bytes, "profile collected"),
            Some(reason) => warn!(experiment, profile, outcome = %report.outcome, reason, "profile not collected"),
        }
        let waiting = self.profiles.end(key, report.clone());
        self.tell_profile(waiting, &report).await;
    }

    async fn tell_profile(&self, waiting: Vec<Call>, report: &ProfileReport) {
        let profiled = NodeReply::Profiled { epoch: self.epoch, profile: Box::new(report.clone()) };
        for call in waiting {
            self.answer(&call.message, &profiled).await;
        }
    }

    /// The node ends: so do its commands.
    pub(super) async fn leave_profiles(&mut self) {
        self.profiles.stop_all();
        let all_gone = async {
            while !self.profiles.work.is_empty() {
                let ended = self.profiles.next().await;
                self.profile_ended(ended).await;
            }
        };
        if tokio::time::timeout(LEAVE_PATIENCE, all_gone).await.is_err() {
            warn!("ended before all commands beside the load were gone");
        }
    }
}

/// Runs it and stores what it wrote.
async fn run(task: Task, ending: Ending, bus: &Bus, (experiment, node): (&str, &str)) -> ProfileReport {
    let profile = task.profile.clone();
    let stopped = ending.stop.clone();
    let mut work = tokio::task::spawn_blocking(move || perform(&task, &ending));
    let written = match outcome_of(&mut work).await.unwrap_or(Err(ProfileFailure::Program)) {
        Ok(written) => written,
        Err(failure) => return failed(&profile, node, &failure),
    };
    let object = bus.namespace().profile_output(experiment, &profile.name, node);
    let storing = tokio::time::timeout(STORE_PATIENCE, store(bus, &object, &written.output));
    let problem = tokio::select! {
        stored = storing => match stored {
            Ok(Ok(())) => return collected(&profile, node, &written, object),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was too slow: more than {STORE_PATIENCE:?}"),
        },
        () = stopped.cancelled() => return failed(&profile, node, &ProfileFailure::Stopped),
    };
    failed(&profile, node, &ProfileFailure::NotStored(problem))
}

/// Stores an output; older ones of whatever experiment go where there is no room.
async fn store(bus: &Bus, object: &str, output: &[u8]) -> Result<(), BusError> {
    let bucket = bus.namespace().bucket_profile();
    let gone = bus.objects(&bucket).await?.put_making_room(object, output, |_| true).await?;
    if !gone.is_empty() {
        info!(outputs = gone.len(), "older outputs of profiles made room on the bus");
    }
    Ok(())
}

fn collected(profile: &ProfileSpec, node: &str, written: &Written, object: String) -> ProfileReport {
    ProfileReport {
        name: profile.name.clone(),
        node: node.to_owned(),
        outcome: ProfileOutcome::Collected,
        reason: None,
        format: profile.format,
        size_bytes: written.output.len() as u64,
        exit_code: written.exit_code,
        object: Some(object),
    }
}

fn failed(profile: &ProfileSpec, node: &str, failure: &ProfileFailure) -> ProfileReport {
    let report = ProfileReport::without(profile, node, failure.outcome(), failure.to_string());
    ProfileReport { exit_code: failure.exit_code(), ..report }
}
