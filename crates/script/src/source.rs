//! The text of a script, and in which of the two forms it exports its functions.

/// A script as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its name in errors.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) form: Form,
}

/// How a script exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `export function f`.
    Module,
    /// `module.exports = { f }`.
    Common,
}

impl Form {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Module => Self::Common,
            Self::Common => Self::Module,
        }
    }

    /// The likelier form of a text: a module has a statement that begins with `import` or `export`. This may be wrong
    /// (such a line may stand in a comment), so whoever asks tries the other form, too.
    pub(crate) fn likely(text: &str) -> Self {
        let is_statement = |keyword: &str| {
            text.match_indices(keyword).any(|(at, _)| {
                let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
                let after = text.get(at + keyword.len()..).and_then(|rest| rest.chars().next());
                let begins = before.is_empty() || before.ends_with([';', '}', '\n', '\r', '/']);
                begins && after.is_some_and(|next| next.is_whitespace() || ['{', '*', '\'', '"'].contains(&next))
            })
        };
        if is_statement("export") || is_statement("import") { Self::Module } else { Self::Common }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_makes_a_module() {
        for text in [
            "export function f() {}",
            "const a = 1;\n  export { a as b };\n",
            "function f(){}export{f as g}",
            "import x from 'y'\n",
            "/* head */export default function () {}",
        ] {
            assert_eq!(Form::likely(text), Form::Module, "{text}");
        }
    }

    #[test]
    fn words_that_only_look_like_it_do_not() {
        for text in [
            "module.exports = { f };",
            "exports.f = () => 1;",
            "const exporter = 1;\nexporter.export();\nimportant();",
            "import('x').then(f)",
            "",
        ] {
            assert_eq!(Form::likely(text), Form::Common, "{text}");
        }
    }
}
