//! Numbers of its own that a source emits: `events.emit('counter', 'name', 1)`.

use std::collections::BTreeSet;

use super::lexer::{Kind, Word, words};
use crate::artillery::meters::EventKind;

/// What a source emits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Emitted {
    /// What is written in it.
    pub(crate) named: BTreeSet<(EventKind, String)>,
    /// It emits something whose name is made as it runs.
    pub(crate) is_open: bool,
}

/// All that a source emits, as far as it is written in it.
pub(crate) fn find(source: &str) -> Emitted {
    let (words, _) = words(source);
    let mut emitted = Emitted::default();
    let is = |index: usize, text: &str| words.get(index).is_some_and(|word: &Word<'_>| word.is(text));
    for index in 0..words.len() {
        if !(is(index, ".") && is(index + 1, "emit") && is(index + 2, "(")) {
            continue;
        }
        let Some(kind) = words.get(index + 3).and_then(text) else { continue };
        let (kind, name) = match kind {
            "counter" => (EventKind::Counter, words.get(index + 5)),
            "histogram" | "summary" => (EventKind::Histogram, words.get(index + 5)),
            "rate" => (EventKind::Rate, words.get(index + 5)),
            "error" => (EventKind::Error, words.get(index + 5)),
            "customStat" => (EventKind::Histogram, stat(&words, index + 5)),
            _ => continue,
        };
        // A text that is only the beginning of an expression is no name.
        let end = name.and_then(|name| words.iter().find(|word| word.from >= name.to));
        let is_whole = end.is_some_and(|word| [",", ")", "}"].iter().any(|sign| word.is(sign)));
        match name.and_then(text).filter(|_| is_whole) {
            Some(name) => drop(emitted.named.insert((kind, name.to_owned()))),
            None => emitted.is_open = true,
        }
    }
    emitted
}

/// What is within the quotes of a text, or the backticks of a template without expressions.
fn text<'s>(word: &Word<'s>) -> Option<&'s str> {
    let is_template = word.kind == Kind::Other && word.text.len() > 1 && word.text.ends_with('`');
    let inner = if is_template { word.text.strip_prefix('`')?.strip_suffix('`') } else { word.content() };
    inner.filter(|inner| !inner.is_empty() && !inner.contains('\\'))
}

/// The name in `{ stat: 'name', value: 1 }`, from its brace.
fn stat<'w, 's>(words: &'w [Word<'s>], index: usize) -> Option<&'w Word<'s>> {
    let inner = words.get(index..)?.iter().take_while(|word| !word.is("}")).collect::<Vec<_>>();
    let at = inner.windows(2).position(|two| matches!(two, [name, colon] if name.is("stat") && colon.is(":")))?;
    inner.get(at + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> (Vec<(EventKind, String)>, bool) {
        let emitted = find(source);
        (emitted.named.into_iter().collect(), emitted.is_open)
    }

    #[test]
    fn what_is_emitted_is_found_by_its_kind_and_name() {
        for (source, kind, name) in [
            ("events.emit('counter', 'a.b', 1);", EventKind::Counter, "a.b"),
            ("ee.emit(\"histogram\", \"h\", x - y)", EventKind::Histogram, "h"),
            ("ee.emit('rate', `r`)", EventKind::Rate, "r"),
            ("ee.emit('error', 'ETOKEN');", EventKind::Error, "ETOKEN"),
            ("ee.emit('customStat', { stat: 's', value: 1 });", EventKind::Histogram, "s"),
            ("ee.emit('customStat', { value: 1, stat: 's' });", EventKind::Histogram, "s"),
        ] {
            assert_eq!(found(source), (vec![(kind, name.to_owned())], false), "{source}");
        }
        assert_eq!(found("// ee.emit('counter', 'a', 1)\nemitter.emit('data', 'x');"), (vec![], false));
    }

    #[test]
    fn a_name_that_is_made_as_it_runs_is_told() {
        for source in [
            "ee.emit('counter', name, 1)",
            "ee.emit('counter', 'a.' + name, 1)",
            "ee.emit('counter', `a.${name}`, 1)",
            "ee.emit('customStat', stat)",
        ] {
            assert_eq!(found(source), (vec![], true), "{source}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_source_makes_it_panic(
            source in "(\\.emit\\(|'counter'|'customStat'|,|\\{|\\}|stat|:|`|\\$\\{|a| |\\)){0,30}",
        ) {
            drop(find(&source));
        }
    }
}
