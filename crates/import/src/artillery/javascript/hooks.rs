//! What hooks do with their parameters that they cannot mean.

use super::lexer::{Kind, Word, words};

/// What is found of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) is_async: bool,
    /// Names of its parameters; empty where one is taken apart.
    pub(crate) parameters: Vec<String>,
    /// From where to where its first parameter is given another value, an empty object, in bytes.
    pub(crate) emptied: Vec<(usize, usize)>,
    /// Its first parameter is given a value of another kind.
    pub(crate) is_rebound: bool,
}

/// The function of a name in a source: a declaration, or a value that is given to such a name.
pub(crate) fn find(source: &str, name: &str) -> Option<Hook> {
    let (words, _) = words(source);
    (0..words.len()).find_map(|index| function(&words, index, name))
}

fn function(words: &[Word<'_>], index: usize, name: &str) -> Option<Hook> {
    let at = |index: usize| words.get(index);
    let is = |index: usize, text: &str| at(index).is_some_and(|word| word.is(text));
    let named = at(index)?;
    let is_word = named.kind == Kind::Word && named.text == name;
    if !is_word && named.content() != Some(name) {
        return None;
    }
    // `exports['name'] =`
    let index = index + usize::from(!is_word && is(index + 1, "]"));
    let is_declared = index.checked_sub(1).is_some_and(|before| is(before, "function"));
    let (is_async, next) = if is_declared {
        (index.checked_sub(2).is_some_and(|before| is(before, "async")), index + 1)
    } else if is(index + 1, "=") || is(index + 1, ":") {
        let is_async = is(index + 2, "async");
        let value = index + 2 + usize::from(is_async);
        let is_function = is(value, "function");
        let named = is_function && at(value + 1).is_some_and(|word| word.kind == Kind::Word);
        (is_async, value + usize::from(is_function) + usize::from(named))
    } else {
        // A method: `name(…) {`.
        (index.checked_sub(1).is_some_and(|before| is(before, "async")), index + 1)
    };
    let (parameters, mut next) = parameters(words, next)?;
    let is_arrow = is(next, "=") && is(next + 1, ">");
    if is_arrow {
        next += 2;
    }
    if !is(next, "{") && !is_arrow {
        return None;
    }
    let has_body = is(next, "{");
    let mut hook = Hook { is_async, parameters, emptied: Vec::new(), is_rebound: false };
    // What an arrow gives without a body is an expression, which gives its parameters no value.
    let first = hook.parameters.first().filter(|name| has_body && !name.is_empty()).cloned();
    let mut depth = 0usize;
    for here in next.. {
        if first.is_none() {
            break;
        }
        let Some(word) = at(here) else { break };
        match word.text {
            "{" if word.kind == Kind::Sign => depth += 1,
            "}" if word.kind == Kind::Sign => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            text if word.kind == Kind::Word && Some(text) == first.as_deref() => {
                let is_member = here.checked_sub(1).is_some_and(|before| is(before, "."));
                let is_given = is(here + 1, "=") && !is(here + 2, "=") && !is(here + 2, ">");
                if !is_member && is_given {
                    match at(here + 3) {
                        Some(end) if is(here + 2, "{") && end.is("}") => hook.emptied.push((word.from, end.to)),
                        _ => hook.is_rebound = true,
                    }
                }
            }
            _ => {}
        }
    }
    Some(hook)
}

/// Names of parameters, from their parenthesis or the only name, and the index behind them.
fn parameters(words: &[Word<'_>], index: usize) -> Option<(Vec<String>, usize)> {
    let is_arrow = |at: usize| matches!(words.get(at..at + 2), Some([equal, more]) if equal.is("=") && more.is(">"));
    let first = words.get(index)?;
    if first.kind == Kind::Word && is_arrow(index + 1) {
        return Some((vec![first.text.to_owned()], index + 1));
    }
    if !first.is("(") {
        return None;
    }
    let (mut parameters, mut depth, mut next) = (Vec::new(), 0usize, index);
    let mut is_begin = false;
    loop {
        let word = words.get(next)?;
        let is_outer = depth == 1;
        match word.text {
            "(" | "{" | "[" if word.kind == Kind::Sign => {
                if is_outer && is_begin {
                    parameters.push(String::new());
                    is_begin = false;
                }
                depth += 1;
                is_begin |= depth == 1;
            }
            ")" | "}" | "]" if word.kind == Kind::Sign => depth = depth.checked_sub(1)?,
            "," if is_outer => is_begin = true,
            text if is_outer && is_begin && word.kind == Kind::Word => {
                parameters.push(text.to_owned());
                is_begin = false;
            }
            _ => {}
        }
        next += 1;
        if depth == 0 {
            return Some((parameters, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_in_each_of_its_forms() {
        for (source, is_async, parameters) in [
            ("function f(a, b) { return a; }", false, vec!["a", "b"]),
            ("async function f(a) {}", true, vec!["a"]),
            ("const f = async (a, b, c) => { x(); };", true, vec!["a", "b", "c"]),
            ("exports.f = function (a) {};", false, vec!["a"]),
            ("module.exports = { f: async function g(a) {} };", true, vec!["a"]),
            ("module.exports = { async f(a, next) { next(); } };", true, vec!["a", "next"]),
            ("module.exports = { f: (vars) => vars.a > 1, g: 1 };", false, vec!["vars"]),
            ("exports.f = async vars => vars.a;", true, vec!["vars"]),
            ("function f({ vars, scenario: { name } }, [a], ...rest) {}", false, vec!["", "", "rest"]),
            ("function f(a = g(1, 2), b = {}) {}", false, vec!["a", "b"]),
            ("const f = () => {};", false, vec![]),
            ("exports['f'] = function (a) {};", false, vec!["a"]),
            ("module.exports = { 'f': (a) => {} };", false, vec!["a"]),
        ] {
            let hook = find(source, "f").unwrap_or_else(|| panic!("{source}"));
            assert_eq!(
                (hook.is_async, hook.parameters),
                (is_async, parameters.iter().map(|p| p.to_string()).collect())
            );
        }
        for other in ["f(1); const g = f;", "const f = g(1);", "const f = (1 + 2);", "if (f) { a(); }", "f == (a)"] {
            assert_eq!(find(other, "f"), None, "{other}");
        }
    }

    #[test]
    fn a_first_parameter_that_is_given_another_value_is_told() {
        let source = "function f(req, ctx, ee, next) { req = {}; req.headers = {}; if (req == {}) {} next(); }";
        let hook = find(source, "f").unwrap();
        let emptied: Vec<&str> = hook.emptied.iter().map(|(from, to)| &source[*from..*to]).collect();
        assert_eq!((emptied, hook.is_rebound), (vec!["req = {}"], false));
        assert!(find("function f(req) { req = other(); }", "f").unwrap().is_rebound);
        let fine = find("function f(req) { ctx.req = {}; const g = (x) => x; req.a = {}; }", "f").unwrap();
        assert_eq!((fine.emptied.len(), fine.is_rebound), (0, false));
    }

    proptest::proptest! {
        #[test]
        fn no_source_makes_it_panic(source in "(f|function |async |\\(|\\)|\\{|\\}|=|>|a|,|:|;| ){0,30}") {
            drop(find(&source, "f"));
        }
    }
}
