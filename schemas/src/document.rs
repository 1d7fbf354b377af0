//! Documents made from the types: JSON Schemas, and an AsyncAPI description of every subject.
//!
//! The committed files under `schemas/json` and `schemas/asyncapi.yaml` are what the functions here return; a test
//! keeps them so. A new message type is added to [`messages`], a new subject to [`asyncapi::channels`].

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::archive::{ArchiveReply, ArchiveRequest};
use crate::bundle::AppRecord;
use crate::change::ChangeRecord;
use crate::codec::{self, CodecError};
use crate::comparison::{ComparableRun, Comparison};
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
use crate::search::SearchReport;
use crate::second::ExperimentSecond;
use crate::spec::ExperimentSpec;
use crate::sweep::SweepReport;
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
    /// The message in another form, whichever it has. Every type is read and written here once, in this crate, so that
    /// whoever uses it finds that done instead of compiling it again: a tenth of the command's size.
    pub convert: fn(&[u8], Form) -> Result<Vec<u8>, CodecError>,
}

/// A form of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As people and foreign programs read them.
    Json,
    /// As they travel.
    MessagePack,
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

const fn message<T: JsonSchema + Serialize + DeserializeOwned>(
    name: &'static str,
    summary: &'static str,
) -> MessageType {
    MessageType { name, version: 1, summary, schema: schema_of::<T>, convert: convert::<T> }
}

/// Of what people write, which is read as a tree whatever its form.
const fn written<T: JsonSchema + Serialize + DeserializeOwned>(
    name: &'static str,
    summary: &'static str,
) -> MessageType {
    MessageType { name, version: 1, summary, schema: schema_of::<T>, convert: convert_written::<T> }
}

fn convert_written<T: Serialize + DeserializeOwned>(bytes: &[u8], to: Form) -> Result<Vec<u8>, CodecError> {
    write(&codec::from_tree::<T>(&codec::read_tree(bytes)?)?, to)
}

fn convert<T: Serialize + DeserializeOwned>(bytes: &[u8], to: Form) -> Result<Vec<u8>, CodecError> {
    write(&codec::decode::<T>(bytes)?, to)
}

fn write<T: Serialize>(message: &T, to: Form) -> Result<Vec<u8>, CodecError> {
    match to {
        Form::Json => serde_json::to_vec_pretty(message).map_err(|error| CodecError::Encode(error.to_string())),
        Form::MessagePack => codec::encode(message),
    }
}

/// Every type that crosses the bus or that people write.
pub const fn messages() -> [MessageType; 41] {
    [
        written::<ExperimentSpec>("experiment", "An experiment as people write it."),
        written::<InstructionExperiment>("galileo-instructions", "An experiment as Galileo's commands."),
        written::<TickExperiment>("galileo-ticks", "An experiment as Galileo's tick configuration."),
        message::<NodeInfo>("node-info", "A process in the registry."),
        // 2: shards follow the number of nodes.
        MessageType { version: 2, ..message::<NodeCommand>("node-command", "What the daemon asks of a node.") },
        message::<NodeReply>("node-reply", "A node's answer to a command."),
        message::<MetricDelta>("metric-delta", "What a node measured since its last delta."),
        message::<RecordBatch>("record-batch", "Request records, column by column."),
        message::<ExperimentEvent>("experiment-event", "Something that happened in an experiment."),
        message::<ExperimentSecond>("experiment-second", "One merged second, by group and step."),
        message::<ChangeRecord>("change", "What somebody changed beside experiments."),
        message::<RunRecord>("run-record", "Everything the bus knows of an experiment."),
        message::<SubmitReply>("submit-reply", "Whether a submission was accepted."),
        message::<Control>("control", "A request about a run."),
        message::<ControlReply>("control-reply", "Whether a request about a run was granted."),
        message::<ArchiveRequest>("archive-request", "A request about what a daemon has stored."),
        message::<ArchiveReply>("archive-reply", "What a daemon has stored, or why it does not say."),
        message::<Route>("route", "The addresses of a service."),
        message::<AppRecord>("app", "A deployed application and its bundles."),
        MessageType { version: 2, ..message::<Report>("report", "How an experiment went.") },
        message::<ScalingReport>("scaling-report", "How throughput grew with the workers of a queue."),
        message::<Comparison>("comparison", "How two runs differ."),
        message::<ComparableRun>("comparable-run", "What of a run is compared with another."),
        message::<SearchReport>("search-report", "A search for the highest load that meets the gates."),
        message::<SweepReport>("sweep-report", "An experiment with every combination of some factors' values."),
        message::<Job>("job", "A job that waits in a queue."),
        message::<JobResult>("job-result", "The terminal record of a job."),
        message::<JobRepeat>("job-repeat", "A message of a job that had its terminal record already."),
        message::<JobEvent>("job-event", "Something that happened to a job that has not ended."),
        message::<QueueDefinition>("queue", "A queue as it is wanted."),
        message::<QueueTotals>("queue-totals", "What went through a queue."),
        message::<NodeSample>("node-sample", "Telemetry of a host and its devices."),
        message::<NodeTelemetry>("node-telemetry", "A machine at a moment."),
        message::<TelemetryControl>("telemetry-control", "What is asked of a machine's sampler."),
        message::<TelemetryState>("telemetry-state", "How a machine's sampler stands."),
        message::<DeviceRequest>("device-request", "Work for an emulated device."),
        message::<DeviceReply>("device-reply", "How the work went."),
        message::<OcoEvent>("oco-event", "What a servo tells its OCO backend."),
        message::<OcoReply>("oco-reply", "What the backend answers."),
        message::<ResourceRequest>("resource-request", "What is to be consumed of a resource."),
        message::<ResourceReply>("resource-reply", "How a resource stands."),
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
