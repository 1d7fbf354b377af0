//! What can go wrong with queues and jobs.

use nuncius_bus::{BusError, TypedError};
use nuncius_schemas::queue::QueueError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No queue of this name takes jobs (of this priority).
    #[error("queue `{queue}` is not accepted: there is no such queue; `nuncius queue ls` lists those there are")]
    NoQueue {
        /// The name.
        queue: String,
    },
    /// The queue has fewer priorities.
    #[error("priority {priority} is not accepted: queue `{queue}` has priorities 0 to {most}")]
    NoPriority {
        /// The queue.
        queue: String,
        /// The priority asked for.
        priority: u8,
        /// The least urgent it has.
        most: u8,
    },
    /// The queue is full.
    #[error("queue `{queue}` is full: {limit}")]
    Full {
        /// The queue.
        queue: String,
        /// The limit that was met: `max_waiting` 10, say.
        limit: String,
    },
    /// The queue takes no more jobs.
    #[error("queue `{queue}` is draining and takes no jobs; `nuncius queue resume {queue}` opens it again")]
    Draining {
        /// The queue.
        queue: String,
    },
    /// The job is too large.
    #[error("job of {bytes} bytes is over the limit `max_job_bytes` of {limit} of queue `{queue}`")]
    TooLarge {
        /// The queue.
        queue: String,
        /// Payload and headers.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// The job has too many arguments.
    #[error("job with {arguments} arguments is over the limit `max_arguments` of {limit} of queue `{queue}`")]
    TooManyArguments {
        /// The queue.
        queue: String,
        /// How many it has.
        arguments: usize,
        /// The limit.
        limit: u32,
    },
    /// An argument that no program can be given.
    #[error("argument {0} of the job holds a NUL byte, which no program can be given")]
    ArgumentWithNul(usize),
    /// The id of the job is another client's.
    #[error(
        "job `{job}` is not accepted: client `{client}` submitted one of this id to queue `{queue}`; choose another id"
    )]
    IdTaken {
        /// The queue.
        queue: String,
        /// The job.
        job: String,
        /// Whose it is.
        client: String,
    },
    /// The job has ended, and its record is not kept any more.
    #[error(
        "job `{job}` is not accepted: one of this id was submitted to queue `{queue}` lately, and its record is not \
         kept any more; choose another id"
    )]
    RecordGone {
        /// The queue.
        queue: String,
        /// The job.
        job: String,
    },
    /// A client's or job's name that is no token.
    #[error(transparent)]
    Name(#[from] nuncius_schemas::names::NameError),
    /// A definition that makes no sense.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A definition that is not what it should be.
    #[error("the definition of the queue cannot be read: {0}")]
    Unreadable(#[from] nuncius_bus::kv::Unreadable),
    /// The queue has jobs.
    #[error("queue `{queue}` still has {jobs} jobs: drain or purge it first, or use --force, which drops them")]
    NotEmpty {
        /// The queue.
        queue: String,
        /// How many.
        jobs: u64,
    },
    /// Priorities that are to go have jobs.
    #[error(
        "queue `{queue}` still has {jobs} jobs of priority {priority}, which nobody would take any more: drain it first"
    )]
    PriorityInUse {
        /// The queue.
        queue: String,
        /// The priority.
        priority: u8,
        /// How many.
        jobs: u64,
    },
    /// There is no such dead letter.
    #[error("queue `{queue}` has no dead letter of job `{job}`")]
    NoDeadLetter {
        /// The queue.
        queue: String,
        /// The job.
        job: String,
    },
    /// The queue was changed by somebody else at the same time.
    #[error("queue `{0}` is being changed by somebody else; try again")]
    Changed(String),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A message on the bus.
    #[error(transparent)]
    Typed(#[from] TypedError),
}

impl JobError {
    /// Whether trying again later, unchanged, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Bus(error) | Self::Typed(TypedError::Bus(error)) => error.is_transient(),
            _ => false,
        }
    }
}
