//! What one application's backend does with an event of its servo: (what it knows, event) to (what it knows then,
//! answer). Pure: nothing here reads a clock, a socket or a setting that is not handed in.
//!
//! In strict mode it must do exactly what the original did, its oddities included; the tests name each of them.

use serde::{Deserialize, Serialize};

use super::script::Command;

#[cfg(test)]
mod tests;

/// The cursor while the first command, DESCRIBE, is wanted: it comes before the script.
const BEFORE_SCRIPT: u32 = u32::MAX;

/// How strict a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As the original: errors of sequence are HTTP errors, everything is checked.
    #[default]
    Strict,
    /// As the service that servos are made for: errors of sequence are soft, and what may be repeated is.
    Service,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "service" => Ok(Self::Service),
            _ => Err("no such mode; write strict or service".to_owned()),
        }
    }
}

/// Where an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Initial,
    HelloReceived,
    StartMeasure,
    InMeasure,
    StartAdjust,
    InAdjust,
    Terminated,
}

impl State {
    /// As the original writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::HelloReceived => "hello-received",
            Self::StartMeasure => "start-measure",
            Self::InMeasure => "in-measure",
            Self::StartAdjust => "start-adjust",
            Self::InAdjust => "in-adjust",
            Self::Terminated => "terminated",
        }
    }

    /// The event that would be in order, where a name is wanted for it.
    pub(crate) const fn expects(self) -> &'static str {
        match self {
            Self::Initial | Self::Terminated => "HELLO",
            Self::HelloReceived => "DESCRIPTION",
            Self::StartMeasure | Self::InMeasure => "MEASUREMENT",
            Self::StartAdjust | Self::InAdjust => "ADJUSTMENT",
        }
    }
}

/// What a servo tells or asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Hello,
    WhatsNext,
    Description,
    Measurement,
    Adjustment,
    Goodbye,
    /// No event of this protocol.
    Unknown,
}

impl Event {
    /// All, in the order in which they are counted.
    pub(crate) const ALL: [Self; 7] = [
        Self::Hello,
        Self::WhatsNext,
        Self::Description,
        Self::Measurement,
        Self::Adjustment,
        Self::Goodbye,
        Self::Unknown,
    ];

    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::WhatsNext => "WHATS_NEXT",
            Self::Description => "DESCRIPTION",
            Self::Measurement => "MEASUREMENT",
            Self::Adjustment => "ADJUSTMENT",
            Self::Goodbye => "GOODBYE",
            Self::Unknown => "unknown",
        }
    }

    /// The event of a name; case counts.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "HELLO" => Self::Hello,
            "WHATS_NEXT" => Self::WhatsNext,
            "DESCRIPTION" => Self::Description,
            "MEASUREMENT" => Self::Measurement,
            "ADJUSTMENT" => Self::Adjustment,
            "GOODBYE" => Self::Goodbye,
            _ => Self::Unknown,
        }
    }
}

/// An event as far as the machine looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) event: Event,
    /// In per cent, though nothing holds a servo to that.
    pub(crate) progress: Option<i64>,
    /// Hash of the servo's identity, where it tells one.
    pub(crate) servo: Option<u64>,
    /// Number of the command that this is about, where that is told; 0 is none that was ever given.
    pub(crate) command: Option<u64>,
}

/// What the machine goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) mode: Mode,
    /// Commands after DESCRIBE, over and over; one of them at least is not SLEEP.
    pub(crate) script: &'a [Command],
}

/// What is known of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) state: State,
    /// A command waits to be asked for.
    pub(crate) has_next: bool,
    /// Place in the script of the command that is asked for next.
    pub(crate) cursor: u32,
    /// The last since a command was given.
    pub(crate) last_progress: Option<i64>,
    /// Measurements that were completed.
    pub(crate) cycles: u64,
    /// Hash of the identity of the servo that said HELLO, where it told one.
    pub(crate) servo: Option<u64>,
    /// Counts commands, from 1.
    pub(crate) command: u64,
}

/// What a servo is answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Heard.
    Ok,
    /// The operation shall be given up.
    Cancel,
    Describe,
    Measure,
    Adjust,
    Sleep {
        seconds: f64,
    },
}

/// Why an event is not accepted. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody said HELLO for this application.
    UnknownApp,
    /// No command waits.
    NoCommand { state: State },
    /// Not in this state.
    OutOfOrder { state: State, progress: Option<i64> },
    /// Less than before.
    Backwards { old: i64, new: i64 },
    /// About a command that is not the current one.
    OtherCommand,
    /// Another servo said HELLO for this application.
    OtherServo,
}

enum Step {
    Greet,
    Progress(State),
    /// The operation is over; the next command of the script is due.
    Final,
    Leave,
}

impl Machine {
    /// An application that nothing was heard of.
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Initial,
            has_next: false,
            cursor: BEFORE_SCRIPT,
            last_progress: None,
            cycles: 0,
            servo: None,
            command: 0,
        }
    }

    /// An application whose servo was heard in the middle of its cycle: it must have come to where this event is in
    /// order.
    pub(crate) fn inferred(event: Event, script: &[Command]) -> Option<Self> {
        let (state, has_next) = match event {
            Event::Description => (State::HelloReceived, true),
            Event::Measurement => (State::InMeasure, false),
            Event::Adjustment => (State::InAdjust, false),
            Event::WhatsNext | Event::Goodbye => (State::StartMeasure, true),
            Event::Hello | Event::Unknown => return None,
        };
        let wanted = |command: &Command| command.start() == Some(state) || command.during() == Some(state);
        let place = script.iter().position(wanted).and_then(|place| u32::try_from(place).ok());
        let cursor = if state == State::HelloReceived { BEFORE_SCRIPT } else { place.unwrap_or(0) };
        Some(Self { state, has_next, cursor, command: 1, ..Self::new() })
    }

    /// Takes an event.
    pub(crate) fn step(&mut self, input: &Input, rules: Rules<'_>) -> Result<Reply, Refusal> {
        if rules.mode == Mode::Service && input.event != Event::Hello {
            if let (Some(greeted), Some(speaks)) = (self.servo, input.servo)
                && greeted != speaks
            {
                return Err(Refusal::OtherServo);
            }
            if input.command.is_some_and(|command| command != self.command) {
                return Err(Refusal::OtherCommand);
            }
        }
        if input.event == Event::WhatsNext {
            return self.tell(rules);
        }
        let out_of_order = Refusal::OutOfOrder { state: self.state, progress: input.progress };
        let step = self.look_up(input, rules.mode).ok_or(out_of_order)?;
        // The last progress outlives the operation it was of: only a command that is asked for clears it.
        if let (Step::Progress(_), Mode::Strict, Some(old), Some(new)) =
            (&step, rules.mode, self.last_progress, input.progress)
            && new < old
        {
            return Err(Refusal::Backwards { old, new });
        }
        match step {
            Step::Greet => {
                self.state = State::HelloReceived;
                self.cursor = BEFORE_SCRIPT;
                self.has_next = true;
                self.servo = input.servo;
                self.command = self.command.wrapping_add(1);
            }
            Step::Progress(state) => {
                self.state = state;
                self.has_next = false;
                self.last_progress = input.progress;
                self.cursor = self.awaited(rules.script);
                if rules.mode == Mode::Service && self.is_cancelled(rules.script) {
                    return Ok(Reply::Cancel);
                }
            }
            Step::Final => {
                self.cycles = self.cycles.saturating_add(u64::from(input.event == Event::Measurement));
                self.advance(rules.script);
            }
            Step::Leave => {
                self.state = State::Terminated;
                self.has_next = false;
            }
        }
        Ok(Reply::Ok)
    }

    fn look_up(&self, input: &Input, mode: Mode) -> Option<Step> {
        use State::{HelloReceived, InAdjust, InMeasure, Initial, StartAdjust, StartMeasure, Terminated};
        let is_service = mode == Mode::Service;
        match (self.state, input.event, input.progress.is_some()) {
            (Initial | Terminated, Event::Hello, false) => Some(Step::Greet),
            (_, Event::Hello, _) if is_service => Some(Step::Greet),
            (HelloReceived, Event::Description, false) | (InMeasure, Event::Measurement, false) => Some(Step::Final),
            (InAdjust, Event::Adjustment, false) => Some(Step::Final),
            // A quick operation reports no progress.
            (StartMeasure, Event::Measurement, false) | (StartAdjust, Event::Adjustment, false) if is_service => {
                Some(Step::Final)
            }
            (StartMeasure | InMeasure, Event::Measurement, true) => Some(Step::Progress(InMeasure)),
            (StartAdjust | InAdjust, Event::Adjustment, true) => Some(Step::Progress(InAdjust)),
            (HelloReceived, Event::Description, true) if is_service => Some(Step::Progress(HelloReceived)),
            (Initial | Terminated, Event::Goodbye, _) => None,
            (_, Event::Goodbye, has_progress) if is_service || !has_progress => Some(Step::Leave),
            _ => None,
        }
    }

    /// Answers WHATS_NEXT.
    fn tell(&mut self, rules: Rules<'_>) -> Result<Reply, Refusal> {
        let refused = Err(Refusal::NoCommand { state: self.state });
        let may_ask = match rules.mode {
            Mode::Strict => self.has_next,
            Mode::Service => true,
        };
        // What the state asks for, not what the script says: that may have been changed meanwhile.
        let reply = match self.state {
            State::Initial | State::Terminated => return refused,
            _ if !may_ask => return refused,
            State::HelloReceived => Reply::Describe,
            State::StartMeasure | State::InMeasure => Reply::Measure,
            State::StartAdjust | State::InAdjust => Reply::Adjust,
        };
        self.last_progress = None;
        if let Some(Command::Sleep { seconds }) = command_at(rules.script, self.cursor) {
            self.cursor = place_after(rules.script, self.cursor);
            self.command = self.command.wrapping_add(1);
            return Ok(Reply::Sleep { seconds });
        }
        self.has_next = rules.mode == Mode::Service;
        Ok(reply)
    }

    /// The place of the first command, from the cursor on, that is no SLEEP.
    fn awaited(&self, script: &[Command]) -> u32 {
        let mut place = self.cursor;
        for _ in 0..script.len() {
            if !matches!(command_at(script, place), Some(Command::Sleep { .. })) {
                break;
            }
            place = place_after(script, place);
        }
        place
    }

    fn advance(&mut self, script: &[Command]) {
        self.cursor = place_after(script, self.awaited(script));
        let next = command_at(script, self.awaited(script)).and_then(Command::start);
        self.state = next.unwrap_or(State::StartMeasure);
        self.has_next = true;
        self.command = self.command.wrapping_add(1);
    }

    fn is_cancelled(&self, script: &[Command]) -> bool {
        let cancel_at = command_at(script, self.cursor).and_then(Command::cancel_at);
        cancel_at.is_some_and(|cancel_at| self.last_progress.is_some_and(|progress| progress >= cancel_at))
    }
}

fn command_at(script: &[Command], place: u32) -> Option<Command> {
    if place == BEFORE_SCRIPT {
        return None;
    }
    let place = usize::try_from(place).ok()?.checked_rem(script.len())?;
    script.get(place).copied()
}

fn place_after(script: &[Command], place: u32) -> u32 {
    let commands = u32::try_from(script.len()).unwrap_or(u32::MAX).max(1);
    // The place before the script is followed by its beginning.
    if place == BEFORE_SCRIPT { 0 } else { place.saturating_add(1) % commands }
}
