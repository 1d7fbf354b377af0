//! Rust text as tokens: enough of the language to find imports, without comments and with literals told apart.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// What a string literal holds, as written.
    Text(String),
    /// `::`.
    Separator,
    /// `..`, `..=` or `...`: no access to a field.
    Range,
    /// Any other character.
    Sign(char),
}

impl Token {
    pub(super) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Text(_) | Self::Separator | Self::Range | Self::Sign(_) => None,
        }
    }
}

/// The tokens of a text. Lifetimes, numbers and characters are left out: no import hangs on them.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut reader = Reader { characters: &characters, at: 0 };
    let mut found = Vec::new();
    while let Some(character) = reader.peek(0) {
        let token = reader.next(character);
        found.extend(token);
    }
    found
}

struct Reader<'a> {
    characters: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn next(&mut self, character: char) -> Option<Token> {
        match (character, self.peek(1)) {
            ('/', Some('/')) => self.skip_while(|c| c != '\n'),
            ('/', Some('*')) => self.skip_comment(),
            ('"', _) => return Some(self.text(0)),
            ('\'', _) => self.skip_character(),
            ('b', Some('"')) | ('c', Some('"')) => {
                self.at += 1;
                return Some(self.text(0));
            }
            ('b', Some('\'')) => {
                self.at += 1;
                self.skip_character();
            }
            ('r', Some('"' | '#')) if self.is_raw(1) => return Some(self.raw_text(1)),
            ('b' | 'c', Some('r')) if self.is_raw(2) => return Some(self.raw_text(2)),
            ('r', Some('#')) => {
                self.at += 2;
                return Some(self.word());
            }
            (':', Some(':')) => {
                self.at += 2;
                return Some(Token::Separator);
            }
            ('.', Some('.')) => {
                self.skip_while(|c| c == '.' || c == '=');
                return Some(Token::Range);
            }
            (first, _) if first == '_' || first.is_alphabetic() => return Some(self.word()),
            (first, _) if first.is_ascii_digit() => self.skip_while(|c| c == '_' || c.is_alphanumeric()),
            (space, _) if space.is_whitespace() => self.at += 1,
            (sign, _) => {
                self.at += 1;
                return Some(Token::Sign(sign));
            }
        }
        None
    }

    fn skip_while(&mut self, holds: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&holds) {
            self.at += 1;
        }
    }

    /// They nest.
    fn skip_comment(&mut self) {
        let mut depth = 0;
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// A character in quotes, or a lifetime, which has one quote.
    fn skip_character(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.at += 3;
                self.skip_while(|c| c != '\'');
                self.at += 1;
            }
            (Some(_), Some('\'')) => self.at += 3,
            _ => {
                self.at += 1;
                self.skip_while(|c| c == '_' || c.is_alphanumeric());
            }
        }
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        self.skip_while(|c| c == '_' || c.is_alphanumeric());
        Token::Word(self.characters[start..self.at].iter().collect())
    }

    /// From the opening quote on, which `before` characters precede.
    fn text(&mut self, before: usize) -> Token {
        self.at += before + 1;
        let start = self.at;
        while let Some(character) = self.peek(0).filter(|c| *c != '"') {
            self.at += if character == '\\' { 2 } else { 1 };
        }
        let end = self.at.min(self.characters.len());
        self.at += 1;
        Token::Text(self.characters[start..end].iter().collect())
    }

    /// Whether hashes, if any, and a quote follow.
    fn is_raw(&self, from: usize) -> bool {
        let hashes = self.hashes(from);
        self.peek(from + hashes) == Some('"')
    }

    fn hashes(&self, from: usize) -> usize {
        self.characters[self.at..].iter().skip(from).take_while(|c| **c == '#').count()
    }

    fn raw_text(&mut self, before: usize) -> Token {
        let hashes = self.hashes(before);
        self.at += before + hashes + 1;
        let start = self.at;
        while let Some(character) = self.peek(0) {
            if character == '"' && self.hashes(1) >= hashes {
                break;
            }
            self.at += 1;
        }
        let end = self.at.min(self.characters.len());
        self.at += hashes + 1;
        Token::Text(self.characters[start..end].iter().collect())
    }
}

#[test]
fn comments_literals_and_lifetimes_are_no_words() {
    let words = |text: &str| -> Vec<String> {
        tokens(text).iter().filter_map(|token| token.word().map(str::to_owned)).collect()
    };
    assert_eq!(
        words("a // b\n /* c /* d */ e */ f 'g' '\\n' '\\'' b'h' &'static i 1_000u64 \"j\" k"),
        ["a", "f", "i", "k"]
    );
    assert_eq!(words("r#\"a \" b\"# c r\"d\" br#\"e\"# b\"f\" r#type g"), ["c", "type", "g"]);
    assert_eq!(words("0..LIMIT x.y 1.5 '\\u{1F600}' z"), ["LIMIT", "x", "y", "z"]);
    assert_eq!(tokens("a::b"), [Token::Word("a".into()), Token::Separator, Token::Word("b".into())]);
    assert_eq!(tokens(r#""say \"x\"""#), [Token::Text(r#"say \"x\""#.into())]);
}
