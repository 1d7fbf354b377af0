//! The job protocol: queues that are bounded, jobs that are submitted, taken, finished and retried, and the books of
//! what became of each. Client, worker, frontend and command share it; none of them knows a subject or a stream beyond
//! this.
//!
//! The promise: every accepted job has exactly one terminal record, so that accepted = succeeded + failed + dead +
//! dropped + still in the queue at every moment, whichever process is killed. It rests on the order of writes: the
//! record is written first, guarded by "the subject has none yet"; only then the job is acknowledged. Who comes second
//! finds the record and forgets the job. This crate must never acknowledge or delete a job that has no record, and
//! never run anything itself.
//!
//! Layout: [`queue`] defines and changes queues, [`definitions`] follows that; [`submit`] is the client's side;
//! [`take`] and [`finish`] the worker's; [`books`] folds records into totals and makes room; [`abandoned`] drops what
//! waits for clients that are gone; [`leftovers`] clears up after a server that was killed; [`dead`] shows and repeats
//! dead letters.

pub mod abandoned;
mod attempt;
pub mod books;
pub mod dead;
pub mod definitions;
pub mod error;
pub mod finish;
mod form;
pub mod info;
pub mod leftovers;
mod name;
pub mod queue;
mod record;
mod spans;
pub mod submit;
pub mod take;
pub mod waits;

pub use attempt::Taken;
pub use definitions::Definition;
pub use error::JobError;
pub use finish::{Finish, Finisher};
pub use info::{Moment, QueueInfo};
pub use queue::{Queues, limit_jobs};
pub use submit::{Acceptance, Prepared, Relayed, Submission, Submitter, SubmitterOptions, Ticket};
pub use take::{Taker, admit};
pub use waits::Waits;

/// How long a worker may be silent about a job before another gets it.
pub const ACK_WAIT: std::time::Duration = std::time::Duration::from_secs(30);
/// How often a worker says that it is still at a job.
pub const PROGRESS_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
/// A worker whose word was not answered for this long has lost the job.
pub const PROGRESS_LOST: std::time::Duration = std::time::Duration::from_secs(25);
