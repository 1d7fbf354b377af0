//! Which scenario an iteration takes: by the weights that are in force at the instant that it was planned for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use nuncius_schemas::amendment::{Amendment, Change};

use crate::program::Program;
use crate::program::instruction::Pc;

/// The weights of a group's scenarios, as they were amended so far.
#[derive(Debug, Default)]
pub(super) struct Scenarios {
    /// How many amendments are known.
    known: Cell<usize>,
    /// From which instant of run time on which weights, in the order of the scenarios; the earliest first.
    amended: RefCell<Vec<(u64, Box<[f64]>)>>,
}

impl Scenarios {
    /// Where an iteration begins that was planned for an instant of run time. `amendments` are all that are known:
    /// later ones are of instants that nothing is planned for yet.
    pub(super) fn entry(
        &self,
        program: &Program,
        group: &str,
        amendments: &Arc<[Amendment]>,
        (iteration, planned_ns): (u64, u64),
    ) -> Pc {
        if self.known.replace(amendments.len()) != amendments.len() {
            self.amended.replace(weights(program, group, amendments));
        }
        let amended = self.amended.borrow();
        let weights = amended.iter().rfind(|(from_ns, _)| *from_ns <= planned_ns).map(|(_, weights)| &**weights);
        program.entry(iteration, weights)
    }
}

fn weights(program: &Program, group: &str, amendments: &[Amendment]) -> Vec<(u64, Box<[f64]>)> {
    let mut now: Vec<f64> = program.weights().to_vec();
    let mut all = Vec::new();
    for amendment in amendments.iter().filter(|amendment| amendment.concerns(group)) {
        let Change::Weights(changed) = &amendment.change else { continue };
        for (weight, name) in now.iter_mut().zip(program.scenarios()) {
            if let Some(changed) = changed.get(name) {
                *weight = changed.value();
            }
        }
        all.push((amendment.at.0, now.clone().into()));
    }
    all
}
