//! The modules of one crate as its files write them: what each imports, names and defines, and where a path leads.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, tokens};

/// Files of a crate by their place below `src`.
pub(super) type Files = BTreeMap<String, String>;

/// One name that a `use` brings.
struct Import {
    path: Vec<String>,
    /// `*` for everything.
    name: String,
    /// Whether others may see it: a signpost, which is no use of what it points to.
    is_public: bool,
}

#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    imports: Vec<Import>,
    definitions: BTreeSet<String>,
    /// Names in its code, without those of fields and methods.
    words: BTreeSet<String>,
    paths: BTreeSet<Vec<String>>,
}

/// Where a name leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

impl Place {
    const fn module(self) -> usize {
        match self {
            Self::Module(module) | Self::Item(module) => module,
        }
    }
}

/// All modules of a crate, its root first.
#[derive(Default)]
pub(super) struct Modules {
    all: Vec<Module>,
    /// Files that were read, and places below which there are tests alone.
    read: BTreeSet<String>,
    tests: Vec<String>,
}

impl Modules {
    /// Reads a crate from its root file on.
    pub(super) fn read(files: &Files, root: &str) -> Self {
        let mut modules = Self::default();
        modules.file(files, root, "", None);
        modules
    }

    /// Files that no module is in: tests, or what another root reads.
    pub(super) fn is_read(&self, file: &str) -> bool {
        self.read.contains(file) || self.tests.iter().any(|place| file.starts_with(place))
    }

    /// Which file imports which, with a path that says so.
    pub(super) fn arrows(&self) -> BTreeMap<(String, String), String> {
        let mut arrows = BTreeMap::new();
        for (at, module) in self.all.iter().enumerate() {
            let mut arrow = |to: usize, path: &[String]| {
                let files = (module.file.clone(), self.all[to].file.clone());
                if files.0 != files.1 {
                    arrows.entry(files).or_insert_with(|| path.join("::"));
                }
            };
            for import in module.imports.iter().filter(|import| !import.is_public) {
                for place in self.resolve(at, &import.path, &mut Vec::new()) {
                    match place {
                        // The paths that begin with its name say what of it is used.
                        Place::Module(_) if import.name != "*" => {}
                        Place::Module(to) | Place::Item(to) => arrow(to, &import.path),
                    }
                }
            }
            for path in &module.paths {
                self.resolve(at, path, &mut Vec::new()).iter().for_each(|place| arrow(place.module(), path));
            }
            for word in &module.words {
                let path = [word.clone()];
                for place in self.resolve(at, &path, &mut Vec::new()) {
                    if let Place::Item(to) = place {
                        arrow(to, &path);
                    }
                }
            }
        }
        arrows
    }

    /// Where a path leads that is written in a module; nothing for what is not of this crate.
    fn resolve(&self, from: usize, path: &[String], under_way: &mut Vec<(usize, String)>) -> Vec<Place> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut places = match first.as_str() {
            "crate" => vec![Place::Module(0)],
            "self" => vec![Place::Module(from)],
            "super" => self.all[from].parent.map(Place::Module).into_iter().collect(),
            name => self.lookup(from, name, under_way),
        };
        for segment in rest {
            // A name may be a module and a function: what follows it is in the module.
            if places.iter().any(|place| matches!(place, Place::Module(_))) {
                places.retain(|place| matches!(place, Place::Module(_)));
            }
            let mut next = Vec::new();
            for place in places {
                match place {
                    Place::Item(_) => next.push(place),
                    Place::Module(module) => match segment.as_str() {
                        "self" | "*" => next.push(place),
                        "super" => next.extend(self.all[module].parent.map(Place::Module)),
                        name => {
                            let found = self.lookup(module, name, under_way);
                            let is_unknown = found.is_empty() && !self.is_foreign(module, name);
                            next.extend(found);
                            // Made by a macro, for one.
                            next.extend(is_unknown.then_some(Place::Item(module)));
                        }
                    },
                }
            }
            places = next;
        }
        places
    }

    /// Whether a module has this name from another crate.
    fn is_foreign(&self, module: usize, name: &str) -> bool {
        self.all[module].imports.iter().any(|import| import.name == name)
    }

    fn lookup(&self, module: usize, name: &str, under_way: &mut Vec<(usize, String)>) -> Vec<Place> {
        let key = (module, name.to_owned());
        if under_way.contains(&key) {
            return Vec::new();
        }
        under_way.push(key);
        let of = &self.all[module];
        let mut found: Vec<Place> = of.children.get(name).map(|child| Place::Module(*child)).into_iter().collect();
        found.extend(of.definitions.contains(name).then_some(Place::Item(module)));
        for import in of.imports.iter().filter(|import| import.name == name) {
            found.extend(self.resolve(module, &import.path, under_way));
        }
        if found.is_empty() {
            for import in of.imports.iter().filter(|import| import.name == "*") {
                for place in self.resolve(module, &import.path, under_way) {
                    if let Place::Module(of_all) = place {
                        found.extend(self.lookup(of_all, name, under_way));
                    }
                }
            }
        }
        under_way.pop();
        found
    }

    fn file(&mut self, files: &Files, file: &str, children_in: &str, parent: Option<usize>) -> usize {
        let text = files.get(file).unwrap_or_else(|| panic!("no file {file}, which a `mod` asks for"));
        self.read.insert(file.to_owned());
        self.module(files, file, &tokens(text), children_in, parent)
    }

    fn module(
        &mut self,
        files: &Files,
        file: &str,
        tokens: &[Token],
        children_in: &str,
        parent: Option<usize>,
    ) -> usize {
        let at = self.all.len();
        self.all.push(Module { file: file.to_owned(), parent, ..Module::default() });
        let mut cursor = Cursor { tokens, at: 0 };
        let mut depth = 0;
        let mut attribute_end = 0;
        while let Some(token) = cursor.peek(0) {
            match token {
                Token::Sign('#') if cursor.is_test_only() => {
                    if let Some(name) = cursor.skip_item() {
                        self.tests.push(format!("{children_in}{name}"));
                    }
                    continue;
                }
                Token::Sign('#') if cursor.peek(1).is_some_and(|next| next.is_sign('[')) => {
                    attribute_end = cursor.end_of_group(cursor.at + 1);
                }
                // `serde(with = "crate::units")`.
                Token::Text(text) if cursor.at < attribute_end && text.contains("::") => {
                    self.all[at].paths.insert(text.split("::").map(str::to_owned).collect());
                }
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => depth -= 1,
                // Who may see something is no import: `pub(in crate::a)`.
                Token::Word(word) if word == "pub" => {
                    cursor.at += 1;
                    if cursor.peek(0).is_some_and(|next| next.is_sign('(')) && cursor.is_bound() {
                        cursor.at = cursor.end_of_group(cursor.at);
                    }
                    continue;
                }
                Token::Word(word) if cursor.begins_a_path() => {
                    let name = cursor.peek(1).and_then(Token::word).map(str::to_owned);
                    match (word.as_str(), name) {
                        ("mod", Some(name)) => {
                            let inner = format!("{children_in}{name}/");
                            let child = if cursor.peek(2).is_some_and(|next| next.is_sign('{')) {
                                let end = cursor.end_of_group(cursor.at + 2);
                                let body = &tokens[cursor.at + 3..end.saturating_sub(1)];
                                cursor.at = end;
                                self.module(files, file, body, &inner, Some(at))
                            } else {
                                cursor.at += 3;
                                self.file(files, &format!("{children_in}{name}.rs"), &inner, Some(at))
                            };
                            self.all[at].children.insert(name, child);
                            continue;
                        }
                        ("use", _) if !cursor.peek(1).is_some_and(|next| next.is_sign('<')) => {
                            let is_public = cursor.is_public();
                            cursor.at += 1;
                            let mut found = Vec::new();
                            cursor.imports(&[], &mut found);
                            let imports = found.into_iter().map(|(path, name)| Import { path, name, is_public });
                            self.all[at].imports.extend(imports);
                            continue;
                        }
                        (keyword, Some(name)) if BEGINS_A_DEFINITION.contains(&keyword) && name != "fn" => {
                            if depth == 0 {
                                self.all[at].definitions.insert(name);
                            }
                            cursor.at += 2;
                            continue;
                        }
                        _ => {
                            // What attributes are called is nobody's name, and neither is what a field is called.
                            let is_name = cursor.at < attribute_end || cursor.is_field();
                            let path = cursor.path();
                            let module = &mut self.all[at];
                            match path.as_slice() {
                                [_] if is_name => {}
                                [word] => drop(module.words.insert(word.clone())),
                                _ => drop(module.paths.insert(path)),
                            }
                            continue;
                        }
                    }
                }
                Token::Word(_) | Token::Text(_) | Token::Separator | Token::Range | Token::Sign(_) => {}
            }
            cursor.at += 1;
        }
        at
    }
}

const BEGINS_A_DEFINITION: &[&str] = &["struct", "enum", "union", "trait", "fn", "type", "const", "static"];

struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn before(&self) -> Option<&Token> {
        self.at.checked_sub(1).and_then(|before| self.tokens.get(before))
    }

    /// Whether the word here is neither a field nor a method, and begins no path of another crate.
    fn begins_a_path(&self) -> bool {
        !self.before().is_some_and(|before| before.is_sign('.') || *before == Token::Separator)
    }

    /// Whether the word here names a field or an argument: its type, or its value, follows.
    fn is_field(&self) -> bool {
        self.peek(1).is_some_and(|next| next.is_sign(':'))
    }

    /// The path that begins here; goes past it.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(word) = self.peek(0).and_then(Token::word) {
            path.push(word.to_owned());
            self.at += 1;
            if self.peek(0) != Some(&Token::Separator) || self.peek(1).and_then(Token::word).is_none() {
                break;
            }
            self.at += 1;
        }
        path
    }

    /// Where the group ends whose opening sign is at `open`: one past its closing sign.
    fn end_of_group(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token {
                Token::Sign('(' | '[' | '{') => depth += 1,
                Token::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
                Token::Word(_) | Token::Text(_) | Token::Separator | Token::Range | Token::Sign(_) => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }

    /// Whether `#[cfg(test)]` stands here, or the like with more conditions.
    fn is_test_only(&self) -> bool {
        let open = if self.peek(1).is_some_and(|next| next.is_sign('!')) { 2 } else { 1 };
        if !self.peek(open).is_some_and(|next| next.is_sign('[')) {
            return false;
        }
        let end = self.end_of_group(self.at + open);
        let words: Vec<&str> = self.tokens[self.at..end].iter().filter_map(Token::word).collect();
        words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not")
            || words == ["test"]
            || words == ["tokio", "test"]
    }

    /// Goes past the attributes here and what they are of; the name of a module that has a file of its own.
    fn skip_item(&mut self) -> Option<String> {
        if self.peek(1).is_some_and(|next| next.is_sign('!')) {
            self.at = self.tokens.len();
            return None;
        }
        while self.peek(0).is_some_and(|token| token.is_sign('#')) {
            self.at = self.end_of_group(self.at + 1);
        }
        let mut module = None;
        let mut is_item = false;
        // What ends with `;` even after braces, as `use a::{b, c};` does.
        let mut ends_with_semicolon = false;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Sign(';') => {
                    self.at += 1;
                    return module;
                }
                // A field, a variant or an argument.
                Token::Sign(',') if !is_item => {
                    self.at += 1;
                    return None;
                }
                // The end of what it is in.
                Token::Sign(')' | ']' | '}') => return None,
                Token::Sign('{') if !ends_with_semicolon => {
                    self.at = self.end_of_group(self.at);
                    return None;
                }
                Token::Sign('(' | '[' | '{') => self.at = self.end_of_group(self.at),
                Token::Word(word) => {
                    is_item |=
                        matches!(word.as_str(), "impl" | "mod" | "use") || BEGINS_A_DEFINITION.contains(&word.as_str());
                    ends_with_semicolon |= matches!(word.as_str(), "use" | "static" | "let" | "type");
                    ends_with_semicolon |= word == "const" && self.peek(1).and_then(Token::word) != Some("fn");
                    if word == "mod" {
                        module = self.peek(1).and_then(Token::word).map(str::to_owned);
                    }
                    self.at += 1;
                }
                Token::Text(_) | Token::Separator | Token::Range | Token::Sign(_) => self.at += 1,
            }
        }
        module
    }

    /// Whether the group that opens here bounds who sees something; it may be a tuple's field.
    fn is_bound(&self) -> bool {
        self.peek(1).and_then(Token::word).is_some_and(|word| matches!(word, "crate" | "super" | "self" | "in"))
            && !self.peek(2).is_some_and(|next| *next == Token::Separator)
    }

    /// Whether `pub` stands before the word here, with or without a bound.
    fn is_public(&self) -> bool {
        let mut before = self.at;
        if self.before().is_some_and(|token| token.is_sign(')')) {
            while before > 0 && !self.tokens[before - 1].is_sign('(') {
                before -= 1;
            }
            before = before.saturating_sub(1);
        }
        before.checked_sub(1).is_some_and(|at| self.tokens[at].word() == Some("pub"))
    }

    /// The names that a tree of imports brings, each with its path; goes past the tree and the sign after it.
    fn imports(&mut self, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
        let mut path = prefix.to_vec();
        let mut name = None;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Word(word) if word == "as" => {
                    name = self.peek(1).and_then(Token::word).map(str::to_owned);
                    self.at += 1;
                }
                Token::Word(word) => path.push(word.clone()),
                Token::Separator if path.is_empty() => path.push("::".to_owned()),
                Token::Separator => {}
                Token::Sign('*') => path.push("*".to_owned()),
                Token::Sign('{') => {
                    self.at += 1;
                    while self.peek(0).is_some_and(|token| !token.is_sign('}')) {
                        self.imports(&path, found);
                        if self.peek(0).is_some_and(|token| token.is_sign(',')) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    path.clear();
                    continue;
                }
                Token::Sign(_) | Token::Text(_) | Token::Range => break,
            }
            self.at += 1;
        }
        let last = path.iter().rev().find(|segment| *segment != "self");
        if let Some(name) = name.or_else(|| last.cloned()) {
            found.push((path, name));
        }
    }
}
