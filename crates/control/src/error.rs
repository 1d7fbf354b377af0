//! What can go wrong, in the words of whoever asked.

use std::time::Duration;

use nuncius_bus::apps::AppError;
use nuncius_bus::kv::Unreadable;
use nuncius_bus::{BusError, TypedError};
use nuncius_schemas::codec::CodecError;
use nuncius_schemas::event::MarkError;
use nuncius_schemas::names::NameError;
use nuncius_stats::CompareError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The bus.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// The bus, or what came over it.
    #[error("{0}")]
    Typed(#[from] TypedError),
    /// An entry of a bucket.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// A document that cannot be written or read.
    #[error("{what} cannot be read")]
    Document {
        /// Which.
        what: &'static str,
        /// Why.
        source: CodecError,
    },
    /// A name that is none.
    #[error("{0}")]
    Name(#[from] NameError),
    /// Applications.
    #[error("{0}")]
    App(#[from] AppError),
    /// What is compared.
    #[error("{0}")]
    Compare(#[from] CompareError),
    /// An experiment that nobody knows.
    #[error("there is no experiment {id}")]
    NoExperiment {
        /// The id.
        id: String,
    },
    /// `last`, where there is none.
    #[error("there is no experiment yet; run one with `nuncius run FILE`")]
    NoneYet,
    /// The beginning of several ids.
    #[error("`{typed}` is the beginning of several experiments: {named}")]
    Ambiguous {
        /// What was typed.
        typed: String,
        /// Some of them.
        named: String,
    },
    /// More than a message takes.
    #[error("the experiment has {bytes} bytes as JSON, at most {limit} are taken")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// There is no stream of submissions.
    #[error("nobody takes experiments there: start a daemon with `nuncius up` or `nuncius experimentd`")]
    NobodyTakes,
    /// No daemon answered.
    #[error("the experiment is stored, but no daemon took it within {0:?}")]
    NotTaken(Duration),
    /// The connection ended meanwhile.
    #[error("the connection was closed")]
    Closed,
    /// The daemon read the experiment, recorded it under this id and will not run it.
    #[error("experiment {id} refused: {problem}")]
    Refused {
        /// Its id.
        id: String,
        /// Why.
        problem: String,
    },
    /// The daemon could not take it at all.
    #[error("refused: {0}")]
    NotAdmitted(String),
    /// Another experiment has the id.
    #[error("id: an experiment `{id}` exists already, and it is another one")]
    Taken {
        /// The id.
        id: String,
    },
    /// The daemon does not do as it is asked.
    #[error("{id}: {problem}")]
    NotDone {
        /// Of which experiment.
        id: String,
        /// Why not.
        problem: String,
    },
    /// It has ended.
    #[error("experiment {id} is {status} already")]
    Ended {
        /// Its id.
        id: String,
        /// How it ended.
        status: &'static str,
    },
    /// Its daemon died, and no other is there.
    #[error("experiment {id} is under way, and no daemon holds it; start one to end it")]
    NobodyHolds {
        /// Its id.
        id: String,
    },
    /// It has not ended.
    #[error("experiment {id} is {status}: cancel it first")]
    NotEnded {
        /// Its id.
        id: String,
        /// What it is doing.
        status: &'static str,
    },
    /// Its record cannot be read, and nobody said to remove it nevertheless.
    #[error("{unreadable}; `nuncius rm --force {id}` removes it, too")]
    RecordUnreadable {
        /// Its id.
        id: String,
        /// What is wrong with the record.
        unreadable: Unreadable,
    },
    /// No database that can be reached has it.
    #[error(
        "experiment {id} is in the database of the daemon that ran it: {who}{elsewhere}; start that daemon and try \
         again, or use --force to delete what the bus has of it; nothing was deleted"
    )]
    OutOfReach {
        /// Its id.
        id: String,
        /// Who was asked.
        who: &'static str,
        /// Where else it was looked for: empty, or ", and it is not in …".
        elsewhere: String,
    },
    /// A daemon does not answer.
    #[error("the daemon that has the experiment does not answer")]
    Unanswered(#[source] TypedError),
    /// A daemon refuses; see [`nuncius_schemas::archive::ArchiveRefusal`].
    #[error("{0}")]
    ArchiveRefused(String),
    /// As many exports as there may be at a time.
    #[error("{0}")]
    Busy(String),
    /// A daemon of another version.
    #[error("the daemon answered something else than was asked: use one of the same version")]
    Unexpected,
    /// A daemon went away.
    #[error("the daemon that had the experiment is gone: try again when it is back")]
    DaemonGone,
    /// An export that takes too long.
    #[error("the export was not written within {0:?}")]
    ExportSlow(Duration),
    /// A file of an export that ends too early.
    #[error("{file} ends too early, after {offset_bytes} bytes")]
    ExportShort {
        /// Its name.
        file: String,
        /// What there was of it.
        offset_bytes: u64,
    },
    /// No report anywhere.
    #[error("there is no report of {id}: not on the bus, and no daemon that runs has one")]
    NoReport {
        /// Of which experiment.
        id: String,
    },
    /// No seconds anywhere.
    #[error("the seconds of {id} are not on this bus: no daemon that runs has them")]
    NoSeconds {
        /// Of which experiment.
        id: String,
    },
    /// A service that is not in the routing table.
    #[error("there is no service {service} in the routing table")]
    NoRoute {
        /// The name.
        service: String,
    },
    /// A route that cannot be one.
    #[error("{field}: {problem}")]
    Route {
        /// Which field: `hosts[0].address`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else changed it meanwhile.
    #[error("{what} was changed by somebody else: read it again")]
    Changed {
        /// What.
        what: String,
    },
    /// A mark that no view has room for.
    #[error("{0}")]
    Mark(#[from] MarkError),
    /// An application that is not there.
    #[error("there is no app {app}; `nuncius app ls` lists those there are")]
    NoApp {
        /// The name.
        app: String,
    },
    /// A node that is not there, or does not consume.
    #[error("{0}")]
    Resource(String),
}

impl ControlError {
    /// Whether nobody knows what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::NoExperiment { .. }
                | Self::NoneYet
                | Self::NoReport { .. }
                | Self::NoSeconds { .. }
                | Self::NoRoute { .. }
                | Self::NoApp { .. }
        )
    }

    /// What the bus said, where it is that.
    pub fn bus(&self) -> Option<&BusError> {
        match self {
            Self::Bus(error)
            | Self::Typed(TypedError::Bus(error))
            | Self::Unanswered(TypedError::Bus(error))
            | Self::App(AppError::Bus(error)) => Some(error),
            _ => None,
        }
    }
}
