//! Variables of the environment: which become variables of nodes, and which must be known now.
//!
//! Artillery fills `{{ $env.NAME }}` in before the test begins. Here a specification is stored, shown and sent to many
//! nodes, and what comes from the environment is often a secret. So:
//!
//! - In every text that nodes fill in (paths, headers, bodies, variables, `process.env` of a processor) it becomes
//!   `${NAME}`: the value is never in the specification, and comes from the environment *of the node*, whose operator
//!   has to expose it (`--expose-env NAME`). `Imported::environment` names them all.
//! - Where something must be known before any node is asked, the value of this process is written into the
//!   specification: numbers and durations (phases, weights, timeouts), and `config.target`, by which protocol and paths
//!   are decided. A password within the target is redacted wherever the specification is stored or shown, as in any.

use std::collections::BTreeMap;

/// The variables of a file as `dotenv` reads them: `NAME=value` in lines, `export` before it or not, quotes of three
/// kinds, `#` for comments. In double quotes `\n` is the end of a line. What is no such line is passed over.
pub fn parse_env_file(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let Some((name, value)) = named(line) else {
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|c| ['"', '\'', '`'].contains(c));
        // In quotes it may go over several lines.
        let begin = value.as_ptr() as usize - rest.as_ptr() as usize;
        let quoted = quote.and_then(|quote| {
            let inside = rest.get(begin + 1..)?;
            let end = closing(inside, quote)?;
            Some((inside.get(..end)?, inside.get(end + 1..)?, quote))
        });
        let (value, after) = match quoted {
            Some((inside, after, quote)) => {
                let value = if quote == '"' { inside.replace("\\n", "\n").replace("\\r", "\r") } else { inside.into() };
                (value, after.split_once('\n').map_or("", |(_, after)| after))
            }
            None => (value.split('#').next().unwrap_or_default().trim().to_owned(), after),
        };
        variables.insert(name.to_owned(), value);
        rest = after;
    }
    variables
}

/// Where a quote ends, in bytes; one behind a backslash does not end it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

fn named(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c)))?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix(": "))?;
    (!name.is_empty()).then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// Whether a variable of this name can be written as `${NAME}`.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.len() <= nuncius_schemas::variable::VARIABLE_NAME_MAX_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_is_read_line_by_line() {
        let text = "# comment\nA=1\nexport B = two words  # why\nC='x # y'\nD=\"a\\nb\"\nE=`it's`\n\nF=\nnot a line\n\
                    G=\"over\nlines\" # end\nH='un\\'ended\nI=last";
        let variables = parse_env_file(text);
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "x # y"),
            ("D", "a\nb"),
            ("E", "it's"),
            ("F", ""),
            ("G", "over\nlines"),
            ("H", "'un\\'ended"),
            ("I", "last"),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(A|=|'|\"|`|\\\\|\n| |#|export |ü){0,40}") {
            drop(parse_env_file(&text));
        }
    }
}
