//! How a watch begins: with a run that has just been started, or where another daemon has left one.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_clock::monotonic_ns;
use nuncius_schemas::codec;
use nuncius_schemas::spec::RecordsMode;
use nuncius_stats::Incarnation;

use super::asking::Asking;
use super::checkpointing::Checkpointing;
use super::hearing::Hearing;
use super::table::Routing;
use super::{Watch, lasts_until_ns};
use crate::begun::Begun;
use crate::checkpoint::Progress;
use crate::judge::{Judge, iteration_recorders};
use crate::outcome::ClockSeen;
use crate::plan::Plan;
use crate::records::{Gathered, Gathering};
use crate::running::{Running, Stopped};
use crate::seconds::Seconds;
use crate::sources::Sources;
use crate::tell::Teller;
use crate::timing::nanoseconds;
use crate::totals::RunTotals;

impl<'a> Watch<'a> {
    pub(super) fn begin(running: &'a mut Running, plan: &Plan, begun: Begun) -> Result<Self, Stopped> {
        let spec = running.journal.record.spec.clone();
        let id = running.journal.record.id.clone();
        let attempt = running.journal.record.attempt;
        let names: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        let (bus, store) = (running.daemon.bus.clone(), running.daemon.store.clone());
        let mut watch = Watch {
            asking: Asking::new(&bus, &running.daemon.timing, &names, begun.horizon_ns),
            epochs: plan.nodes.iter().map(|node| (node.name.clone(), node.epoch)).collect(),
            attempt,
            start_at_ns: begun.start_at_ns,
            start_unix_ns: begun.start_unix_ns,
            horizon_ns: begun.horizon_ns,
            end_ns: spec.amended_end_ns(),
            lasts_until_ns: lasts_until_ns(&spec),
            totals: RunTotals::new(iteration_recorders(&spec)),
            judge: Judge::new(&spec, &plan.nodes_per_group),
            clocks: begun
                .offsets
                .into_iter()
                .map(|(node, offset)| (node, ClockSeen { first: offset, last: offset }))
                .collect(),
            lost: BTreeMap::new(),
            cut_short: None,
            pressure_problems: Vec::new(),
            stopped_ns: None,
            ended_ns: 0,
            seconds: Seconds::new(&id, &spec, &plan.nodes_per_group, begun.start_unix_ns),
            teller: Teller::start(bus.clone(), running.journal.storing.clone()),
            stream_sequence: 0,
            routing: Routing::default(),
            hearing: Hearing::new(
                names.iter(),
                monotonic_ns().max(begun.start_at_ns),
                nanoseconds(running.daemon.timing.silence),
            ),
            strangers: BTreeSet::new(),
            moves: Vec::new(),
            gathering: None,
            stood_still: BTreeSet::new(),
            checkpointing: Checkpointing::new(&running.daemon.timing),
            sources: Sources::of(&bus.namespace().metric("{experiment}", "{node}"), &id),
            draining: false,
            plan: plan.clone(),
            names,
            running,
        };
        for node in &plan.nodes {
            watch.totals.enroll(&node.name, Incarnation { epoch: node.epoch, attempt });
        }
        let mut gathered = Gathered::default();
        if let Some(progress) = begun.progress {
            gathered = watch.restore(progress).map_err(|problem| {
                Stopped::Failed(format!("daemon lost, and where the run stood cannot be read: {problem}"))
            })?;
        }
        if spec.records != RecordsMode::None {
            let gathering = Gathering::start(&bus, &store, (&id, attempt), &plan.nodes, &spec, gathered);
            watch.gathering = Some(gathering);
        }
        Ok(watch)
    }

    /// Goes on where another daemon stood.
    fn restore(&mut self, progress: Progress) -> Result<Gathered, codec::CodecError> {
        self.totals = codec::decode_own(&progress.totals)?;
        self.judge.restore(&progress.judge)?;
        self.seconds.restore(&progress.seconds)?;
        self.stream_sequence = progress.stream_sequence;
        self.lost = progress.lost;
        self.stood_still = progress.stood_still;
        for second in progress.untold {
            self.teller.tell(second);
        }
        self.moves = progress.moves;
        self.checkpointing.found_stored(self.moves.len());
        self.cut_short = progress.cut_short;
        self.pressure_problems = progress.problems;
        self.stopped_ns = progress.stopped_ns;
        self.ended_ns = progress.ended_ns;
        self.asking.restore(&progress.horizons_ns);
        Ok(Gathered::at(progress.records, progress.records_sequence))
    }
}
