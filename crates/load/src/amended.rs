//! A group's schedule as its specification and the amendments of that have it.

use nuncius_schemas::amendment::{Amended, Amendment, Multiplier};
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group, Instants, RecordedArrivals, Stage};
use nuncius_schemas::units::{HumanDuration, Rate, SECOND_NS};

use crate::leg::{Leg, cut, with_rates};
use crate::own::OwnArrivals;
use crate::pattern::legs_of_pattern;
use crate::profile::{ProfileError, RateProfile};
use crate::renewal::Renewals;
use crate::replay::Replay;
use crate::schedule::{Schedule, Spacing};
use crate::tempo::Tempo;

/// Legs that are in force from an instant of run time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The instant, in nanoseconds of run time.
    pub from_ns: u64,
    /// From then to the end of the group's load.
    pub legs: Vec<Leg>,
}

/// The load of an open group before anybody amended it.
#[derive(Debug, Clone)]
pub struct Basis {
    group: String,
    /// What is planned; on average, where clients or a file decide when.
    legs: Vec<Leg>,
    nodes: u32,
    /// Where it is clients or a file who decide: how many clients there are, 0 of a file.
    own: Option<u32>,
}

impl Basis {
    /// Of an open group whose number in the specification is `index`, on so many nodes.
    ///
    /// # Errors
    /// A pattern that changes too often; a file of arrivals that nobody has read.
    pub fn of(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Result<Self, ProfileError> {
        let nodes = if group.rate_per_node { nodes.max(1) } else { 1 };
        let legs = legs_of(spec, index, group)?;
        let own = match &group.arrivals {
            Arrivals::Recorded(_) => Some(0),
            Arrivals::Constant | Arrivals::Poisson => group.clients.as_ref().map(|clients| clients.count),
        };
        let legs = with_rates(&legs, |rate| Rate(rate.0.saturating_mul(u64::from(nodes))));
        Ok(Self { group: group.name.clone(), legs, nodes, own })
    }

    /// Makes a schedule that knows the first of these amendments know all of them. They are of instants from which on
    /// nothing was taken from it.
    ///
    /// # Errors
    /// More arrivals than a schedule holds: those before are in force then.
    pub fn amend(&self, schedule: &mut Schedule, amendments: &[Amendment]) -> Result<(), ProfileError> {
        let known = schedule.pieces();
        if let Some(count) = self.own {
            for (from_ns, amended) in self.states(amendments).skip(known.saturating_sub(1)) {
                schedule.amend_own(tempo(from_ns, amended, count), amended.is_ended);
            }
            return Ok(());
        }
        for piece in self.pieces(amendments).into_iter().skip(known) {
            schedule.amend(piece.from_ns, RateProfile::of(piece.legs)?);
        }
        Ok(())
    }

    /// What the load is made of: as it was written, then one for each amendment of the group. From its end on there is
    /// nothing to amend.
    pub fn pieces(&self, amendments: &[Amendment]) -> Vec<Piece> {
        let first = Piece { from_ns: 0, legs: self.legs.clone() };
        let later = self.states(amendments).map(|(from_ns, amended)| {
            let legs = self.legs_from(from_ns, amended);
            Piece { from_ns, legs }
        });
        [first].into_iter().chain(later).collect()
    }

    /// When anything is planned, as spans of run time in nanoseconds: without pauses, and times at a rate of 0.
    pub fn spans(&self, amendments: &[Amendment]) -> Vec<(u64, u64)> {
        let pieces = self.pieces(amendments);
        let ends = pieces.iter().skip(1).map(|piece| piece.from_ns).chain([u64::MAX]);
        let mut spans = Vec::new();
        for (piece, until_ns) in pieces.iter().zip(ends) {
            let mut start_ns = piece.from_ns;
            for leg in &piece.legs {
                let end_ns = start_ns.saturating_add(leg.duration_ns());
                if leg.highest().0 > 0 {
                    spans.push((start_ns.min(until_ns), end_ns.min(until_ns)));
                }
                start_ns = end_ns;
            }
        }
        spans
    }

    /// From when on the group's amendments have made what of it.
    fn states(&self, amendments: &[Amendment]) -> impl Iterator<Item = (u64, Amended)> {
        let end_ns = self.legs.iter().fold(0u64, |sum, leg| sum.saturating_add(leg.duration_ns()));
        let own = amendments
            .iter()
            .filter(move |one| one.concerns(&self.group) && one.change.is_of_load() && one.at.0 < end_ns);
        own.scan(Amended::default(), |amended, amendment| {
            // Nothing follows an end.
            if amended.is_ended {
                return None;
            }
            *amended = amended.with(&amendment.change);
            Some((amendment.at.0, *amended))
        })
    }

    fn legs_from(&self, from_ns: u64, amended: Amended) -> Vec<Leg> {
        if amended.is_ended {
            return vec![Leg::Straight(Stage { duration: HumanDuration(0), rate: Rate(0), to: None })];
        }
        let rest = cut(&self.legs, from_ns);
        let changed = |rate: Rate| match amended {
            Amended { is_paused: true, .. } => Rate(0),
            Amended { rate: Some(rate), .. } => Rate(rate.0.saturating_mul(u64::from(self.nodes))),
            Amended { factor, .. } => Rate(factor.times(rate.0)),
        };
        with_rates(&rest, changed)
    }
}

/// How the clients of a group that was written with so many go on, or its file.
fn tempo(from_ns: u64, amended: Amended, count: u32) -> Tempo {
    let factor = if amended.is_paused { Multiplier(0) } else { amended.factor };
    Tempo { from_ns, factor, count: amended.users.unwrap_or(count) }
}

/// What an open group offers, or one of its nodes where the rate is for each of them: its stages, or the legs of its
/// pattern; on average, where clients or a file decide when.
///
/// # Errors
/// As [`Basis::of`].
pub fn legs_of(spec: &ExperimentSpec, index: u16, group: &Group) -> Result<Vec<Leg>, ProfileError> {
    let duration_ns = group.duration.map_or(0, |duration| duration.0);
    if let Arrivals::Recorded(recorded) = &group.arrivals {
        let before = instants_of(recorded)?.0.partition_point(|at_ns| *at_ns < duration_ns);
        let rate =
            u128::from(Rate::PER_SECOND) * u128::from(SECOND_NS) * before as u128 / u128::from(duration_ns.max(1));
        let rate = Rate(u64::try_from(rate).unwrap_or(u64::MAX).max(u64::from(before > 0)));
        return Ok(vec![Leg::Straight(Stage { duration: HumanDuration(duration_ns), rate, to: None })]);
    }
    match &group.pattern {
        Some(pattern) => legs_of_pattern(pattern, duration_ns, spec.seed, u32::from(index)),
        None => Ok(group.effective_stages().into_iter().map(Leg::Straight).collect()),
    }
}

/// The instants of a file of arrivals, once somebody has read it.
///
/// # Errors
/// Nobody has.
pub fn instants_of(recorded: &RecordedArrivals) -> Result<&Instants, ProfileError> {
    recorded.instants.as_ref().ok_or_else(|| ProfileError::NotRead { file: recorded.file.clone() })
}

/// The schedule of an open group whose number in the specification is `index`, on so many nodes, as it was amended.
///
/// # Errors
/// No stages, or more of them than a schedule holds; what [`Basis::of`] gives.
pub fn schedule_of(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Result<Schedule, ProfileError> {
    let basis = Basis::of(spec, index, group, nodes)?;
    let (profile, stream) = (RateProfile::of(basis.legs.iter().copied())?, u32::from(index));
    let end_ns = profile.duration_ns();
    let mut schedule = match (&group.arrivals, &group.clients) {
        (Arrivals::Recorded(recorded), _) => {
            let replay = Replay::new(instants_of(recorded)?.clone(), end_ns, group.iterations);
            Schedule::of_own(profile, OwnArrivals::Recorded(replay))
        }
        (Arrivals::Constant | Arrivals::Poisson, Some(clients)) => {
            let renewals = Renewals::new(clients.clone(), spec.seed, stream, end_ns, group.iterations);
            Schedule::of_own(profile, OwnArrivals::Clients(renewals))
        }
        (Arrivals::Constant, None) => Schedule::new(profile, Spacing::Even, spec.seed, stream, group.iterations),
        (Arrivals::Poisson, None) => Schedule::new(profile, Spacing::Poisson, spec.seed, stream, group.iterations),
    };
    basis.amend(&mut schedule, &spec.amendments)?;
    Ok(schedule)
}

#[cfg(test)]
mod tests;
