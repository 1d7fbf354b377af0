//! JavaScript as words. What stands in strings, comments and regular expressions is no word; what stands in the
//! `${…}` of a template is.

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, a keyword or a number.
    Word,
    /// One character of punctuation.
    Sign,
    /// A text in quotes.
    Text,
    /// A piece of a template between its backticks and expressions, or a regular expression.
    Other,
}

/// A word, and where it is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<'s> {
    pub(crate) kind: Kind,
    pub(crate) text: &'s str,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl<'s> Word<'s> {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }

    /// What is within the quotes of a text, as it is written.
    pub(crate) fn content(&self) -> Option<&'s str> {
        if self.kind == Kind::Text { self.text.get(1..self.text.len().checked_sub(1)?) } else { None }
    }
}

/// Words after which a slash begins a regular expression.
const BEFORE_REGEX: [&str; 13] =
    ["return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "await", "yield"];

/// All words of a source, and the source with its comments as spaces.
pub(crate) fn words(source: &str) -> (Vec<Word<'_>>, String) {
    let mut lexer =
        Lexer { source, at: 0, words: Vec::new(), plain: String::with_capacity(source.len()), open: Vec::new() };
    lexer.run();
    (lexer.words, lexer.plain)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    words: Vec<Word<'s>>,
    plain: String,
    /// Braces that are open: whether each is that of an expression in a template.
    open: Vec<bool>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Goes on by so many bytes, which stay as they are.
    fn advance(&mut self, bytes: usize) -> &'s str {
        let taken = self.rest().get(..bytes).unwrap_or(self.rest());
        self.plain.push_str(taken);
        self.at += taken.len();
        taken
    }

    fn push(&mut self, kind: Kind, bytes: usize) {
        let from = self.at;
        let text = self.advance(bytes);
        self.words.push(Word { kind, text, from, to: self.at });
    }

    fn run(&mut self) {
        while let Some(first) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("//") || (self.at == 0 && rest.starts_with("#!")) {
                self.comment(rest.find(['\n', '\r']).unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.comment(rest.find("*/").map_or(rest.len(), |end| end + 2));
            } else if first.is_whitespace() || first == '\u{feff}' {
                self.advance(first.len_utf8());
            } else if first == '"' || first == '\'' {
                self.push(Kind::Text, quoted(rest, first));
            } else if first == '`' {
                self.template(1);
            } else if first == '/' && self.is_regex() {
                self.push(Kind::Other, regex(rest));
            } else if first.is_alphanumeric() || first == '_' || first == '$' {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                self.push(Kind::Word, end);
            } else {
                self.push(Kind::Sign, first.len_utf8());
                match first {
                    '{' => self.open.push(false),
                    '}' if self.open.pop() == Some(true) => self.template(0),
                    _ => {}
                }
            }
        }
    }

    /// Takes a comment out; the ends of its lines stay.
    fn comment(&mut self, bytes: usize) {
        let comment = self.rest().get(..bytes).unwrap_or(self.rest());
        self.plain.extend(comment.chars().map(|c| if matches!(c, '\n' | '\r') { c } else { ' ' }));
        self.at += comment.len();
    }

    /// A piece of a template, up to its end or to the next expression in it.
    fn template(&mut self, skip: usize) {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip_while(|(at, _)| *at < skip);
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '`' => {
                    end = at + 1;
                    break;
                }
                '$' if rest.get(at + 1..).is_some_and(|rest| rest.starts_with('{')) => {
                    end = at + 2;
                    self.open.push(true);
                    break;
                }
                _ => {}
            }
        }
        self.push(Kind::Other, end);
    }

    fn is_regex(&self) -> bool {
        match self.words.last() {
            None => true,
            Some(word) => match word.kind {
                Kind::Word => BEFORE_REGEX.contains(&word.text),
                Kind::Sign => ![")", "]", "}"].contains(&word.text),
                Kind::Text | Kind::Other => false,
            },
        }
    }
}

/// How long a text in quotes is.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\n' => return at,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long a regular expression with its flags is.
fn regex(text: &str) -> usize {
    let (mut in_class, mut end) = (false, text.len());
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\n' => return at,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => {
                end = at + 1;
                break;
            }
            _ => {}
        }
    }
    let flags = text.get(end..).unwrap_or_default();
    end + flags.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(flags.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        words(source).0.into_iter().filter(|word| word.kind != Kind::Other).map(|word| word.text).collect()
    }

    #[test]
    fn words_are_told_from_strings_comments_and_regular_expressions() {
        assert_eq!(texts("a.b = 'it\\'s' // c\n/* d */ e"), ["a", ".", "b", "=", "'it\\'s'", "e"]);
        assert_eq!(texts("x = a / b / c; y = /re'g\\/[/]ex/gi.test(s)").join(" "), "x = a / b / c ; y = . test ( s )");
        assert_eq!(texts("`a ${process.env.X + `${y}`} b` + z").join(" "), "process . env . X + y } } + z");
        assert_eq!(texts("return /x/"), ["return"]);
        assert_eq!(words("#!/usr/bin/env node\na /* x\ny */ b").1, "                   \na     \n     b");
    }

    proptest::proptest! {
        #[test]
        fn every_source_is_gone_through_to_its_end(
            source in "(`|'|\"|/|\\*|\\$\\{|\\}|\\{|a|\\\\|\n|\\[|\\]| |ü){0,40}",
        ) {
            let (words, plain) = words(&source);
            proptest::prop_assert_eq!(plain.chars().count(), source.chars().count());
            for word in words {
                proptest::prop_assert_eq!(source.get(word.from..word.to), Some(word.text));
            }
        }
    }
}
