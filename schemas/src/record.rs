//! Request records: one row a request, in batches, column by column (a name is sent once a batch, not once a row).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most rows in a batch.
pub const BATCH_ROWS_MAX: usize = 1_000;

/// One message on a node's trace subject. All columns have the same length.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RecordBatch {
    /// Experiment.
    pub experiment: String,
    /// Node.
    pub node: String,
    /// Incarnation of the node.
    pub epoch: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "crate::metric::first_attempt")]
    pub attempt: u32,
    /// 1, 2, 3 …
    pub sequence: u64,
    /// Nothing follows this batch.
    pub last: bool,
    /// Index of the group in the specification.
    pub group: Vec<u16>,
    /// Index of the step in the group.
    pub step: Vec<u16>,
    /// Index of the iteration in the group's schedule (open) or of the user's iteration (closed).
    pub index: Vec<u64>,
    /// Planned instant in nanoseconds of run time; in the closed model the instant it was begun.
    pub planned_ns: Vec<u64>,
    /// When it was written to a connection, in nanoseconds of run time; 0 when it never was.
    pub sent_ns: Vec<u64>,
    /// When it ended, in nanoseconds of run time; 0 when it did not.
    pub done_ns: Vec<u64>,
    /// Status of the answer; −1 when there was none.
    pub status: Vec<i16>,
    /// How it ended.
    pub outcome: Vec<RecordOutcome>,
    /// Id of its span in the experiment's trace, 0 when it carried no sampled trace.
    pub span_id: Vec<u64>,
    /// Which of `hosts` it went to, counted from 1; 0 where the hosts of its group are not told apart. Nodes of before
    /// left it out.
    #[serde(default)]
    pub host: Vec<u16>,
    /// Addresses of hosts: `10.0.0.7:8080`.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordOutcome {
    /// As expected.
    Succeeded,
    /// Otherwise.
    Failed,
    /// Not before the stop.
    Censored,
}

impl RecordOutcome {
    /// The name in exports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Censored => "censored",
        }
    }
}

impl RecordBatch {
    /// How many rows; `None` when the columns disagree.
    pub fn rows(&self) -> Option<usize> {
        let rows = self.index.len();
        let same = [
            self.group.len(),
            self.step.len(),
            self.planned_ns.len(),
            self.sent_ns.len(),
            self.done_ns.len(),
            self.status.len(),
            self.outcome.len(),
            self.span_id.len(),
        ];
        let has_hosts = self.host.is_empty() || self.host.len() == rows;
        (has_hosts && same.iter().all(|len| *len == rows)).then_some(rows)
    }

    /// Adds the host of the newest row: none where hosts are not told apart.
    pub fn push_host(&mut self, host: Option<&str>) {
        let number = host.map_or(0, |host| {
            let known = self.hosts.iter().position(|known| known == host);
            let at = known.unwrap_or_else(|| {
                self.hosts.push(host.to_owned());
                self.hosts.len() - 1
            });
            u16::try_from(at + 1).unwrap_or(0)
        });
        self.host.push(number);
    }

    /// The host of a row, where hosts are told apart.
    ///
    /// # Errors
    /// The number, where the batch has no host of that number.
    pub fn host(&self, row: usize) -> Result<Option<&str>, u16> {
        match self.host.get(row).copied() {
            None | Some(0) => Ok(None),
            Some(number) => self.hosts.get(usize::from(number) - 1).map(|host| Some(host.as_str())).ok_or(number),
        }
    }
}
