//! Bytes to the tree of a file, with one repair: a template without quotes (`maxVusers: {{ $env.USERS }}`) is a map
//! within a map to YAML. Artillery's own reader makes `[object Object]` of it; what was meant is plain.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::tree::{Node, Position};

use crate::error::ImportError;

/// Most repairs of one file.
const REPAIRS_MAX: usize = 200;

/// A file that was read, and where templates were put into quotes.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) node: Node,
    pub(crate) repaired: Vec<Position>,
}

/// Reads YAML or JSON with a map at the top.
///
/// # Errors
/// It is neither, is too large, is nested too deep, or repeats too much by aliases.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<File, ImportError> {
    let mut repaired = Vec::new();
    let mut text: Option<String> = None;
    loop {
        let error = match codec::read_tree(text.as_ref().map_or(bytes, |text| text.as_bytes())) {
            Ok(node) => return Ok(File { node, repaired }),
            Err(error) => error,
        };
        let source = match &text {
            Some(text) => text.clone(),
            None => String::from_utf8_lossy(bytes).into_owned(),
        };
        let repair = (repaired.len() < REPAIRS_MAX).then(|| position_of(&error)).flatten();
        match repair.and_then(|position| quoted(&source, position)) {
            Some((better, position)) => {
                repaired.push(position);
                text = Some(better);
            }
            None => return Err(ImportError::Unreadable { file: name.to_owned(), error }),
        }
    }
}

/// Where reading stopped.
fn position_of(error: &CodecError) -> Option<Position> {
    match error {
        CodecError::Field { position, .. } => *position,
        CodecError::Unreadable { problem, .. } => in_words(problem),
        CodecError::Foreign { .. } | CodecError::TooLarge { .. } | CodecError::Encode(_) => None,
    }
}

/// The place at the end of a problem: `… (line 3, column 7)`.
fn in_words(problem: &str) -> Option<Position> {
    let (_, place) = problem.rsplit_once("(line ")?;
    let (line, column) = place.strip_suffix(')')?.split_once(", column ")?;
    Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
}

/// The text with the template that stands without quotes at or before a position put into quotes, and where that is.
fn quoted(text: &str, position: Position) -> Option<(String, Position)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // What is wrong with a line may show at the beginning of the next.
    [position.line, position.line.saturating_sub(1)].into_iter().find_map(|number| {
        let index = number.checked_sub(1)?;
        let line = lines.get(index)?;
        let (begin, end) = template_in(line)?;
        let (before, value, after) = (line.get(..begin)?, line.get(begin..end)?, line.get(end..)?);
        let mut better = String::with_capacity(text.len() + 2);
        lines.iter().take(index).for_each(|line| better.push_str(line));
        better.push_str(&format!("{before}'{}'{after}", value.replace('\'', "''")));
        lines.iter().skip(number).for_each(|line| better.push_str(line));
        Some((better, Position { line: number, column: before.chars().count() + 1 }))
    })
}

/// From where to where a value that begins with `{{` and stands without quotes is, in bytes of its line.
fn template_in(line: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let begin = from + line.get(from..)?.find("{{")?;
        let before = line.get(..begin)?;
        let is_value = before.trim_end().ends_with([':', '-', ',', '[']);
        // An odd number of quotes before: it is within a text.
        let is_bare = |quote: char| before.matches(quote).count() % 2 == 0;
        let is_whole = line.get(begin..)?.contains("}}");
        let is_comment = before.trim_start().starts_with('#');
        if is_whole && is_value && is_bare('"') && is_bare('\'') && !is_comment {
            let in_flow = before.contains(['[', '{']);
            return Some((begin, begin + value_length(line.get(begin..)?, in_flow)));
        }
        from = begin + 2;
    }
}

/// How long a value is: to its last template, and to the end of the line or of its place in a list.
fn value_length(rest: &str, in_flow: bool) -> usize {
    let line = rest.trim_end_matches(['\n', '\r']);
    let line = line.split(" #").next().unwrap_or(line);
    let end = if in_flow {
        // What comes after the braces of the first template.
        let template = line.find("}}").map_or(line.len(), |at| at + 2);
        line.get(template..).and_then(|after| after.find([',', ']', '}'])).map_or(line.len(), |at| template + at)
    } else {
        line.len()
    };
    line.get(..end).unwrap_or(line).trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_at(source: &str, path: &[&str]) -> (Option<String>, usize) {
        let file = read("a.yaml", source.as_bytes()).unwrap();
        let node = path.iter().try_fold(&file.node, |node, key| node.get(key)).unwrap();
        (node.text().map(str::to_owned), file.repaired.len())
    }

    #[test]
    fn a_template_without_quotes_is_read_as_the_text_that_was_meant() {
        for (source, expected) in [
            ("config:\n  max: {{ $processEnvironment.X }}\n  b: 1\n", "{{ $processEnvironment.X }}"),
            ("config:\n  max: {{ $env.X }}   # so many\n", "{{ $env.X }}"),
            ("config:\n  max: {{ host }}/path\n", "{{ host }}/path"),
            ("config:\n  max: {{ a['b'] }}\n", "{{ a['b'] }}"),
            ("config: {max: {{ x }}, b: 1}\n", "{{ x }}"),
            ("config:\n  max: {{x}}", "{{x}}"),
            ("config:\n  max: {{ a }}-{{ b }}\n", "{{ a }}-{{ b }}"),
        ] {
            assert_eq!(text_at(source, &["config", "max"]), (Some(expected.to_owned()), 1), "{source}");
        }
        let source = "config:\n  - {{ a }}\n  - {{ b }}\n";
        let file = read("a.yaml", source.as_bytes()).unwrap();
        let items = file.node.get("config").unwrap().items().unwrap();
        assert_eq!(items.iter().filter_map(Node::text).collect::<Vec<_>>(), ["{{ a }}", "{{ b }}"]);
        assert_eq!(file.repaired, [Position { line: 2, column: 5 }, Position { line: 3, column: 5 }]);
    }

    #[test]
    fn what_is_in_quotes_or_in_a_block_of_text_is_left_as_it_is() {
        for (source, expected) in [
            ("config:\n  max: \"{{ x }}\"\n", "{{ x }}"),
            ("config:\n  max: |\n    a: {{ x }}\n", "a: {{ x }}\n"),
            ("config:\n  max: x {{ y }}\n", "x {{ y }}"),
        ] {
            assert_eq!(text_at(source, &["config", "max"]), (Some(expected.to_owned()), 0), "{source}");
        }
        // A block of text stays what it is where something else has to be mended.
        let source = "config:\n  text: |\n    a: {{ x }}\n  max: {{ y }}\n";
        assert_eq!(text_at(source, &["config", "text"]), (Some("a: {{ x }}\n".to_owned()), 1));
    }

    #[test]
    fn anchors_and_aliases_work_and_what_they_repeat_is_bounded() {
        let file = read("a.yaml", b"a: &x [1, 2]\nb: [*x, 3]\n").unwrap();
        assert_eq!(file.node.get("b").unwrap().items().unwrap()[0].items().unwrap().len(), 2);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let alias = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
        }
        let error = read("bomb.yaml", bomb.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("bomb.yaml: ") && error.contains("repeated ones counted each time"), "{error}");
        let error = read("a.yaml", b"a: &a [*a]\n").unwrap_err().to_string();
        assert!(error.contains("inside of what it repeats"), "{error}");
        let deep = format!("a: {}1{}\n", "[".repeat(500), "]".repeat(500));
        assert!(read("a.yaml", deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_file_of_this_kind_is_told_with_its_name() {
        for bytes in [&b""[..], b"- a\n", b"text", b"\xff\xfe", b"a: b: c", b"a: {{\n", b"{\"a\": }"] {
            let error = read("some.yaml", bytes).unwrap_err().to_string();
            assert!(error.starts_with("some.yaml: "), "{error}");
        }
        let large = vec![b'#'; 10 << 20];
        assert!(read("large.yaml", &large).unwrap_err().to_string().contains("at most 262144 are taken"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_or_go_on_for_ever(
            text in "(a|:| |-|\\{\\{|\\}\\}|\n|'|\"|#|\\[|\\]|,|\\||&x|\\*x){0,60}",
        ) {
            let _ = read("x.yaml", text.as_bytes());
        }
    }
}
