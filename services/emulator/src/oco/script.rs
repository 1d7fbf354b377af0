//! What servos are told to do, in order.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::machine::State;

/// Most commands of a script.
pub const MOST_COMMANDS: usize = 10_000;
/// Longest SLEEP, in seconds: thirty days.
pub const MOST_SLEEP_SECONDS: f64 = 30.0 * 86_400.0;
/// What SLEEP takes where the script does not say, in seconds; what servos take by themselves, too.
const SLEEP_SECONDS: f64 = 120.0;

/// One command of a script. Written as its name, or as a map of that to its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Tell what there is to adjust and to measure.
    Describe,
    /// Measure.
    Measure {
        /// Progress from which on, in service mode, the answer is that the operation be given up.
        cancel_at: Option<i64>,
    },
    /// Adjust.
    Adjust {
        /// See [`Command::Measure`].
        cancel_at: Option<i64>,
    },
    /// Do nothing for a while, then ask again.
    Sleep {
        /// How long.
        seconds: f64,
    },
}

impl Command {
    /// What servos do where nobody says otherwise: measure and adjust in turn.
    pub(crate) const ORIGINAL: [Self; 2] = [Self::Measure { cancel_at: None }, Self::Adjust { cancel_at: None }];

    /// The state of an application that shall do this; none for SLEEP, after which nothing is told.
    pub(crate) const fn start(self) -> Option<State> {
        match self {
            Self::Describe => Some(State::HelloReceived),
            Self::Measure { .. } => Some(State::StartMeasure),
            Self::Adjust { .. } => Some(State::StartAdjust),
            Self::Sleep { .. } => None,
        }
    }

    /// The state of an application that does this.
    pub(crate) const fn during(self) -> Option<State> {
        match self {
            Self::Measure { .. } => Some(State::InMeasure),
            Self::Adjust { .. } => Some(State::InAdjust),
            Self::Describe | Self::Sleep { .. } => None,
        }
    }

    pub(crate) const fn cancel_at(self) -> Option<i64> {
        match self {
            Self::Measure { cancel_at } | Self::Adjust { cancel_at } => cancel_at,
            Self::Describe | Self::Sleep { .. } => None,
        }
    }

    fn named(name: &str, settings: Settings) -> Result<Self, String> {
        let Settings { duration, cancel_at } = settings;
        let (command, unfit) = match name {
            "DESCRIBE" => (Self::Describe, duration.map(|_| "duration").or(cancel_at.map(|_| "cancel_at"))),
            "MEASURE" => (Self::Measure { cancel_at }, duration.map(|_| "duration")),
            "ADJUST" => (Self::Adjust { cancel_at }, duration.map(|_| "duration")),
            "SLEEP" => (Self::Sleep { seconds: duration.unwrap_or(SLEEP_SECONDS) }, cancel_at.map(|_| "cancel_at")),
            _ => {
                let name: String = name.chars().take(40).collect();
                return Err(format!("no command `{name}`; write DESCRIBE, MEASURE, ADJUST or SLEEP"));
            }
        };
        if let Some(unfit) = unfit {
            return Err(format!("{name} has no setting {unfit}"));
        }
        match command {
            Self::Sleep { seconds } if !(0.0..=MOST_SLEEP_SECONDS).contains(&seconds) => {
                Err(format!("SLEEP: a duration of {seconds} s is out of range; write 0 to {MOST_SLEEP_SECONDS}"))
            }
            command => Ok(command),
        }
    }
}

/// Why a script cannot be followed, or nothing.
pub(crate) fn check(script: &[Command]) -> Result<(), String> {
    if script.len() > MOST_COMMANDS {
        return Err(format!("{} commands; at most {MOST_COMMANDS} are taken", script.len()));
    }
    if script.iter().all(|command| matches!(command, Command::Sleep { .. })) {
        return Err("nothing but SLEEP; write MEASURE, ADJUST or DESCRIBE too".to_owned());
    }
    Ok(())
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    duration: Option<f64>,
    cancel_at: Option<i64>,
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a command such as MEASURE, or one with settings such as {SLEEP: {duration: 30}}")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Command, E> {
        Command::named(name, Settings::default()).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command, A::Error> {
        let Some((name, settings)) = map.next_entry::<String, Option<Settings>>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("two commands in one place; begin each with a dash"));
        }
        Command::named(&name, settings.unwrap_or_default()).map_err(de::Error::custom)
    }
}
