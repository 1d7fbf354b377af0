//! Why nothing came out of a foreign file.

use nuncius_schemas::codec::CodecError;

use crate::keys::{KeyReport, Support, Warning};

/// Most refused keys that an error shows; all of them are in it.
const SHOWN_MAX: usize = 5;

/// Why nothing came out of a foreign file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read as YAML or JSON.
    #[error("{file}: {error}")]
    Unreadable {
        /// Which file.
        file: String,
        /// What is wrong with it.
        error: CodecError,
    },
    /// A file that is named is not there, or is not what it should be.
    #[error("{field} names {path}: {problem}")]
    File {
        /// Which key or option names it.
        field: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An option cannot be used.
    #[error("option {option}: {problem}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Keys have no meaning here.
    #[error("{}", told(.keys))]
    Refused {
        /// Every key that was met, the refused ones among them.
        keys: Vec<KeyReport>,
        /// What is worth a warning.
        warnings: Vec<Warning>,
    },
    /// What comes out is no specification that Nuncius takes: mostly more of something than it allows.
    #[error("what comes out is refused: {field}: {problem}")]
    Specification {
        /// Path of the field in the specification.
        field: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

fn told(keys: &[KeyReport]) -> String {
    let refused: Vec<&KeyReport> = keys.iter().filter(|key| key.support == Support::Refused).collect();
    let mut text = String::new();
    for key in refused.iter().take(SHOWN_MAX) {
        let place = key.position.map_or_else(String::new, |position| format!(" ({position})"));
        text.push_str(&format!("{}{place}: {}\n", key.path, key.note));
    }
    if refused.len() > SHOWN_MAX {
        text.push_str(&format!("and {} further keys\n", refused.len() - SHOWN_MAX));
    }
    text.push_str("they can be left out, with what they are part of, where that is wanted");
    text
}
