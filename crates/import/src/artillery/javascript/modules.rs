//! What a source wants of others, and ES modules as CommonJS: scripts here are one file.

use std::collections::BTreeSet;

use super::lexer::{Kind, Word, words};

/// What a source wants of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// What it requires or imports, as it is written.
    pub(crate) modules: Vec<String>,
    /// Variables of the environment that it reads.
    pub(crate) environment: BTreeSet<String>,
    /// It reads variables whose names are made as it runs.
    pub(crate) is_environment_open: bool,
}

/// A source as CommonJS, without comments, and what it wants.
///
/// # Errors
/// What cannot be said in CommonJS, in words that follow the name of the file.
pub(crate) fn to_common(source: &str) -> Result<(String, Needs), String> {
    let (words, plain) = words(source);
    let mut needs = Needs::default();
    find_needs(&words, &mut needs);
    let mut edits = Edits::default();
    let mut depth = 0usize;
    let mut index = 0;
    while let Some(word) = words.get(index) {
        match word.text {
            "{" | "(" | "[" if word.kind == Kind::Sign => depth += 1,
            "}" | ")" | "]" if word.kind == Kind::Sign => depth = depth.saturating_sub(1),
            "import" if word.kind == Kind::Word && !follows_point(&words, index) => {
                match words.get(index + 1) {
                    Some(next) if next.is("(") => {
                        return Err(
                            "imports something as it runs (`import(…)`): use `require` or `import … from`".into()
                        );
                    }
                    // `import.meta`
                    Some(next) if next.is(".") => {
                        let end = words.get(index + 2).map_or(next.to, |word| word.to);
                        edits.replace(word.from, end, "({ url: 'file:///', dirname: '/' })".to_owned());
                        index += 3;
                        continue;
                    }
                    Some(_) if depth == 0 => index = import(&words, index, &mut edits)?,
                    Some(_) | None => {}
                }
            }
            "export" if depth == 0 && word.kind == Kind::Word && !follows_point(&words, index) => {
                index = export(&words, index, &mut edits)?;
                continue;
            }
            _ => {}
        }
        index += 1;
    }
    Ok((edits.apply(&plain, source), needs))
}

fn follows_point(words: &[Word<'_>], index: usize) -> bool {
    index.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|word| word.is("."))
}

fn find_needs(words: &[Word<'_>], needs: &mut Needs) {
    let at = |index: usize| words.get(index);
    let is = |index: usize, text: &str| at(index).is_some_and(|word| word.is(text));
    for (index, word) in words.iter().enumerate() {
        if word.is("require") && is(index + 1, "(") && !follows_point(words, index) {
            needs.modules.extend(at(index + 2).and_then(Word::content).map(str::to_owned));
        }
        if word.is("from") || word.is("import") {
            needs.modules.extend(at(index + 1).and_then(Word::content).map(str::to_owned));
        }
        if word.is("process") && is(index + 1, ".") && is(index + 2, "env") {
            match at(index + 3) {
                Some(next) if next.is(".") => {
                    needs.environment.extend(at(index + 4).map(|word| word.text.to_owned()));
                }
                Some(next) if next.is("[") => match at(index + 4).and_then(Word::content) {
                    Some(name) => drop(needs.environment.insert(name.to_owned())),
                    None => needs.is_environment_open = true,
                },
                _ => match destructured(words, index) {
                    Some(names) => needs.environment.extend(names),
                    None => needs.is_environment_open = true,
                },
            }
        }
    }
}

/// The names of `{ A, B: b } = process.env`, whose right side begins at this word.
fn destructured(words: &[Word<'_>], index: usize) -> Option<Vec<String>> {
    let end = index.checked_sub(2)?;
    let is_pattern = words.get(index - 1)?.is("=") && words.get(end)?.is("}");
    let begin = (0..end).rev().find(|at| words.get(*at).is_some_and(|word| word.is("{")))?;
    let mut names = Vec::new();
    let mut is_name = true;
    for word in words.get(begin + 1..end)? {
        match word.text {
            "," => is_name = true,
            _ if is_name && word.kind == Kind::Word => {
                names.push(word.text.to_owned());
                is_name = false;
            }
            _ => {}
        }
    }
    is_pattern.then_some(names)
}

/// Pieces of a source that are replaced, and what is added at its end.
#[derive(Debug, Default)]
struct Edits {
    replaced: Vec<(usize, usize, String)>,
    exported: Vec<String>,
}

impl Edits {
    fn replace(&mut self, from: usize, to: usize, by: String) {
        self.replaced.push((from, to, by));
    }

    /// `plain` is the source without comments: as many characters, so that places are counted in the source.
    fn apply(&self, plain: &str, source: &str) -> String {
        let mut made = String::with_capacity(plain.len());
        let mut chars = plain.chars();
        let mut at = 0;
        let mut copy = |from: &mut usize, to: usize, made: Option<&mut String>| {
            let count = source.get(*from..to).map_or(0, |piece| piece.chars().count());
            let piece = chars.by_ref().take(count);
            match made {
                Some(made) => made.extend(piece),
                None => piece.for_each(drop),
            }
            *from = to;
        };
        for (from, to, by) in &self.replaced {
            copy(&mut at, *from, Some(&mut made));
            copy(&mut at, *to, None);
            made.push_str(by);
        }
        copy(&mut at, source.len(), Some(&mut made));
        for line in &self.exported {
            made.push('\n');
            made.push_str(line);
        }
        made
    }
}

/// `import …`, from the word `import`; the index of its last word.
fn import(words: &[Word<'_>], index: usize, edits: &mut Edits) -> Result<usize, String> {
    let wrong = || "has an `import` that is not understood".to_owned();
    let begin = words.get(index).ok_or_else(wrong)?.from;
    let mut lines = Vec::new();
    let mut at = index + 1;
    let source = |at: usize| -> Result<(String, usize), String> {
        let word = words.get(at).ok_or_else(wrong)?;
        word.content().map(|_| (word.text.to_owned(), word.to)).ok_or_else(wrong)
    };
    if words.get(at).is_some_and(|word| word.kind == Kind::Text) {
        let (module, end) = source(at)?;
        edits.replace(begin, end, format!("require({module})"));
        return Ok(at);
    }
    let from = (at..words.len()).find(|at| words.get(*at).is_some_and(|word| word.is("from"))).ok_or_else(wrong)?;
    let (module, end) = source(from + 1)?;
    while at < from {
        let word = words.get(at).ok_or_else(wrong)?;
        if word.is("*") {
            let name = words.get(at + 2).ok_or_else(wrong)?;
            lines.push(format!("const {} = require({module})", name.text));
            at += 3;
        } else if word.is("{") {
            let (pairs, after) = names(words, at)?;
            let pairs: Vec<String> = pairs.iter().map(|(theirs, ours)| format!("{theirs}: {ours}")).collect();
            lines.push(format!("const {{ {} }} = require({module})", pairs.join(", ")));
            at = after;
        } else if word.is(",") {
            at += 1;
        } else {
            lines.push(format!(
                "const {} = ((m) => (m && m.default !== undefined ? m.default : m))(require({module}))",
                word.text
            ));
            at += 1;
        }
    }
    edits.replace(begin, end, lines.join("; "));
    Ok(from + 1)
}

/// What stands before and after `as`; twice the same without one.
type Renamed<'s> = (&'s str, &'s str);

/// `{ a, b as c }` from its brace: pairs of what stands before and after `as`, and the index after the other brace.
fn names<'s>(words: &[Word<'s>], index: usize) -> Result<(Vec<Renamed<'s>>, usize), String> {
    let mut pairs = Vec::new();
    let mut at = index + 1;
    loop {
        let word = words.get(at).ok_or_else(|| "has a list of names that does not end".to_owned())?;
        if word.is("}") {
            return Ok((pairs, at + 1));
        }
        if word.is(",") {
            at += 1;
        } else if words.get(at + 1).is_some_and(|next| next.is("as")) {
            pairs.push((word.text, words.get(at + 2).map_or(word.text, |renamed| renamed.text)));
            at += 3;
        } else {
            pairs.push((word.text, word.text));
            at += 1;
        }
    }
}

/// `export …`, from the word `export`; the index of the word to go on with.
fn export(words: &[Word<'_>], index: usize, edits: &mut Edits) -> Result<usize, String> {
    let wrong = || "has an `export` that is not understood".to_owned();
    let begin = words.get(index).ok_or_else(wrong)?.from;
    let next = words.get(index + 1).ok_or_else(wrong)?;
    let at = |offset: usize| words.get(index + offset);
    match next.text {
        "default" => {
            let is_async = at(2).is_some_and(|word| word.is("async"));
            let offset = if is_async { 3 } else { 2 };
            let is_function = at(offset).is_some_and(|word| word.is("function") || word.is("class"));
            match at(offset + 1).filter(|name| is_function && name.kind == Kind::Word) {
                Some(name) => {
                    edits.replace(begin, next.to, String::new());
                    edits.exported.push(format!("exports.default = {};", name.text));
                }
                None => edits.replace(begin, next.to, "exports.default =".to_owned()),
            }
            Ok(index + 2)
        }
        "{" => {
            let (pairs, after) = names(words, index + 1)?;
            let is_from = words.get(after).is_some_and(|word| word.is("from"));
            let module = words.get(after + 1).filter(|word| is_from && word.kind == Kind::Text);
            let of = module.map_or_else(String::new, |module| format!("require({}).", module.text));
            for (theirs, ours) in pairs {
                edits.exported.push(format!("exports.{ours} = {of}{theirs};"));
            }
            let last = if is_from { after + 1 } else { after - 1 };
            edits.replace(begin, words.get(last).ok_or_else(wrong)?.to, String::new());
            Ok(last + 1)
        }
        "*" => {
            let module = at(3).filter(|word| word.kind == Kind::Text).ok_or_else(wrong)?;
            edits.exported.push(format!("Object.assign(exports, require({}));", module.text));
            edits.replace(begin, module.to, String::new());
            Ok(index + 4)
        }
        "function" | "class" | "async" => {
            let offset = if next.is("async") { 3 } else { 2 };
            let offset = offset + usize::from(at(offset).is_some_and(|word| word.is("*")));
            let name = at(offset).filter(|word| word.kind == Kind::Word).ok_or_else(wrong)?;
            edits.replace(begin, next.from, String::new());
            edits.exported.push(format!("exports.{0} = {0};", name.text));
            Ok(index + 1)
        }
        "const" | "let" | "var" => {
            edits.replace(begin, next.from, String::new());
            for name in declared(words, index + 2) {
                edits.exported.push(format!("exports.{name} = {name};"));
            }
            Ok(index + 1)
        }
        _ => Err(wrong()),
    }
}

/// The names that a declaration declares, from the first word behind its keyword.
fn declared<'s>(words: &[Word<'s>], index: usize) -> Vec<&'s str> {
    let mut names = Vec::new();
    let (mut depth, mut is_pattern) = (0usize, true);
    for (offset, word) in words.get(index..).unwrap_or_default().iter().enumerate() {
        match (word.kind, word.text) {
            (Kind::Sign, "{" | "(" | "[") => depth += 1,
            (Kind::Sign, "}" | ")" | "]") => depth = depth.saturating_sub(1),
            (Kind::Sign, ";") if depth == 0 => break,
            (Kind::Sign, ",") if depth == 0 => is_pattern = true,
            (Kind::Sign, "=") if depth == 0 => is_pattern = false,
            (Kind::Word, "export" | "import" | "function" | "const" | "let" | "var" | "class")
                if depth == 0 && offset > 0 && !is_pattern =>
            {
                // A function that is a value stands behind something that wants one.
                let before = words.get(index + offset - 1);
                if before.is_none_or(|word| word.is("}") || word.is(")") || word.kind != Kind::Sign) {
                    break;
                }
            }
            // In a pattern what stands before a colon is the name of a member.
            (Kind::Word, name) if is_pattern && words.get(index + offset + 1).is_none_or(|next| !next.is(":")) => {
                names.push(name);
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(source: &str) -> String {
        to_common(source).unwrap().0
    }

    #[test]
    fn modules_become_common_ones() {
        for (source, expected) in [
            (
                "import fs from 'fs'",
                "const fs = ((m) => (m && m.default !== undefined ? m.default : m))(require('fs'))",
            ),
            ("import { a, b as c } from './x.js';", "const { a: a, b: c } = require('./x.js');"),
            ("import * as x from \"y\";", "const x = require(\"y\");"),
            ("import 'y';", "require('y');"),
            ("export function f(a) { return 1; }", "function f(a) { return 1; }\nexports.f = f;"),
            ("export async function f() {}", "async function f() {}\nexports.f = f;"),
            ("export const a = 1, b = [2, 3];", "const a = 1, b = [2, 3];\nexports.a = a;\nexports.b = b;"),
            ("export const { a, b: c } = x;", "const { a, b: c } = x;\nexports.a = a;\nexports.c = c;"),
            ("export default { f };", "exports.default = { f };"),
            ("export default async function g() {}", " async function g() {}\nexports.default = g;"),
            ("const f = 1;\nexport { f, f as g };", "const f = 1;\n;\nexports.f = f;\nexports.g = f;"),
            ("export { a } from './b';", ";\nexports.a = require('./b').a;"),
            ("export * from './b';", ";\nObject.assign(exports, require('./b'));"),
            ("module.exports = { f: (x) => x.import };", "module.exports = { f: (x) => x.import };"),
            ("a(); // export { b }\nc('export default');", "a();                \nc('export default');"),
            ("const u = import.meta.url;", "const u = ({ url: 'file:///', dirname: '/' }).url;"),
        ] {
            assert_eq!(common(source), expected, "{source}");
        }
        let source = "export const f = async (x) => { await x; }\nexport const g = function () { return 1; }\n";
        assert!(common(source).ends_with("exports.f = f;\nexports.g = g;"), "{}", common(source));
        assert!(to_common("const x = await import('y');").unwrap_err().contains("as it runs"));
    }

    #[test]
    fn what_a_source_wants_of_others_is_found() {
        let source = "const a = require('./a'); const b = require(\"b\"); import c from './c.js';\n\
                      const { D, E: e = 1 } = process.env; f(process.env.F, process.env['G']); // process.env.H\n\
                      const url = `${process.env.I}/x`; x.require('no');";
        let (_, needs) = to_common(source).unwrap();
        assert_eq!(needs.modules, ["./a", "b", "./c.js"]);
        let names: Vec<&str> = needs.environment.iter().map(String::as_str).collect();
        assert_eq!(names, ["D", "E", "F", "G", "I"]);
        assert!(!needs.is_environment_open);
        assert!(to_common("const e = process.env;").unwrap().1.is_environment_open);
        assert!(to_common("process.env[name]").unwrap().1.is_environment_open);
    }

    proptest::proptest! {
        #[test]
        fn no_source_makes_it_panic(
            source in "(import |export |default |from |as |const |\\{|\\}|\\*|,|'x'|=|a|;|\n|//|\\(|\\.env){0,20}"
        ) {
            drop(to_common(&source));
        }
    }
}
