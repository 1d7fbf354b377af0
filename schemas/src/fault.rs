//! Whose fault: what the generator itself ran out of, as opposed to what the target did.
//!
//! A request that the generator could not make says nothing of the target. It is never counted as failed: it is
//! censored, as all that was planned and not sent is, and the fault makes the run INVALID. Every engine asks
//! [`GeneratorFault::of_error`] before it counts a failure.

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something of the generator's own that was missing when a request was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorFault {
    /// No file descriptor left, in the process or on the host.
    Descriptors,
    /// No local port left for another connection to the target.
    Ports,
    /// No room in the kernel's network buffers.
    Buffers,
    /// No memory.
    Memory,
    /// No thread could be started.
    Threads,
    /// The process stood still: its own timer came late.
    Stopped,
}

impl GeneratorFault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Descriptors, Self::Ports, Self::Buffers, Self::Memory, Self::Threads, Self::Stopped];

    /// The name in messages and exports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Ports => "ports",
            Self::Buffers => "buffers",
            Self::Memory => "memory",
            Self::Threads => "threads",
            Self::Stopped => "stopped",
        }
    }

    /// What was missing and what to do about it, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "it ran out of file descriptors: raise `ulimit -n`, or lower `max_in_flight` or `users`"
            }
            Self::Ports => {
                "it ran out of local ports: widen net.ipv4.ip_local_port_range, keep connections open, or use more nodes"
            }
            Self::Buffers => "the kernel had no network buffers left: lower the rate or use more nodes",
            Self::Memory => "it ran out of memory: lower `max_in_flight` or `users`, or use more nodes",
            Self::Threads => "it could not start a thread: raise `ulimit -u` or the cgroup's pids.max",
            Self::Stopped => {
                "it stood still for longer than its limit: use a machine that is not shared, or more nodes"
            }
        }
    }

    /// The generator's fault behind an error of the operating system; `None` when it may be the target's.
    ///
    /// The numbers are Linux's errno values (errno(3)). EAGAIN is a fault only where a thread or process was to be
    /// started: see [`Self::of_spawn`].
    pub fn of_error(error: &io::Error) -> Option<Self> {
        match error.raw_os_error() {
            // ENFILE, EMFILE.
            Some(23 | 24) => Some(Self::Descriptors),
            // EADDRNOTAVAIL, EADDRINUSE: of a connect, which asks for a local port.
            Some(99 | 98) => Some(Self::Ports),
            // ENOBUFS.
            Some(105) => Some(Self::Buffers),
            // ENOMEM.
            Some(12) => Some(Self::Memory),
            Some(_) => None,
            None => (error.kind() == io::ErrorKind::OutOfMemory).then_some(Self::Memory),
        }
    }

    /// The generator's fault behind a thread or process that could not be started; [`Self::Threads`] unless the system
    /// names another.
    pub fn of_spawn(error: &io::Error) -> Self {
        Self::of_error(error).unwrap_or(Self::Threads)
    }
}

/// How often one fault was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultCount {
    /// What was missing.
    pub fault: GeneratorFault,
    /// Requests that it kept from being made, or times it was met where no request was under way.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_generator_ran_out_of_is_told_from_what_the_target_refused() {
        for (errno, fault) in [
            (24, Some(GeneratorFault::Descriptors)),
            (23, Some(GeneratorFault::Descriptors)),
            (99, Some(GeneratorFault::Ports)),
            (105, Some(GeneratorFault::Buffers)),
            (12, Some(GeneratorFault::Memory)),
            // ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ETIMEDOUT.
            (111, None),
            (104, None),
            (113, None),
            (110, None),
        ] {
            assert_eq!(GeneratorFault::of_error(&io::Error::from_raw_os_error(errno)), fault, "errno {errno}");
        }
        assert_eq!(GeneratorFault::of_spawn(&io::Error::from_raw_os_error(11)), GeneratorFault::Threads);
    }
}
