//! Documents made from the types: JSON Schemas, and an AsyncAPI description of every subject.
//!
//! The committed files under `schemas/json` and `schemas/asyncapi.yaml` are what the functions here return; a test
//! keeps them so. A new message type is added to [`messages`], a new subject to [`asyncapi::channels`].

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::archive::{ArchiveReply, ArchiveRequest};
use crate::bundle::AppRecord;
use crate::event::ExperimentEvent;
use crate::galileo::{InstructionExperiment, TickExperiment};
use crate::job::{Job, JobEvent, JobRepeat, JobResult};
use crate::metric::MetricDelta;
use crate::node::{NodeCommand, NodeInfo, NodeReply};
use crate::oco::{OcoEvent, OcoReply};
use crate::queue::{QueueDefinition, QueueTotals};
use crate::record::RecordBatch;
use crate::report::Report;
use crate::resource::{ResourceReply, ResourceRequest};
use crate::route::Route;
use crate::run::{Control, ControlReply, RunRecord, SubmitReply};
use crate::scaling::ScalingReport;
use crate::second::ExperimentSecond;
use crate::spec::ExperimentSpec;
use crate::telemetry::{NodeTelemetry, TelemetryControl, TelemetryState};
use crate::worker::{DeviceReply, DeviceRequest, NodeSample};

pub mod asyncapi;
mod files;
pub mod yaml;

pub use files::files;

/// A message type: its name on the bus and its schema.
#[derive(Debug, Clone, Copy)]
pub struct MessageType {
    /// Name without the version: `metric-delta`.
    pub name: &'static str,
    /// Version, raised when an older reader would misunderstand a newer message.
    pub version: u32,
    /// One line for people.
    pub summary: &'static str,
    /// The JSON Schema.
    pub schema: fn() -> Value,
}

impl MessageType {
    /// Name and version as in the header `Nuncius-Schema`: `metric-delta.v1`.
    pub fn schema_name(&self) -> String {
        format!("{}.v{}", self.name, self.version)
    }

    /// Where the schema is committed, below `schemas/`.
    pub fn schema_path(&self) -> String {
        format!("json/{}.schema.json", self.name)
    }
}

const fn message(name: &'static str, summary: &'static str, schema: fn() -> Value) -> MessageType {
    MessageType { name, version: 1, summary, schema }
}

/// Every type that crosses the bus or that people write.
pub const fn messages() -> [MessageType; 36] {
    [
        message("experiment", "An experiment as people write it.", schema_of::<ExperimentSpec>),
        message("galileo-instructions", "An experiment as Galileo's commands.", schema_of::<InstructionExperiment>),
        message("galileo-ticks", "An experiment as Galileo's tick configuration.", schema_of::<TickExperiment>),
        message("node-info", "A process in the registry.", schema_of::<NodeInfo>),
        // 2: shards follow the number of nodes.
        MessageType {
            version: 2,
            ..message("node-command", "What the daemon asks of a node.", schema_of::<NodeCommand>)
        },
        message("node-reply", "A node's answer to a command.", schema_of::<NodeReply>),
        message("metric-delta", "What a node measured since its last delta.", schema_of::<MetricDelta>),
        message("record-batch", "Request records, column by column.", schema_of::<RecordBatch>),
        message("experiment-event", "Something that happened in an experiment.", schema_of::<ExperimentEvent>),
        message("experiment-second", "One merged second, by group and step.", schema_of::<ExperimentSecond>),
        message("run-record", "Everything the bus knows of an experiment.", schema_of::<RunRecord>),
        message("submit-reply", "Whether a submission was accepted.", schema_of::<SubmitReply>),
        message("control", "A request about a run.", schema_of::<Control>),
        message("control-reply", "Whether a request about a run was granted.", schema_of::<ControlReply>),
        message("archive-request", "A request about what a daemon has stored.", schema_of::<ArchiveRequest>),
        message("archive-reply", "What a daemon has stored, or why it does not say.", schema_of::<ArchiveReply>),
        message("route", "The addresses of a service.", schema_of::<Route>),
        message("app", "A deployed application and its bundles.", schema_of::<AppRecord>),
        MessageType { version: 2, ..message("report", "How an experiment went.", schema_of::<Report>) },
        message("scaling-report", "How throughput grew with the workers of a queue.", schema_of::<ScalingReport>),
        message("job", "A job that waits in a queue.", schema_of::<Job>),
        message("job-result", "The terminal record of a job.", schema_of::<JobResult>),
        message("job-repeat", "A message of a job that had its terminal record already.", schema_of::<JobRepeat>),
        message("job-event", "Something that happened to a job that has not ended.", schema_of::<JobEvent>),
        message("queue", "A queue as it is wanted.", schema_of::<QueueDefinition>),
        message("queue-totals", "What went through a queue.", schema_of::<QueueTotals>),
        message("node-sample", "Telemetry of a host and its devices.", schema_of::<NodeSample>),
        message("node-telemetry", "A machine at a moment.", schema_of::<NodeTelemetry>),
        message("telemetry-control", "What is asked of a machine's sampler.", schema_of::<TelemetryControl>),
        message("telemetry-state", "How a machine's sampler stands.", schema_of::<TelemetryState>),
        message("device-request", "Work for an emulated device.", schema_of::<DeviceRequest>),
        message("device-reply", "How the work went.", schema_of::<DeviceReply>),
        message("oco-event", "What a servo tells its OCO backend.", schema_of::<OcoEvent>),
        message("oco-reply", "What the backend answers.", schema_of::<OcoReply>),
        message("resource-request", "What is to be consumed of a resource.", schema_of::<ResourceRequest>),
        message("resource-reply", "How a resource stands.", schema_of::<ResourceReply>),
    ]
}

/// The JSON Schema (draft 2020-12) of what is read as `T`.
fn schema_of<T: JsonSchema>() -> Value {
    sorted(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value())
}

/// The same value with its keys in order, whatever order the map type keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
