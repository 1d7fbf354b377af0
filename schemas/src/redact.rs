//! Taking secrets out of what is stored, shown or logged.

use crate::target::split_userinfo;
use crate::variable::is_variable;

mod spec;

pub(crate) use spec::redact_entry;
pub use spec::redact_spec;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

const SECRET_WORDS: [&str; 18] = [
    "authorization",
    "cookie",
    "token",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "api-key",
    "apikey",
    "access-key",
    "private-key",
    "credential",
    "signature",
    "session-id",
    "sessionid",
    "x-auth",
    "jwt",
];

/// Schemes of credentials: the word after them is a secret wherever it stands.
const CREDENTIAL_SCHEMES: [&str; 4] = ["bearer", "basic", "negotiate", "digest"];

/// Whether a header, query parameter or field of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    name == "auth" || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A URL, or its path and query, without user information and without the values of secret parameters in its query or
/// fragment.
pub fn redact_url(url: &str) -> String {
    let url = redact_user_information(url);
    let Some(at) = url.find(['?', '#']) else { return url };
    let (path, parameters) = url.split_at(at);
    let mut out = path.to_owned();
    for piece in parameters.split_inclusive(['?', '#', '&', ';']) {
        match piece.split_once('=') {
            Some((name, _)) if is_secret_name(name) => {
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
                out.extend(piece.chars().last().filter(|c| "?#&;".contains(*c)));
            }
            _ => out.push_str(piece),
        }
    }
    out
}

/// `text` with `user:password@` taken out of every URL in it.
pub fn redact_user_information(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| "/?#\"'<>,".contains(c) || c.is_whitespace()).unwrap_or(after.len());
        let (authority, next) = after.split_at(end);
        let (userinfo, host) = split_userinfo(authority);
        if userinfo.is_some() {
            out.push_str(REDACTED);
            out.push('@');
        }
        out.push_str(host);
        rest = next;
    }
    out.push_str(rest);
    out
}

/// `text` without the value after every secret name (`password=x`, `"token": "x"`, `Authorization: Basic x`,
/// `<password>x</password>`), without the word after a scheme of credentials (`Bearer x`) and without user information
/// in URLs. Where the end of a value is not clear, more is taken out rather than less.
pub fn redact_text(text: &str) -> String {
    redact_values(text, false)
}

/// The same of what Nuncius says itself: a colon after the path of a field (`groups[0].headers.x-token: …`) begins
/// what is wrong with it, not its value.
pub fn redact_message(text: &str) -> String {
    redact_values(text, true)
}

fn redact_values(text: &str, has_fields: bool) -> String {
    let text = redact_user_information(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((at, length)) = next_secret(rest, has_fields) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        out.push_str(REDACTED);
        rest = after.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Where the next secret value begins and how long it is, in bytes.
fn next_secret(text: &str, has_fields: bool) -> Option<(usize, usize)> {
    let mut word_start = None;
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() || "_-.%".contains(c) {
            word_start = word_start.or(Some(at));
            continue;
        }
        let value_at = at + c.len_utf8();
        let tail = text.get(value_at..).unwrap_or_default();
        if let Some(word) = word_start.take().and_then(|start| text.get(start..at))
            && c == ' '
            && CREDENTIAL_SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
        {
            let length = tail.find(|c: char| c.is_whitespace() || "\"',;".contains(c)).unwrap_or(tail.len());
            // Prose ("a basic test") has short words without digits; credentials do not.
            let credential =
                tail.get(..length).is_some_and(|t| t.len() >= 16 || t.contains(|c: char| !c.is_alphabetic()));
            if length > 0 && credential && tail.get(..length) != Some(REDACTED) {
                return Some((value_at, length));
            }
        }
        let name = name_before(text.get(..at).unwrap_or_default(), c);
        if matches!(c, ':' | '=' | '>')
            && is_secret_name(name)
            && !(has_fields && c == ':' && name.contains('.'))
            && let Some((skipped, length)) = value_of(tail, c)
        {
            return Some((value_at + skipped, length));
        }
    }
    None
}

/// The name that ends before a separator: without its quotes, back to what cannot be part of one.
fn name_before(text: &str, separator: char) -> &str {
    let text = if separator == '>' { text } else { text.trim_end().trim_end_matches(['"', '\'', '\\']) };
    let start = text
        .rfind(|c: char| !(c.is_alphanumeric() || "_-.%".contains(c)))
        .map_or(0, |at| at + text.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
    let name = text.get(start..).unwrap_or_default();
    let is_element = text.get(..start).is_some_and(|before| before.ends_with('<'));
    if separator == '>' && !is_element { "" } else { name }
}

/// Where the value after a separator begins, and how long it is; `None` when there is nothing left to take out.
fn value_of(tail: &str, separator: char) -> Option<(usize, usize)> {
    let value = tail.trim_start_matches([' ', '\t']);
    let skipped = tail.len() - value.len();
    let length = match (separator, value.chars().next()?) {
        ('>', _) => value.find('<').unwrap_or(value.len()),
        (_, '"' | '\'' | '\\') => {
            // The quote may itself be escaped, in JSON within JSON: the value ends where the same mark stands again.
            let backslashes = value.len() - value.trim_start_matches('\\').len();
            let mark = value.get(..backslashes + 1)?;
            let end = quoted_end(value.get(mark.len()..)?, mark);
            mark.len() + end
        }
        (_, '{' | '[') => bracket_end(value),
        // A header: cookies and credentials hold every other delimiter.
        (':', _) => value.find(['\r', '\n', '}']).unwrap_or(value.len()),
        _ => value.find(|c: char| c.is_whitespace() || "&;\"'<>".contains(c)).unwrap_or(value.len()),
    };
    let taken = value.get(..length)?;
    (!taken.is_empty() && taken != REDACTED).then_some((skipped, length))
}

/// Just after the closing `mark`, which a backslash before it would escape.
fn quoted_end(text: &str, mark: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(mark)) {
        let at = from + at;
        let before = text.get(..at).unwrap_or_default();
        let escapes = before.len() - before.trim_end_matches('\\').len();
        if escapes.is_multiple_of(2) {
            return at + mark.len();
        }
        from = at + mark.len();
    }
    text.len()
}

/// Just after the bracket that closes the one at the beginning; brackets in strings do not count.
fn bracket_end(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            '}' | ']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Arguments of a command in their order: what follows `--password` or `Bearer` is a secret, whatever it looks like.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    secret_follows: bool,
}

impl Arguments {
    /// The one at `index` of a command; those before it were asked for before it.
    pub(crate) fn redact(&mut self, index: usize, value: &str) -> String {
        let is_secret = self.secret_follows && index > 0;
        let word = value.trim_end_matches(':');
        let names_secret = value.starts_with('-') && !value.contains('=') && is_secret_name(word)
            || is_secret_name(word) && word.len() < value.len()
            || CREDENTIAL_SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(value));
        self.secret_follows = names_secret && !is_secret;
        match is_secret && !is_variable(value) {
            true => REDACTED.to_owned(),
            false => redact_text(value),
        }
    }
}

/// Arguments of a job or a command as they may be stored and shown.
pub fn redact_arguments(arguments: &[String]) -> Vec<String> {
    let mut state = Arguments::default();
    arguments.iter().enumerate().map(|(index, argument)| state.redact(index, argument)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_survive() {
        assert_eq!(redact_url("amqp://guest:guest@broker:5672/%2f"), "amqp://[redacted]@broker:5672/%2f");
        assert_eq!(redact_url("http://shop/a?access_token=x&b=1"), "http://shop/a?access_token=[redacted]&b=1");
        assert_eq!(redact_url("http://shop/a@b"), "http://shop/a@b");
        assert!(!redact_text("{\"user\":\"a\",\"password\":\"hunter2\"}").contains("hunter2"));
        assert!(!redact_text("Set-Cookie: sid=abc\nAuthorization: Bearer zzz").contains("zzz"));
        assert_eq!(redact_text("plain text, nothing else"), "plain text, nothing else");
    }

    #[test]
    fn a_secret_is_taken_out_whole_whatever_it_holds() {
        for text in [
            r#"{"password":"a,hunter2"}"#,
            r#"{"password":"a\"b hunter2"}"#,
            r#"{"password" : "x{hunter2"}"#,
            r#"{"credentials":{"user":"a","key":"hunter2"},"b":1}"#,
            r#"{"tokens":["a","hunter2"]}"#,
            r#"{"inner":"{\"password\":\"hunter2\"}"}"#,
            "Cookie: a=1; b=hunter2, c",
            "Authorization: Digest username=\"u\", response=\"hunter2\"",
            "sent authorization Bearer hunter2",
            "connect to amqp://guest:hunter2@broker:5672/ failed",
            "user=a&pwd=hunter2&b=1",
            "<password>hunter2</password>",
            "api_key=hunter2",
            "auth: hunter2",
            "x-auth-key: hunter2",
        ] {
            let redacted = redact_text(text);
            assert!(!redacted.contains("hunter2"), "{text} -> {redacted}");
            assert_eq!(redact_text(&redacted), redacted, "twice is the same as once");
        }
        for url in [
            "/a?token=hunter2&u=http://x/",
            "/a?u=http://me:hunter2@x/",
            "http://shop/#access_token=hunter2",
            "http://shop/a;b?x=1;secret=hunter2",
        ] {
            assert!(!redact_url(url).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_field_is_told() {
        let told = "groups[0].headers.x-token: environment variable A is not set (node n1)";
        assert_eq!(redact_message(told), told);
        assert_eq!(redact_message("x-token: hunter2"), "x-token: [redacted]");
        assert!(!redact_message("groups[0].headers.x-token: password=hunter2").contains("hunter2"));
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            r#"{"user":"a","n":[1,2]}"#,
            "a basic test of 12:30",
            "http://shop/a?b=1#c",
            "connection refused: 127.0.0.1:80",
            "ü: ö=ä",
        ] {
            assert_eq!(redact_text(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(token|ü|[:=\"'\\\\{}\\[\\]<>@/&; \n]|://|bearer ){0,40}") {
            drop(redact_text(&text));
            drop(redact_url(&text));
        }
    }
}
