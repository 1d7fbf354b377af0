//! How a program runs: from one thing that takes time to the next. Without I/O and without a clock, so that the same
//! instructions run in a test as in a session.

use nuncius_scenario::draw::{DrawKey, Draws};
use nuncius_scenario::scope::Scope;
use nuncius_scenario::template::Template;
use nuncius_scenario::{TemplateError, value};
use nuncius_schemas::metric::FailureKind;
use serde_json::Value;

use super::compiled::Program;
use super::instruction::{Instruction, Pc, Rounds, Test};

/// Member of the variable of a loop that counts the rounds.
const LOOP_MEMBER: &str = "index";

/// Most instructions between two things that take time. A loop that does more goes round for nothing.
pub(crate) const INSTRUCTIONS_MAX: u32 = 10_000_000;

/// After so many instructions in a row others have their turn.
pub(crate) const BREATH_INSTRUCTIONS: u32 = 1_000;

/// Most bytes that a template makes.
pub(crate) const MADE_MAX_BYTES: usize = nuncius_scenario::error::MADE_MAX_BYTES;

/// What is known of an iteration beside its variables.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) key: DrawKey,
    pub(crate) iteration: u64,
    pub(crate) user: u64,
    /// Asked where templates are filled in, and not where a program only goes on.
    pub(crate) now_unix_ms: fn() -> u64,
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// What an iteration remembers: its variables, and how often it was where.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By slot.
    pub(crate) variables: Vec<Option<Value>>,
    /// How often each instruction was come to: no two passes draw the same.
    passes: Vec<u32>,
    loops: Vec<Looping>,
}

/// A loop that is under way.
#[derive(Debug, Default)]
struct Looping {
    /// Rounds that were begun.
    begun: u32,
    /// Rounds that there are to be, unless a condition says.
    rounds: u32,
    /// Items still to come, the next one last.
    items: Vec<Value>,
    /// What the loop around this one had as its variable.
    outer: Option<Value>,
}

/// Where a session, or a branch of one, is.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) pc: Pc,
    /// Instructions since something took time.
    busy: u32,
    /// Its own `loop`: branches go round at the same time.
    looping: Option<Value>,
}

/// What is to be done by whoever runs the program.
#[derive(Debug)]
pub(crate) enum Event<'p> {
    /// An action, by its number, with what it draws from.
    Do(u16, Draws),
    /// A function of the script, by its number in the program, with what it draws from.
    Call(u16, Draws),
    /// A pause, in nanoseconds.
    Think(u64),
    /// Steps that were passed over.
    Skipped(&'p [u16]),
    /// Branches that are run at once, so many of them at a time; the cursor stands where they meet.
    Fork(&'p [Pc], usize),
    /// A line for the log.
    Log(String),
    /// Others may have their turn.
    Breath,
    /// The end of a branch.
    Joined,
    /// The end of the iteration.
    Ended,
}

/// Why an iteration cannot go on. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// At which instruction.
    pub(crate) pc: Pc,
    pub(crate) kind: FailureKind,
    pub(crate) text: String,
}

impl Cursor {
    pub(crate) const fn at(pc: Pc) -> Self {
        Self { pc, busy: 0, looping: None }
    }

    /// A branch of this one.
    pub(crate) fn branch(&self, pc: Pc) -> Self {
        Self { pc, busy: 0, looping: self.looping.clone() }
    }
}

impl Memory {
    /// Ready for an iteration of this program; what was allocated is kept.
    pub(crate) fn reset(&mut self, program: &Program) {
        self.variables.clear();
        self.variables.resize(program.names.len(), None);
        self.passes.clear();
        self.passes.resize(program.instructions.len(), 0);
        self.loops.clear();
        self.loops.resize_with(usize::from(program.loops), Looping::default);
    }

    /// What templates see.
    pub(crate) fn scope<'a>(&'a self, program: &'a Program, facts: &Facts<'a>) -> Scope<'a> {
        Scope {
            names: &program.names,
            variables: &self.variables,
            shared: &program.shared,
            iteration: facts.iteration,
            user: facts.user,
            now_unix_ms: (facts.now_unix_ms)(),
            environment: facts.environment,
            made_max_bytes: MADE_MAX_BYTES,
        }
    }

    /// What this pass through an instruction draws from.
    fn draws(&mut self, pc: Pc, facts: &Facts<'_>) -> Draws {
        let Some(pass) = self.passes.get_mut(usize::from(pc)) else { return Draws::new(facts.key, 0, pc, 0) };
        let draws = Draws::new(facts.key, facts.iteration, pc, *pass);
        *pass = pass.wrapping_add(1);
        draws
    }

    /// Shows templates the `loop` of a cursor; a second time hides it again.
    pub(crate) fn swap(&mut self, program: &Program, cursor: &mut Cursor) {
        if let Some(variable) = self.variables.get_mut(usize::from(program.loop_slot)) {
            std::mem::swap(variable, &mut cursor.looping);
        }
    }

    pub(crate) fn set(&mut self, slot: u16, value: Option<Value>) {
        if let Some(variable) = self.variables.get_mut(usize::from(slot)) {
            *variable = value;
        }
    }
}

/// Goes on until something takes time.
///
/// # Errors
/// The iteration cannot go on.
pub(crate) fn advance<'p>(
    program: &'p Program,
    cursor: &mut Cursor,
    memory: &mut Memory,
    facts: &Facts<'_>,
) -> Result<Event<'p>, Fault> {
    memory.swap(program, cursor);
    let event = run(program, cursor, memory, facts);
    memory.swap(program, cursor);
    event
}

fn run<'p>(
    program: &'p Program,
    cursor: &mut Cursor,
    memory: &mut Memory,
    facts: &Facts<'_>,
) -> Result<Event<'p>, Fault> {
    loop {
        let pc = cursor.pc;
        let fault = |error: TemplateError| Fault { pc, kind: FailureKind::Template, text: error.to_string() };
        cursor.busy += 1;
        if cursor.busy > INSTRUCTIONS_MAX {
            let text = format!("more than {INSTRUCTIONS_MAX} instructions without a request or a pause");
            return Err(Fault { pc, kind: FailureKind::Template, text });
        }
        if cursor.busy.is_multiple_of(BREATH_INSTRUCTIONS) {
            return Ok(Event::Breath);
        }
        // Whoever runs off the end is at the end.
        let Some(instruction) = program.instructions.get(usize::from(pc)) else { return Ok(Event::Ended) };
        cursor.pc = pc.saturating_add(1);
        match instruction {
            Instruction::Do(action) => {
                cursor.busy = 0;
                return Ok(Event::Do(*action, memory.draws(pc, facts)));
            }
            Instruction::Call(call) => {
                cursor.busy = 0;
                return Ok(Event::Call(*call, memory.draws(pc, facts)));
            }
            Instruction::Think(think) => {
                cursor.busy = 0;
                return Ok(Event::Think(think.draw_ns(&mut memory.draws(pc, facts))));
            }
            Instruction::Set(values) => {
                let mut draws = memory.draws(pc, facts);
                let scope = memory.scope(program, facts);
                let made: Result<Vec<(u16, Value)>, TemplateError> =
                    values.iter().map(|(slot, template)| Ok((*slot, template.value(&scope, &mut draws)?))).collect();
                for (slot, value) in made.map_err(fault)? {
                    memory.set(slot, Some(value));
                }
            }
            Instruction::Jump(to) => cursor.pc = *to,
            Instruction::JumpUnless(test, to) => {
                let mut draws = memory.draws(pc, facts);
                let holds = match test {
                    Test::Happens(probability) => draws.happens(*probability),
                    Test::Holds(condition) => {
                        condition.is_true(&memory.scope(program, facts), &mut draws).map_err(fault)?
                    }
                };
                if !holds {
                    cursor.pc = *to;
                }
            }
            Instruction::Skip(steps) => return Ok(Event::Skipped(steps)),
            Instruction::Begin(number, rounds) => begin(program, memory, facts, pc, *number, rounds)?,
            Instruction::Round { number, item, condition, at_most, exit } => {
                let goes_on = match condition {
                    Some(condition) => holds(program, memory, facts, pc, condition).map_err(fault)?,
                    None => true,
                };
                match round(program, memory, *number, *item, goes_on, *at_most) {
                    Ok(true) => {}
                    Ok(false) => cursor.pc = *exit,
                    Err(text) => return Err(Fault { pc, kind: FailureKind::Template, text }),
                }
            }
            Instruction::Fork { branches, at_most, join } => {
                cursor.busy = 0;
                cursor.pc = *join;
                return Ok(Event::Fork(branches, usize::from(*at_most)));
            }
            Instruction::Log(template) => {
                let mut draws = memory.draws(pc, facts);
                let text = template.text(&memory.scope(program, facts), &mut draws).map_err(fault)?;
                return Ok(Event::Log(text));
            }
            Instruction::Join => {
                cursor.pc = pc;
                return Ok(Event::Joined);
            }
            Instruction::End => {
                cursor.pc = pc;
                return Ok(Event::Ended);
            }
        }
    }
}

fn holds(
    program: &Program,
    memory: &mut Memory,
    facts: &Facts<'_>,
    pc: Pc,
    condition: &Template,
) -> Result<bool, TemplateError> {
    let mut draws = memory.draws(pc, facts);
    condition.is_true(&memory.scope(program, facts), &mut draws)
}

/// A loop begins: how often it goes round is worked out once, unless a condition says.
fn begin(
    program: &Program,
    memory: &mut Memory,
    facts: &Facts<'_>,
    pc: Pc,
    number: u16,
    rounds: &Rounds,
) -> Result<(), Fault> {
    let fault = |text: String| Fault { pc, kind: FailureKind::Template, text };
    let mut draws = memory.draws(pc, facts);
    let (rounds, items) = match rounds {
        Rounds::Count(count) => (*count, Vec::new()),
        Rounds::CountOf(template) => {
            let scope = memory.scope(program, facts);
            let count = template.value(&scope, &mut draws).map_err(|error| fault(error.to_string()))?;
            let count = whole(&count).ok_or_else(|| {
                fault(format!("the rounds of a loop are a whole number from 0, not {}", value::kind(&count)))
            })?;
            (count, Vec::new())
        }
        Rounds::Over(template) => {
            let scope = memory.scope(program, facts);
            match template.value(&scope, &mut draws).map_err(|error| fault(error.to_string()))? {
                Value::Array(mut items) => {
                    items.reverse();
                    (u32::try_from(items.len()).unwrap_or(u32::MAX), items)
                }
                other => return Err(fault(format!("a loop goes over a list, not over {}", value::kind(&other)))),
            }
        }
        Rounds::While => (u32::MAX, Vec::new()),
    };
    let slot = usize::from(program.loop_slot);
    let outer = memory.variables.get_mut(slot).and_then(Option::take);
    if let Some(looping) = memory.loops.get_mut(usize::from(number)) {
        *looping = Looping { begun: 0, rounds, items, outer };
    }
    Ok(())
}

/// A whole number from 0, or the text of one.
fn whole(count: &Value) -> Option<u32> {
    match value::numeric(count)? {
        value::number::Numeric::Whole(count) => u32::try_from(count).ok(),
        value::number::Numeric::Real(count) if count.trunc() == count && (0.0..=4e9).contains(&count) => {
            Some(count as u32)
        }
        value::number::Numeric::Real(_) => None,
    }
}

/// Begins another round, if there is one; otherwise the loop is over.
fn round(
    program: &Program,
    memory: &mut Memory,
    number: u16,
    item: Option<u16>,
    goes_on: bool,
    at_most: u32,
) -> Result<bool, String> {
    let slot = usize::from(program.loop_slot);
    let Some(looping) = memory.loops.get_mut(usize::from(number)) else { return Ok(false) };
    if !goes_on || looping.begun >= looping.rounds {
        if let Some(variable) = memory.variables.get_mut(slot) {
            *variable = looping.outer.take();
        }
        return Ok(false);
    }
    if looping.begun >= at_most {
        return Err(format!("the loop would go round more than {at_most} times: raise its `at_most`"));
    }
    let index = looping.begun;
    looping.begun += 1;
    if let Some(variable) = memory.variables.get_mut(slot) {
        match variable.as_mut().and_then(|value| value.get_mut(LOOP_MEMBER)) {
            Some(known) => *known = Value::from(index),
            None => *variable = Some(serde_json::json!({ LOOP_MEMBER: index })),
        }
    }
    if let Some(item) = item {
        let value = looping.items.pop();
        memory.set(item, value);
    }
    Ok(true)
}
