//! What can be wrong with a template, when it is read and when it is filled in, and the limits that are named there.

/// Longest template, in bytes.
pub const TEMPLATE_MAX_BYTES: usize = 1024 * 1024;
/// Most texts and expressions in one template.
pub const TEMPLATE_PARTS_MAX: usize = 4_096;
/// Deepest nesting of an expression; each operator of a chain is one level of it.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Most values and operators of an expression. An evaluation visits each at most once, so it bounds the steps, too.
pub const EXPRESSION_NODES_MAX: usize = 1_024;
/// Most variables of a group.
pub const NAMES_MAX: usize = 1_024;
/// Longest name of a variable, in bytes.
pub const NAME_MAX_BYTES: usize = 256;
/// Most bytes that a template makes, unless a scope says otherwise.
pub const MADE_MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a JSON template.
pub const JSON_TEMPLATE_DEPTH_MAX: usize = 64;
/// Most values in a JSON template.
pub const JSON_TEMPLATE_VALUES_MAX: usize = 100_000;

/// Why a template cannot be read or filled in. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not written as the language wants it.
    #[error("column {column}: {reason}")]
    Syntax {
        /// Where, in characters of the template from 1.
        column: usize,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// A template is too long.
    #[error("a template of {bytes} bytes: at most {TEMPLATE_MAX_BYTES}; send a file instead")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A template has too many parts.
    #[error("a template has at most {TEMPLATE_PARTS_MAX} texts and expressions")]
    TooManyParts,
    /// There are too many variables.
    #[error("`{name}` is one variable too many: a group has at most {NAMES_MAX}")]
    TooManyNames {
        /// The variable.
        name: String,
    },
    /// No name of a variable.
    #[error(
        "`{shown}` is not a name of a variable: write a letter or _, then letters, digits and _, \
         at most {NAME_MAX_BYTES} bytes"
    )]
    Name {
        /// As far as it is shown.
        shown: String,
    },
    /// A JSON template is too deep.
    #[error("JSON with templates is nested deeper than {JSON_TEMPLATE_DEPTH_MAX}")]
    JsonTooDeep,
    /// A JSON template is too large.
    #[error("JSON with templates has more than {JSON_TEMPLATE_VALUES_MAX} values; send a file instead")]
    JsonTooLarge,
    /// A condition is not one expression.
    #[error("a condition is one expression and nothing beside it: write \"{{{{ status == 200 }}}}\"")]
    NoCondition,
    /// A variable, a member or an index is not there.
    #[error("{what} is not there; to do without it write default(…, value)")]
    Missing {
        /// What, with its name.
        what: String,
    },
    /// An operator or a function does not take such a value.
    #[error("{what}")]
    Type {
        /// What takes what, and what there was.
        what: String,
    },
    /// Division by zero, or the rest of one.
    #[error("`{operator}` by zero")]
    DivisionByZero {
        /// `/` or `%`.
        operator: &'static str,
    },
    /// A number that is too large.
    #[error("the result of {what} is beyond what a number can hold")]
    OutOfRange {
        /// The operator or function.
        what: &'static str,
    },
    /// What is made is too long.
    #[error("a template makes more than {limit} bytes")]
    MadeTooLong {
        /// The most there may be.
        limit: usize,
    },
    /// A variable of the environment that the node does not give.
    #[error(
        "environment variable {name} is not given to experiments by this node: it is not set there, or not exposed; \
         start the node with --expose-env {name}, or write default(env('{name}'), value)"
    )]
    Environment {
        /// The variable.
        name: String,
    },
}

impl TemplateError {
    /// Whether something is not there: what `default` stands in for.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Environment { .. })
    }
}

/// Longest piece of a text that an error repeats, in characters.
const SHOWN_MAX: usize = 64;

/// As much of a text as an error shows.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
