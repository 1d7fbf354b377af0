//! What a token lets its holder do.

use std::str::FromStr;

/// What may be done, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To look at everything.
    Read,
    /// To submit and cancel experiments, too, and to steer queues and emulators.
    Control,
    /// To delete, and to change routes and applications, too.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Control, Self::Admin];

    /// Its name in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| "there are read, control and admin".to_owned())
    }
}
