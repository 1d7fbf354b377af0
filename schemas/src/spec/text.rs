//! One text of a specification, and what it is: how it is redacted, and whether variables are filled in.

/// What a text is: how it is redacted, and whether variables are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind<'a> {
    /// A name, a pattern or a label, shown as it is. Variables are refused.
    Name,
    /// The path of a file that is not in the specification itself, from its directory: one of its bundle. Variables are
    /// refused.
    File,
    /// A value that is kept under this name and used nowhere. Variables mean nothing in it.
    Note(&'a str),
    /// A value that must be equal to that of a node's label of this name. Variables are refused.
    Label(&'a str),
    /// A URL, or its path and query.
    Url,
    /// The address of a service.
    Address,
    /// The name of something at the target.
    Place,
    /// The value of the header of this name.
    Header(&'a str),
    /// A body.
    Body,
    /// The argument of this number of a job.
    Argument(usize),
    /// The word of this number of a command that is run on this machine, where a shell may have variables of its own.
    Command(usize),
    /// Certificates.
    Certificate,
    /// What proves who somebody is: a private key, a token.
    Credential,
    /// A text of a scenario that is no body: a condition, a line for the log.
    Template,
    /// A value of a scenario under this name: a variable, a field of a body, the cell of a row.
    Value(&'a str),
    /// A regular expression, a JSONPath or a selector. Variables mean nothing in it: a dollar has its own meaning.
    Pattern,
    /// The source of a script, where `${` has a meaning of its own.
    Script,
}

impl TextKind<'_> {
    /// Whether variables are filled in, on the node that uses the text.
    pub const fn is_filled_in(self) -> bool {
        match self {
            Self::Name
            | Self::File
            | Self::Note(_)
            | Self::Label(_)
            | Self::Command(_)
            | Self::Pattern
            | Self::Script => false,
            Self::Url
            | Self::Address
            | Self::Place
            | Self::Header(_)
            | Self::Body
            | Self::Argument(_)
            | Self::Certificate
            | Self::Credential
            | Self::Template
            | Self::Value(_) => true,
        }
    }
}

/// One text.
#[derive(Debug)]
pub struct Text<'a> {
    /// Path of its field: `groups[0].headers.X-A`.
    pub field: String,
    /// What it is.
    pub kind: TextKind<'a>,
    /// The text itself.
    pub value: &'a mut String,
}

/// What is done with each text.
pub(crate) type Visit<'v, E> = dyn FnMut(Text<'_>) -> Result<(), E> + 'v;

pub(crate) fn one<E>(field: String, kind: TextKind<'_>, value: &mut String, visit: &mut Visit<'_, E>) -> Result<(), E> {
    visit(Text { field, kind, value })
}

pub(crate) fn maybe<E>(
    field: String,
    kind: TextKind<'_>,
    value: &mut Option<String>,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    value.as_mut().map_or(Ok(()), |value| one(field, kind, value, visit))
}
