//! Subjects, streams and buckets. Every name on the bus comes from here, so that the namespace is never forgotten.

use crate::names::{NameError, check_token};
use crate::resource::ResourceKind;

mod profile;

/// The prefix that everything on the bus carries; `nuncius` unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Its name in subjects, in labels, and in the paths of OTLP over HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("nuncius".to_owned())
    }
}

impl Namespace {
    /// Refuses what is not a token.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_token("namespace", name)?;
        Ok(Self(name.to_owned()))
    }

    /// The prefix itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where experiments are published: a work-queue stream.
    pub fn experiment_submit(&self) -> String {
        format!("{}.experiment.submit", self.0)
    }

    /// What could not be read, with the reason.
    pub fn experiment_dead(&self) -> String {
        format!("{}.experiment.dead", self.0)
    }

    /// What was changed beside experiments, by whom and why.
    pub fn change(&self) -> String {
        format!("{}.change", self.0)
    }

    /// Life cycle, phases, gate results of one experiment; replayable.
    pub fn experiment_event(&self, experiment: &str) -> String {
        format!("{}.experiment.{experiment}.event", self.0)
    }

    /// Merged seconds of one experiment, by group and step; replayable.
    pub fn experiment_second(&self, experiment: &str) -> String {
        format!("{}.experiment.{experiment}.second", self.0)
    }

    /// Cancel and other requests to the daemon that holds the run.
    pub fn experiment_control(&self, experiment: &str) -> String {
        format!("{}.experiment.{experiment}.control", self.0)
    }

    /// Requests to the daemon whose database has the experiment.
    pub fn experiment_archive(&self, experiment: &str) -> String {
        format!("{}.experiment.{experiment}.archive", self.0)
    }

    /// Requests to every daemon, about all experiments: no experiment has this name, for it is no token.
    pub fn experiments_archive(&self) -> String {
        self.experiment_archive("~")
    }

    /// Requests to one node.
    pub fn node_command(&self, node: &str) -> String {
        format!("{}.node.{node}.command", self.0)
    }

    /// Clock probes to one node, never behind a command.
    pub fn node_ping(&self, node: &str) -> String {
        format!("{}.node.{node}.ping", self.0)
    }

    /// Deltas of one node in one experiment.
    pub fn metric(&self, experiment: &str, node: &str) -> String {
        format!("{}.metric.{experiment}.{node}", self.0)
    }

    /// Deltas of all nodes of an experiment, for a filter.
    pub fn metric_all(&self, experiment: &str) -> String {
        format!("{}.metric.{experiment}.>", self.0)
    }

    /// Request records of one node in one experiment.
    pub fn trace(&self, experiment: &str, node: &str) -> String {
        format!("{}.trace.{experiment}.{node}", self.0)
    }

    /// Request records of all nodes of an experiment, for a filter.
    pub fn trace_all(&self, experiment: &str) -> String {
        format!("{}.trace.{experiment}.>", self.0)
    }

    /// Jobs of one client that wait in a queue.
    pub fn job(&self, queue: &str, priority: u8, client: &str) -> String {
        format!("{}.job.{queue}.{priority}.{client}", self.0)
    }

    /// All jobs of a queue, for a filter.
    pub fn job_all(&self, queue: &str) -> String {
        format!("{}.job.{queue}.*.*", self.0)
    }

    /// All jobs of a priority of a queue, for a filter.
    pub fn job_priority(&self, queue: &str, priority: u8) -> String {
        format!("{}.job.{queue}.{priority}.*", self.0)
    }

    /// What happens to jobs that have not ended, for live views only: may be lost.
    pub fn job_event(&self, queue: &str) -> String {
        format!("{}.job-event.{queue}", self.0)
    }

    /// Where the terminal record of one job is published and kept, unless the job has one.
    pub fn record(&self, queue: &str, client: &str, job: &str) -> String {
        format!("{}.record.{queue}.{client}.{job}", self.0)
    }

    /// All of these of a queue, for a filter.
    pub fn record_all(&self, queue: &str) -> String {
        format!("{}.record.{queue}.*.*", self.0)
    }

    /// Where the terminal record of one job is told once the stream has it: no stream takes it, and who listens hears
    /// nothing that was refused.
    pub fn result(&self, queue: &str, client: &str, job: &str) -> String {
        format!("{}.result.{queue}.{client}.{job}", self.0)
    }

    /// Terminal records of one client's jobs, for a subscription.
    pub fn result_client(&self, queue: &str, client: &str) -> String {
        format!("{}.result.{queue}.{client}.*", self.0)
    }

    /// All terminal records of a queue, for a filter.
    pub fn result_all(&self, queue: &str) -> String {
        format!("{}.result.{queue}.*.*", self.0)
    }

    /// A message that repeats a job which has its terminal record: kept in the stream of records, one for each such
    /// message.
    pub fn repeat(&self, queue: &str, job_sequence: u64) -> String {
        format!("{}.repeat.{queue}.{job_sequence}", self.0)
    }

    /// All repeats of a queue, for a filter.
    pub fn repeat_all(&self, queue: &str) -> String {
        format!("{}.repeat.{queue}.*", self.0)
    }

    /// Copies of jobs given up, with the reason.
    pub fn dead_letter(&self, queue: &str) -> String {
        format!("{}.dead.{queue}", self.0)
    }

    /// Telemetry of one node.
    pub fn sample(&self, node: &str) -> String {
        format!("{}.sample.{node}", self.0)
    }

    /// Telemetry of all processes on its way out: the bytes of an `Export…ServiceRequest` of OTLP.
    pub fn otlp(&self, signal: Signal) -> String {
        format!("{}.otlp.{}", self.0, signal.name())
    }

    /// What servers tell of the way of sampled messages, where they are asked to.
    pub fn hops(&self) -> String {
        format!("{}.hop", self.0)
    }

    /// Whether messages on a subject are worth a trace of their own: those that are telemetry themselves are not, nor
    /// those of others.
    pub fn is_traced(&self, subject: &str) -> bool {
        let rest = subject.strip_prefix(self.0.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let kind = rest.map(|rest| rest.split('.').next().unwrap_or_default());
        kind.is_some_and(|kind| !["metric", "trace", "sample", "otlp", "telemetry", "hop"].contains(&kind))
    }

    /// All of it, for a filter.
    pub fn otlp_all(&self) -> String {
        format!("{}.otlp.*", self.0)
    }

    /// Samples of a machine.
    pub fn telemetry(&self, node: &str) -> String {
        format!("{}.telemetry.{node}", self.0)
    }

    /// Requests to whoever samples a machine.
    pub fn telemetry_control(&self, node: &str) -> String {
        format!("{}.telemetry.{node}.control", self.0)
    }

    /// Requests to an emulated device.
    pub fn device_run(&self, device: &str) -> String {
        format!("{}.device.{device}.run", self.0)
    }

    /// Events of the servo of one application; a `.` in either name, of which a token has none, is written `%2E`.
    pub fn oco_servo(&self, account: &str, app: &str) -> String {
        format!("{}.oco.{}.{}.servo", self.0, account.replace('.', "%2E"), app.replace('.', "%2E"))
    }

    /// Events of all servos, for a subscription.
    pub fn oco_servo_all(&self) -> String {
        format!("{}.oco.*.*.servo", self.0)
    }

    /// Requests to one emulated resource of a node.
    pub fn resource(&self, node: &str, kind: ResourceKind) -> String {
        format!("{}.resource.{node}.{}", self.0, kind.name())
    }

    /// The stream of a queue's jobs.
    pub fn stream_job(&self, queue: &str) -> String {
        format!("{}_job_{queue}", self.0)
    }

    /// The stream of a queue's terminal records: the books.
    pub fn stream_result(&self, queue: &str) -> String {
        format!("{}_result_{queue}", self.0)
    }

    /// The stream of a queue's dead letters.
    pub fn stream_dead_letter(&self, queue: &str) -> String {
        format!("{}_dead_{queue}", self.0)
    }

    /// The stream of telemetry.
    pub fn stream_sample(&self) -> String {
        format!("{}_sample", self.0)
    }

    /// The stream of telemetry that is on its way out.
    pub fn stream_otlp(&self) -> String {
        format!("{}_otlp", self.0)
    }

    /// Bucket: queues and their totals.
    pub fn bucket_queue(&self) -> String {
        format!("{}_queue", self.0)
    }

    /// The stream that holds submitted experiments.
    pub fn stream_submit(&self) -> String {
        format!("{}_experiment_submit", self.0)
    }

    /// The stream of unreadable submissions.
    pub fn stream_dead(&self) -> String {
        format!("{}_experiment_dead", self.0)
    }

    /// The stream of experiment events.
    pub fn stream_event(&self) -> String {
        format!("{}_experiment_event", self.0)
    }

    /// The stream of what was changed beside experiments.
    pub fn stream_change(&self) -> String {
        format!("{}_change", self.0)
    }

    /// The stream of merged seconds: apart from the events, so that many seconds never displace what happened.
    pub fn stream_second(&self) -> String {
        format!("{}_experiment_second", self.0)
    }

    /// The stream of deltas.
    pub fn stream_metric(&self) -> String {
        format!("{}_metric", self.0)
    }

    /// The stream of request records.
    pub fn stream_trace(&self) -> String {
        format!("{}_trace", self.0)
    }

    /// Bucket: who is here.
    pub fn bucket_node(&self) -> String {
        format!("{}_node", self.0)
    }

    /// Bucket: who holds what.
    pub fn bucket_lease(&self) -> String {
        format!("{}_lease", self.0)
    }

    /// Bucket: run records.
    pub fn bucket_run(&self) -> String {
        format!("{}_run", self.0)
    }

    /// Bucket: the routing table.
    pub fn bucket_route(&self) -> String {
        format!("{}_route", self.0)
    }

    /// Bucket: what an emulated OCO backend knows of its applications.
    pub fn bucket_oco(&self) -> String {
        format!("{}_oco", self.0)
    }

    /// Bucket: applications, and which bundles they are. The object store of the bundles has the same name.
    pub fn bucket_app(&self) -> String {
        format!("{}_app", self.0)
    }

    /// The object that holds a bundle of an application.
    pub fn app_bundle(&self, app: &str, digest: &str) -> String {
        format!("{app}/{digest}")
    }

    /// Object store: reports and profiles.
    pub fn bucket_artifact(&self) -> String {
        format!("{}_artifact", self.0)
    }

    /// The object that holds an experiment's report as JSON.
    pub fn artifact_report(&self, experiment: &str) -> String {
        format!("{experiment}-report.json")
    }

    /// The object that holds where an experiment stands, as the daemon with this fencing token has left it.
    pub fn artifact_checkpoint(&self, experiment: &str, token: u64) -> String {
        format!("{experiment}-checkpoint-{token}")
    }

    /// Name under which a service registers with the NATS service API.
    pub fn service(&self, role: &str) -> String {
        format!("{}-{role}", self.0)
    }
}

/// Header: MIME type of the payload.
pub const HEADER_CONTENT_TYPE: &str = "Content-Type";
/// Header: name and version of the payload's type.
pub const HEADER_SCHEMA: &str = "Nuncius-Schema";
/// Header: JetStream's message id.
pub const HEADER_MESSAGE_ID: &str = "Nats-Msg-Id";
/// Header: where an answer beyond the stream's ack is wanted.
pub const HEADER_REPLY: &str = "Nuncius-Reply";
/// Header of a dead letter of a submission: the message id that it came with.
pub const HEADER_DEAD_MESSAGE_ID: &str = "Nuncius-Message-Id";
/// Header of a dead letter of a submission: its sequence in the stream.
pub const HEADER_DEAD_SEQUENCE: &str = "Nuncius-Sequence";
/// Header of a dead letter of a submission: how large it was, in bytes; of a large one only the beginning is kept.
pub const HEADER_DEAD_SIZE_BYTES: &str = "Nuncius-Size-Bytes";
/// Header on dead letters: why.
pub const HEADER_REASON: &str = "Nuncius-Reason";
/// What [`HEADER_CONTENT_TYPE`] says of OTLP as protobuf.
pub const CONTENT_TYPE_PROTOBUF: &str = "application/x-protobuf";
/// Durable consumer of the stream of telemetry that all gateways share: none exports what another has exported.
pub const OTLP_CONSUMER: &str = "gateway";
/// Header by which nats-server is asked to tell how a message went through it: where to.
pub const HEADER_TRACE_DESTINATION: &str = "Nats-Trace-Dest";
/// Header beside it: when the message was sent, nanoseconds since the Unix epoch.
pub const HEADER_SENT_UNIX_NS: &str = "Nuncius-Sent-Unix-Ns";
/// Header: W3C trace context; lower case, as NATS headers are case-sensitive here.
pub const HEADER_TRACEPARENT: &str = "traceparent";
/// Header: the job is dropped when the client in its subject goes away before it is begun; `present` is its only value.
pub const HEADER_IF_CLIENT: &str = "Nuncius-If-Client";
/// Header: what the id of a job is worth: `new` was made for this very message, and nobody looks for a record of it.
pub const HEADER_ID: &str = "Nuncius-Id";
/// Header: the content type in which an answer is wanted.
pub const HEADER_ACCEPT: &str = "Nuncius-Accept";
/// Header: a job that repeats a dead one names that.
pub const HEADER_RETRY_OF: &str = "Nuncius-Retry-Of";
/// Headers of dead letters: the job, its client, its priority and the attempts that were made.
pub const HEADER_JOB: &str = "Nuncius-Job";
/// See [`HEADER_JOB`].
pub const HEADER_CLIENT: &str = "Nuncius-Client";
/// See [`HEADER_JOB`].
pub const HEADER_PRIORITY: &str = "Nuncius-Priority";
/// See [`HEADER_JOB`].
pub const HEADER_ATTEMPTS: &str = "Nuncius-Attempts";
/// Name of the durable consumer that all workers of a queue share for one priority.
pub fn job_consumer(priority: u8) -> String {
    format!("priority-{priority}")
}

/// Key of the lease that says that a client of queues is there.
pub fn client_lease(client: &str) -> String {
    format!("client.{client}")
}

/// Key of the lease of the frontend that keeps a queue's books.
pub fn queue_lease(queue: &str) -> String {
    format!("queue.{queue}")
}

/// Key of the lease of the process that samples a machine.
pub fn telemetry_lease(node: &str) -> String {
    format!("telemetry.{node}")
}

/// Key of a queue's totals, in the bucket of queues.
pub fn queue_totals(queue: &str) -> String {
    format!("{queue}.totals")
}

/// Key that counts how often a job was handed back, in the bucket of queues.
pub fn queue_returned(queue: &str, job: &str) -> String {
    format!("{queue}.returned.{job}")
}

#[cfg(test)]
mod tests;
