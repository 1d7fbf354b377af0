//! Arrivals that no rate plans, but somebody decides: clients, or a file.

use crate::arrival::Next;
use crate::renewal::Renewals;
use crate::replay::Replay;
use crate::tempo::Tempo;

/// Whose instants they are.
#[derive(Debug, Clone)]
pub(crate) enum OwnArrivals {
    /// Those of clients who each wait before each of their requests.
    Clients(Renewals),
    /// Those of a file.
    Recorded(Replay),
}

impl OwnArrivals {
    /// Changes how fast their time passes, or ends them.
    pub(crate) fn amend(&mut self, tempo: Tempo, ends: bool) {
        match self {
            Self::Clients(clients) => {
                clients.amend(tempo);
                if ends {
                    clients.end_at(tempo.from_ns);
                }
            }
            Self::Recorded(replay) => {
                replay.amend(tempo);
                if ends {
                    replay.end_at(tempo.from_ns);
                }
            }
        }
    }

    pub(crate) fn at_most(&mut self, limit: u64) {
        match self {
            Self::Clients(clients) => clients.at_most(limit),
            Self::Recorded(replay) => replay.at_most(limit),
        }
    }

    pub(crate) fn pieces(&self) -> usize {
        match self {
            Self::Clients(clients) => clients.pieces(),
            Self::Recorded(replay) => replay.pieces(),
        }
    }

    pub(crate) fn end_ns(&self) -> u64 {
        match self {
            Self::Clients(clients) => clients.end_ns(),
            Self::Recorded(replay) => replay.end_ns(),
        }
    }

    /// How many are planned before an instant of run time, where that is known at once.
    pub(crate) fn count_before(&self, at_ns: u64) -> Option<u64> {
        match self {
            Self::Clients(_) => None,
            Self::Recorded(replay) => Some(replay.count_before(at_ns)),
        }
    }

    pub(crate) fn at_the_start(&self) -> Self {
        match self {
            Self::Clients(clients) => Self::Clients(clients.at_the_start()),
            Self::Recorded(replay) => Self::Recorded(replay.at_the_start()),
        }
    }

    #[inline]
    pub(crate) fn next_before(&mut self, limit_ns: u64) -> Next {
        match self {
            Self::Clients(clients) => clients.next_before(limit_ns),
            Self::Recorded(replay) => replay.next_before(limit_ns),
        }
    }
}
