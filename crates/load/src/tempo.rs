//! Time of their own, in which clients wait and recorded arrivals come: scaled by two it passes twice as fast, in a
//! pause it stands still, and goes on afterwards where it stood.

use nuncius_schemas::amendment::Multiplier;

/// How fast such time passes, and how many clients there are, from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tempo {
    /// From when on, in nanoseconds of run time.
    pub from_ns: u64,
    /// Own time over run time; nothing in a pause.
    pub factor: Multiplier,
    /// Clients; nothing where there are none.
    pub count: u32,
}

/// All of such a time: one tempo at least, each from the instant of its own on.
#[derive(Debug, Clone)]
pub(crate) struct Stretches(Vec<Stretch>);

impl Stretches {
    /// Of a time that has so many clients.
    pub(crate) fn new(count: u32) -> Self {
        Self(vec![Stretch::first(count)])
    }

    /// From an instant on it passes otherwise.
    pub(crate) fn amend(&mut self, tempo: Tempo) {
        let next = self.0.last().map(|last| last.followed_by(tempo));
        self.0.extend(next);
    }

    /// How many tempos there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Stretch> {
        self.0.get(at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stretch> {
        self.0.iter()
    }

    /// Until when the tempo of this number lasts, in nanoseconds of run time; without end where it is the last.
    pub(crate) fn until_ns(&self, at: usize) -> Option<u64> {
        self.get(at + 1).map(|next| next.tempo.from_ns)
    }
}

/// A tempo, and where own time is when it begins, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) tempo: Tempo,
    pub(crate) own_ns: u64,
}

impl Stretch {
    /// The first of a time that has so many clients.
    fn first(count: u32) -> Self {
        Self { tempo: Tempo { from_ns: 0, factor: Multiplier::default(), count }, own_ns: 0 }
    }

    /// What follows from another tempo on; an earlier instant than that of this one counts as that.
    fn followed_by(&self, tempo: Tempo) -> Self {
        let tempo = Tempo { from_ns: tempo.from_ns.max(self.tempo.from_ns), ..tempo };
        Self { tempo, own_ns: self.own_at(tempo.from_ns) }
    }

    /// Own time at an instant of run time.
    fn own_at(&self, run_ns: u64) -> u64 {
        self.own_ns.saturating_add(self.tempo.factor.times(run_ns.saturating_sub(self.tempo.from_ns)))
    }

    /// The run time at which own time is `own_ns`; never in a pause.
    pub(crate) fn run_at(&self, own_ns: u64) -> u64 {
        let (passed, factor) = (own_ns.saturating_sub(self.own_ns), self.tempo.factor.0);
        let run = u128::from(passed) * u128::from(Multiplier::ONE);
        match run.checked_div(u128::from(factor)) {
            Some(run) => self.tempo.from_ns.saturating_add(u64::try_from(run).unwrap_or(u64::MAX)),
            None => u64::MAX,
        }
    }
}
