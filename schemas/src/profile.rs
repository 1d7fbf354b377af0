//! Profiles: a command on chosen nodes beside the load, whose output is kept with the experiment.
//!
//! A profile changes nothing of what a run shows: one that is forbidden, absent or fails is told, and that is all.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::ByteSize;
use crate::spec::NodeSelection;
use crate::units::HumanDuration;

/// Most profiles in an experiment.
pub const PROFILES_MAX: usize = 16;
/// Most nodes that run one profile.
pub const PROFILE_NODES_MAX: usize = 64;
/// Most words of a command.
pub const COMMAND_WORDS_MAX: usize = 64;
/// Longest word of a command, in bytes.
pub const COMMAND_WORD_MAX_BYTES: usize = 4 * 1024;
/// Longest name of an output file, in bytes.
pub const OUTPUT_NAME_MAX_BYTES: usize = 128;
/// Largest output that a profile may ask for.
pub const OUTPUT_MAX: ByteSize = ByteSize(64 << 20);
/// Longest time that a command may have to write its output.
pub const GRACE_MAX: HumanDuration = HumanDuration::from_secs(600);
/// Longest reason of a [`ProfileReport`], in bytes.
pub const REASON_MAX_BYTES: usize = 2 * 1024;

/// In a command: the path of the file that the output goes to.
pub const OUTPUT_PLACE: &str = "{output}";
/// In a command: for how many seconds it is wanted, a whole number from 1.
pub const SECONDS_PLACE: &str = "{seconds}";
/// In a command: the id of the process that `pid_of` names.
pub const PID_PLACE: &str = "{pid}";

/// A command beside the load, on each of some nodes. The node must allow its program (`--allow-profile`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Name, a token; unique in the experiment.
    pub name: String,
    /// Which client nodes, whether they take part in the load or not; all that are there when absent.
    #[serde(default)]
    pub nodes: NodeSelection,
    /// The program and its arguments; no shell reads them. `{output}` is the path of the file to write, `{seconds}` the
    /// whole seconds that it is wanted for, `{pid}` the process that `pid_of` names. A program that is told the seconds
    /// is expected to end by itself; any other is interrupted (SIGINT) when its time is over, and then writes.
    pub command: Vec<String>,
    /// Name of a process on the node, of which `{pid}` is the id: of several the one that began first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_of: Option<String>,
    /// When it begins, after the start of the load; when the last group is warmed up if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HumanDuration>,
    /// How long it is wanted for; to the end of the load when absent.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<HumanDuration>,
    /// Name of the file that it writes, in a directory of its own; by the format when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What is in the file.
    #[serde(default)]
    pub format: ProfileFormat,
    /// Largest output that is kept, 64MiB at most; what becomes larger is ended and not kept.
    #[serde(default = "default_at_most")]
    pub at_most: ByteSize,
    /// How long it may take to write its output when its time is over; then it is killed.
    #[serde(default = "default_grace")]
    pub grace: HumanDuration,
}

fn default_at_most() -> ByteSize {
    ByteSize(16 << 20)
}

fn default_grace() -> HumanDuration {
    HumanDuration::from_secs(10)
}

impl ProfileSpec {
    /// Whether a place is anywhere in the arguments.
    pub fn mentions(&self, place: &str) -> bool {
        self.command.iter().skip(1).any(|word| word.contains(place))
    }

    /// Name of the file that the command writes.
    pub fn output_name(&self) -> &str {
        self.output.as_deref().unwrap_or(match self.format {
            ProfileFormat::Folded => "profile.folded",
            ProfileFormat::Svg => "profile.svg",
            ProfileFormat::Raw => "profile.bin",
        })
    }
}

/// What a profile's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileFormat {
    /// Folded stacks, a line each: frames with `;` between them, a space, a count. They are drawn as flame graphs.
    #[default]
    Folded,
    /// A picture.
    Svg,
    /// Anything else.
    Raw,
}

impl ProfileFormat {
    /// The name in specifications and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::Svg => "svg",
            Self::Raw => "raw",
        }
    }
}

/// What became of a profile on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileOutcome {
    /// Its output is kept.
    Collected,
    /// The node does not allow the program.
    Forbidden,
    /// The node has no such program.
    Absent,
    /// No process of the name was there.
    NoProcess,
    /// The node does too many of them at once.
    Busy,
    /// The program could not be started.
    NotStarted,
    /// It ended with an exit code other than 0, or by a signal.
    Failed,
    /// It did not end when its time was over, and was killed.
    Unended,
    /// The run ended, or the node, before it was done.
    Stopped,
    /// It wrote nothing.
    NoOutput,
    /// It wrote more than is kept.
    TooLarge,
    /// The bus did not take its output.
    NotStored,
    /// The node did not tell what became of it.
    Unanswered,
    /// No node matched.
    NoNode,
}

impl ProfileOutcome {
    /// The name in reports and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collected => "collected",
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
            Self::NoProcess => "no process",
            Self::Busy => "busy",
            Self::NotStarted => "not started",
            Self::Failed => "failed",
            Self::Unended => "did not end",
            Self::Stopped => "stopped",
            Self::NoOutput => "no output",
            Self::TooLarge => "too large",
            Self::NotStored => "not stored",
            Self::Unanswered => "unanswered",
            Self::NoNode => "no node",
        }
    }
}

impl fmt::Display for ProfileOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a profile on one node, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileReport {
    /// Name of the profile.
    pub name: String,
    /// The node; empty where no node matched.
    pub node: String,
    /// What became of it.
    pub outcome: ProfileOutcome,
    /// Why it was not collected, redacted; absent where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the output is.
    pub format: ProfileFormat,
    /// Bytes of the output that is kept.
    #[serde(default)]
    pub size_bytes: u64,
    /// Exit code of the command; absent where it did not run, or was ended by a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The object that holds the output; absent where nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl ProfileReport {
    /// Of a profile that was not collected.
    pub fn without(profile: &ProfileSpec, node: &str, outcome: ProfileOutcome, reason: impl Into<String>) -> Self {
        Self {
            name: profile.name.clone(),
            node: node.to_owned(),
            outcome,
            reason: Some(bounded(&reason.into())),
            format: profile.format,
            size_bytes: 0,
            exit_code: None,
            object: None,
        }
    }

    /// Whether its output is kept.
    pub fn is_collected(&self) -> bool {
        self.outcome == ProfileOutcome::Collected
    }
}

/// A reason, redacted and cut to [`REASON_MAX_BYTES`].
fn bounded(reason: &str) -> String {
    let redacted = crate::redact::redact_message(reason);
    let end = redacted.floor_char_boundary(REASON_MAX_BYTES);
    redacted.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn profile(text: &str) -> ProfileSpec {
        let mut one: BTreeMap<String, ProfileSpec> = crate::codec::from_text(&format!("it: {text}")).unwrap();
        one.remove("it").unwrap()
    }

    #[test]
    fn only_arguments_mention_places_and_other_braces_are_the_commands_own() {
        let profile = profile("{name: cpu, command: ['{pid}', -e, '{cycles,faults}', '--out={output}']}");
        assert!(profile.mentions(OUTPUT_PLACE) && !profile.mentions(PID_PLACE) && !profile.mentions(SECONDS_PLACE));
        assert_eq!(profile.output_name(), "profile.folded");
    }

    #[test]
    fn a_reason_has_a_limit_and_no_secrets() {
        let profile = profile("{name: cpu, command: [perf]}");
        let told = format!("password=hunter2 {}", "ü".repeat(REASON_MAX_BYTES));
        let report = ProfileReport::without(&profile, "n1", ProfileOutcome::Failed, told);
        let reason = report.reason.unwrap();
        assert!(reason.len() <= REASON_MAX_BYTES && !reason.contains("hunter2"), "{reason}");
    }
}
