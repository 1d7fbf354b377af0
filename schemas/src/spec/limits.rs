//! How much of everything a specification may have; each limit is named in its error.

use crate::units::{Rate, SECOND_NS};

/// Most groups in an experiment.
pub const GROUPS_MAX: usize = 64;
/// Most steps in a group.
pub const STEPS_MAX: usize = 64;
/// Most amendments of an experiment.
pub const AMENDMENTS_MAX: usize = 256;
/// Most gates in an experiment.
pub const GATES_MAX: usize = 64;
/// Most stages in a group.
pub const STAGES_MAX: usize = 10_000;
/// Most labels, metadata entries, headers or services in one place.
pub const ENTRIES_MAX: usize = 64;
/// Longest name of a group or a step, in characters.
pub const NAME_MAX_CHARACTERS: usize = 64;
/// Longest value of a label, a header or a metadata entry, in bytes.
pub const VALUE_MAX_BYTES: usize = 8 * 1024;
/// Longest offered load.
pub const DURATION_MAX_NS: u64 = 30 * 86_400 * SECOND_NS;
/// Shortest horizon of a run, in nanoseconds: nodes report once a second.
pub const HORIZON_MIN_NS: u64 = 2 * SECOND_NS;
/// Longest horizon of a run, in nanoseconds.
pub const HORIZON_MAX_NS: u64 = 3_600 * SECOND_NS;
/// Longest timeout of a request, and longest drain.
pub const TIMEOUT_MAX_NS: u64 = 3_600 * SECOND_NS;
/// Highest rate of a group.
pub const RATE_MAX: Rate = Rate::per_second(10_000_000);
/// Most users of a group.
pub const USERS_MAX: u32 = 1_000_000;
/// Longest expression that selects nodes, in bytes: room for the names of 256 nodes.
pub const NODE_NAMES_MAX_BYTES: usize = 32 * 1024;
/// Longest URL or path, in bytes.
pub const URL_MAX_BYTES: usize = 8 * 1024;
/// Longest exchange, routing key or queue, in bytes: what AMQP can say.
pub const AMQP_NAME_MAX_BYTES: usize = 255;
/// Longest window of a gate.
pub const WINDOW_MAX_NS: u64 = 3_600 * SECOND_NS;
