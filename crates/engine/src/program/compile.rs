//! From steps to instructions: blocks become jumps, names become slots, texts become templates.

use std::collections::HashMap;

use nuncius_scenario::TemplateError;
use nuncius_scenario::json_template::JsonTemplate;
use nuncius_scenario::names::Names;
use nuncius_scenario::template::Template;
use nuncius_scenario::think::Think;
use nuncius_schemas::flow::{self, Count, If, Loop, Op, Parallel, Step};

use super::instruction::{INSTRUCTIONS_MAX, Instruction, Pc, Place, Rounds, Test};
use crate::error::PlanError;

/// What an instruction sends, still as it is written.
#[derive(Debug)]
pub(crate) struct Sender<'s> {
    /// Number of the step in the table.
    pub(crate) number: u16,
    /// Path of the step in the specification, below that of its group.
    pub(crate) path: String,
    pub(crate) step: &'s Step,
}

/// Steps compiled. [`Instruction::Do`] and [`Instruction::Call`] name their senders by index.
#[derive(Debug, Default)]
pub(crate) struct Compiled<'s> {
    pub(crate) instructions: Vec<Instruction>,
    /// One for each instruction.
    pub(crate) places: Vec<Place>,
    /// What sends something.
    pub(crate) senders: Vec<Sender<'s>>,
    /// Calls of functions.
    pub(crate) calls: Vec<Sender<'s>>,
    pub(crate) loops: u16,
}

/// Compiles lists of steps one after the other.
pub(crate) struct Compiler<'s, 'n> {
    /// Path of the group.
    group: &'n str,
    /// Numbers of the measured steps, by their paths below the group's.
    numbers: &'n HashMap<String, u16>,
    names: &'n mut Names,
    compiled: Compiled<'s>,
}

impl<'s, 'n> Compiler<'s, 'n> {
    pub(crate) fn new(group: &'n str, numbers: &'n HashMap<String, u16>, names: &'n mut Names) -> Self {
        Self { group, numbers, names, compiled: Compiled::default() }
    }

    /// Compiles what one iteration does; where it begins. `path` is that of the list, below that of the group.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn iteration(&mut self, path: &str, steps: &'s [Step]) -> Result<Pc, PlanError> {
        let entry = self.here();
        self.list(path, steps)?;
        self.emit(path, Instruction::End)?;
        Ok(entry)
    }

    pub(crate) fn finish(mut self) -> Compiled<'s> {
        // What is not measured itself is counted at what comes next, or else came before.
        let mut next = None;
        for place in self.compiled.places.iter_mut().rev() {
            if place.step == NOT_MEASURED {
                place.step = next.unwrap_or(NOT_MEASURED);
            } else {
                next = Some(place.step);
            }
        }
        let mut last = 0;
        for place in &mut self.compiled.places {
            if place.step == NOT_MEASURED {
                place.step = last;
            }
            last = place.step;
        }
        self.compiled
    }

    fn here(&self) -> Pc {
        Pc::try_from(self.compiled.instructions.len()).unwrap_or(Pc::MAX)
    }

    fn emit(&mut self, path: &str, instruction: Instruction) -> Result<Pc, PlanError> {
        let pc = self.here();
        if self.compiled.instructions.len() >= INSTRUCTIONS_MAX {
            let problem = format!("the group has more than {INSTRUCTIONS_MAX} instructions");
            return Err(PlanError::Field { field: format!("{}.{path}", self.group), problem });
        }
        let step = self.numbers.get(path).copied().unwrap_or(NOT_MEASURED);
        self.compiled.instructions.push(instruction);
        self.compiled.places.push(Place { step, path: path.into() });
        Ok(pc)
    }

    /// The jump at `pc` goes to where the next instruction will be.
    fn land(&mut self, pc: Pc) {
        let here = self.here();
        match self.compiled.instructions.get_mut(usize::from(pc)) {
            Some(
                Instruction::Jump(to)
                | Instruction::JumpUnless(_, to)
                | Instruction::Round { exit: to, .. }
                | Instruction::Fork { join: to, .. },
            ) => *to = here,
            Some(
                Instruction::Do(_)
                | Instruction::Call(_)
                | Instruction::Think(_)
                | Instruction::Set(_)
                | Instruction::Skip(_)
                | Instruction::Begin(..)
                | Instruction::Log(_)
                | Instruction::Join
                | Instruction::End,
            )
            | None => {}
        }
    }

    fn refused(&self, field: &str, error: &TemplateError) -> PlanError {
        PlanError::Field { field: format!("{}.{field}", self.group), problem: error.to_string() }
    }

    fn list(&mut self, path: &str, steps: &'s [Step]) -> Result<(), PlanError> {
        for (index, step) in steps.iter().enumerate() {
            self.step(&format!("{path}[{index}]"), step)?;
        }
        Ok(())
    }

    fn step(&mut self, path: &str, step: &'s Step) -> Result<(), PlanError> {
        let mut passing = Vec::new();
        if let Some(probability) = step.probability.filter(|probability| *probability < 1.0) {
            passing.push(self.emit(path, Instruction::JumpUnless(Test::Happens(probability), 0))?);
        }
        if let Some(condition) = &step.condition {
            let condition = self.condition(&format!("{path}.if"), condition)?;
            passing.push(self.emit(path, Instruction::JumpUnless(Test::Holds(condition), 0))?);
        }
        self.verb(path, step)?;
        if passing.is_empty() {
            return Ok(());
        }
        let skipped = self.measured_in(path, step);
        if skipped.is_empty() {
            passing.into_iter().for_each(|pc| self.land(pc));
            return Ok(());
        }
        let over = self.emit(path, Instruction::Jump(0))?;
        passing.into_iter().for_each(|pc| self.land(pc));
        self.emit(path, Instruction::Skip(skipped.into()))?;
        self.land(over);
        Ok(())
    }

    /// The measured steps that a step is, or has in its blocks.
    fn measured_in(&self, path: &str, step: &Step) -> Vec<u16> {
        let mut found: Vec<u16> = self.numbers.get(path).copied().into_iter().collect();
        for (below, child) in step.children() {
            found.extend(self.measured_in(&format!("{path}{below}"), child));
        }
        found
    }

    fn measured_among(&self, path: &str, steps: &[Step]) -> Vec<u16> {
        let numbered = steps.iter().enumerate();
        numbered.flat_map(|(index, step)| self.measured_in(&format!("{path}[{index}]"), step)).collect()
    }

    fn verb(&mut self, path: &str, step: &'s Step) -> Result<(), PlanError> {
        match &step.op {
            None | Some(Op::Http(..) | Op::Ws(_) | Op::SocketIo(_) | Op::Nats(_)) => {
                let sender = self.sender(path, step);
                self.compiled.senders.push(sender);
                let index = self.compiled.senders.len() - 1;
                self.emit(path, Instruction::Do(index as u16))?;
            }
            Some(Op::Call(_)) => {
                let sender = self.sender(path, step);
                self.compiled.calls.push(sender);
                let index = self.compiled.calls.len() - 1;
                self.emit(path, Instruction::Call(index as u16))?;
            }
            Some(Op::Think(think)) => {
                let think = self.think(&format!("{path}.think"), think)?;
                self.emit(path, Instruction::Think(think))?;
            }
            Some(Op::Set(values)) => {
                let mut made = Vec::with_capacity(values.len());
                for (name, value) in values {
                    let field = format!("{path}.set.{name}");
                    let template = JsonTemplate::parse(value, self.names);
                    let template = template.map_err(|error| self.refused(&field, &error))?;
                    made.push((self.slot(&field, name)?, template));
                }
                self.emit(path, Instruction::Set(made.into()))?;
            }
            Some(Op::Loop(one)) => self.around(path, one)?,
            Some(Op::If(branches)) => self.either(path, branches)?,
            Some(Op::Parallel(parallel)) => self.at_once(path, parallel)?,
            Some(Op::Log(text)) => {
                let template = self.template(&format!("{path}.log"), text)?;
                self.emit(path, Instruction::Log(template))?;
            }
        }
        Ok(())
    }

    fn sender(&self, path: &str, step: &'s Step) -> Sender<'s> {
        let number = self.numbers.get(path).copied().unwrap_or_default();
        Sender { number, path: path.to_owned(), step }
    }

    fn around(&mut self, path: &str, one: &'s Loop) -> Result<(), PlanError> {
        let number = self.compiled.loops;
        self.compiled.loops += 1;
        let (mut item, mut condition) = (None, None);
        let rounds = match &one.rounds {
            flow::Rounds::Count(Count::Number(count)) => Rounds::Count(*count),
            flow::Rounds::Count(Count::Template(text)) => {
                Rounds::CountOf(self.template(&format!("{path}.loop.count"), text)?)
            }
            flow::Rounds::Over { list, item: name } => {
                item = Some(self.slot(&format!("{path}.loop.as"), name)?);
                let list = JsonTemplate::parse(list, self.names);
                Rounds::Over(list.map_err(|error| self.refused(&format!("{path}.loop.over"), &error))?)
            }
            flow::Rounds::While(text) => {
                condition = Some(self.condition(&format!("{path}.loop.while"), text)?);
                Rounds::While
            }
        };
        self.emit(path, Instruction::Begin(number, rounds))?;
        let round = Instruction::Round { number, item, condition, at_most: one.at_most(), exit: 0 };
        let top = self.emit(path, round)?;
        self.list(&format!("{path}.loop.steps"), &one.steps)?;
        self.emit(path, Instruction::Jump(top))?;
        self.land(top);
        Ok(())
    }

    fn either(&mut self, path: &str, branches: &'s If) -> Result<(), PlanError> {
        let (then, otherwise) = (format!("{path}.if.then"), format!("{path}.if.else"));
        let condition = self.condition(&format!("{path}.if.condition"), &branches.condition)?;
        let unless = self.emit(path, Instruction::JumpUnless(Test::Holds(condition), 0))?;
        self.pass_over(path, &otherwise, &branches.otherwise)?;
        self.list(&then, &branches.then)?;
        let over = self.emit(path, Instruction::Jump(0))?;
        self.land(unless);
        self.pass_over(path, &then, &branches.then)?;
        self.list(&otherwise, &branches.otherwise)?;
        self.land(over);
        Ok(())
    }

    fn pass_over(&mut self, path: &str, list: &str, steps: &[Step]) -> Result<(), PlanError> {
        let skipped = self.measured_among(list, steps);
        if !skipped.is_empty() {
            self.emit(path, Instruction::Skip(skipped.into()))?;
        }
        Ok(())
    }

    fn at_once(&mut self, path: &str, parallel: &'s Parallel) -> Result<(), PlanError> {
        let count = parallel.branches.len();
        let at_most = parallel.at_most.map_or(count, |at_most| (at_most as usize).min(count));
        let at_most = u16::try_from(at_most).unwrap_or(u16::MAX);
        let fork = self.emit(path, Instruction::Fork { branches: Box::new([]), at_most, join: 0 })?;
        let mut entries = Vec::with_capacity(count);
        for (branch, steps) in parallel.branches.iter().enumerate() {
            entries.push(self.here());
            for (index, step) in steps.iter().enumerate() {
                self.step(&format!("{path}.parallel{}", parallel.step_path(branch, index)), step)?;
            }
            self.emit(path, Instruction::Join)?;
        }
        if let Some(Instruction::Fork { branches, .. }) = self.compiled.instructions.get_mut(usize::from(fork)) {
            *branches = entries.into();
        }
        self.land(fork);
        Ok(())
    }

    fn think(&self, field: &str, think: &flow::Think) -> Result<Think, PlanError> {
        let made = match think {
            flow::Think::Fixed(time) => Think::fixed(time.0),
            flow::Think::Between(from, to) => Think::between(from.0, to.0),
            flow::Think::Around { time, jitter } => Think::jittered(time.0, jitter.as_share()),
        };
        made.map_err(|error| PlanError::Field { field: format!("{}.{field}", self.group), problem: error.to_string() })
    }

    fn slot(&mut self, field: &str, name: &str) -> Result<u16, PlanError> {
        self.names.slot(name).map_err(|error| self.refused(field, &error))
    }

    fn template(&mut self, field: &str, text: &str) -> Result<Template, PlanError> {
        Template::parse(text, self.names).map_err(|error| self.refused(field, &error))
    }

    fn condition(&mut self, field: &str, text: &str) -> Result<Template, PlanError> {
        Template::parse_condition(text, self.names).map_err(|error| self.refused(field, &error))
    }
}

/// Of a place until it is known where it is counted.
const NOT_MEASURED: u16 = u16::MAX;
