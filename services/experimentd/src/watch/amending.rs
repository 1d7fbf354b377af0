//! Amendments of the load while it is offered.
//!
//! One holds from an instant that no node has leave to offer load at: the record has it before any horizon is moved
//! past that, and every horizon that is moved then carries it. So all nodes change at it, whichever daemon moves their
//! horizons, and one that hears of nothing stands before it.

use std::collections::BTreeMap;

use nuncius_load::schedule_of;
use nuncius_schemas::amendment::Amendment;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::spec::limits::AMENDMENTS_MAX;
use nuncius_schemas::units::HumanDuration;

use super::{Watch, lasts_until_ns};
use crate::control::Amending;
use crate::journal::JournalError;
use crate::timing::nanoseconds;

impl Watch<'_> {
    /// Makes an amendment, or says why it cannot be made.
    ///
    /// # Errors
    /// The run is no longer ours.
    pub(super) async fn amend(&mut self, asked: Amending) -> Result<(), JournalError> {
        let Amending { group, change, reason, who, answer } = asked;
        let at_ns = self.amendable_from_ns();
        let amendment = Amendment { at: HumanDuration(at_ns), group, change, reason, who };
        let spec = match self.amended(&amendment) {
            Ok(spec) => spec,
            Err(problem) => {
                let _ = answer.send(Err(problem));
                return Ok(());
            }
        };
        // First of all the record: whoever moves a horizon after this finds the amendment there.
        self.running.journal.record.spec = spec;
        self.running.journal.write().await?;
        let spec = &self.running.journal.record.spec;
        self.seconds.amend(spec, &self.plan.nodes_per_group);
        self.judge.amend(spec, &self.plan.nodes_per_group);
        (self.end_ns, self.lasts_until_ns) = (spec.amended_end_ns(), lasts_until_ns(spec));
        self.checkpointing.hurry();
        let by = amendment.who.as_ref().map_or_else(String::new, |who| format!(", by {who}"));
        let why = if amendment.reason.is_empty() { String::new() } else { format!(": {}", amendment.reason) };
        let mut data =
            BTreeMap::from([("change".to_owned(), amendment.change.told()), ("at_ns".to_owned(), at_ns.to_string())]);
        data.extend(amendment.group.clone().map(|group| ("group".to_owned(), group)));
        self.running.journal.say(EventKind::Control, &format!("{}{by}{why}", amendment.told()), data).await;
        // Whoever does not wait for it has it all the same.
        let _ = answer.send(Ok(at_ns));
        for name in self.names.clone() {
            self.extend(&name);
        }
        Ok(())
    }

    /// The first instant of run time that no node may have leave to offer load at, now or as what it takes over.
    fn amendable_from_ns(&self) -> u64 {
        let horizons = self.names.iter().map(|name| self.asking.horizon_ns(name));
        let moves = self.moves.iter().map(|made| made.from_ns);
        let known_ns = horizons.chain(moves).max().unwrap_or(0);
        // Where all stand at their horizons they hear of it first.
        let lead_ns = nanoseconds(self.running.daemon.timing.takeover_lead);
        known_ns.max(self.run_ns().saturating_add(lead_ns))
    }

    /// The specification with one more amendment; why it cannot be had.
    fn amended(&self, amendment: &Amendment) -> Result<ExperimentSpec, String> {
        if self.cut_short.is_some() || self.draining {
            return Err("its load is over".to_owned());
        }
        let at_ns = amendment.at.0;
        if let Some(end_ns) = self.end_ns.filter(|end_ns| at_ns >= *end_ns) {
            return Err(format!(
                "its load ends at {}, before a change could take effect, which is at the end of the horizon at {}: a \
                 shorter `horizon` in the specification makes changes take effect sooner",
                HumanDuration(end_ns),
                HumanDuration(at_ns)
            ));
        }
        let mut spec = self.running.journal.record.spec.clone();
        if spec.amendments.len() >= AMENDMENTS_MAX {
            return Err(format!("it was amended {AMENDMENTS_MAX} times, which is as often as it can be"));
        }
        spec.check_amendment("", amendment).map_err(|error| error.problem)?;
        // Amendments that were planned for later are later still.
        let place = spec.amendments.partition_point(|known| known.at <= amendment.at);
        if place < spec.amendments.len() {
            return Err("it has amendments of its own that come later: they would be moved".to_owned());
        }
        spec.amendments.push(amendment.clone());
        for (index, group) in (0u16..).zip(&spec.groups).filter(|(_, group)| group.is_open()) {
            let nodes = self.plan.nodes_per_group.get(usize::from(index)).copied().unwrap_or(1);
            schedule_of(&spec, index, group, nodes).map_err(|error| error.to_string())?;
        }
        Ok(spec)
    }
}
