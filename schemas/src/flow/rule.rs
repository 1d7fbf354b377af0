//! What all checks of scenarios share.

pub(crate) use crate::spec::check::{Reading, SpecError, at_most, refuse};
pub(crate) use crate::spec::limits::{ENTRIES_MAX, NAME_MAX_CHARACTERS, URL_MAX_BYTES, VALUE_MAX_BYTES};
pub(crate) use crate::spec::validate::names::{check_display_name, is_authority};

use super::template::{has_template, is_template};
use crate::bundle::check_path;
use crate::spec::limits::TIMEOUT_MAX_NS;

/// Longest pause of a virtual user between two steps.
pub const THINK_MAX_NS: u64 = TIMEOUT_MAX_NS;
/// Longest regular expression, JSONPath or selector, in bytes.
pub const PATTERN_MAX_BYTES: usize = 4 * 1024;
/// Longest name of a variable or a function, in bytes.
pub const VARIABLE_MAX_BYTES: usize = 64;

/// The functions of templates: no variable can have such a name.
pub const FUNCTIONS: [&str; 17] = [
    "base64",
    "default",
    "env",
    "int",
    "iteration",
    "json",
    "len",
    "lower",
    "now",
    "number",
    "random_int",
    "random_string",
    "string",
    "upper",
    "urlencode",
    "user",
    "uuid",
];

/// Words of templates that are no names.
const WORDS: [&str; 4] = ["true", "false", "null", "loop"];

fn shown(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}

/// The name of a variable: a capture, a row, an item, or what `set` sets.
pub(crate) fn check_variable_name(field: &str, name: &str) -> Result<(), SpecError> {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if name.is_empty()
        || name.len() > VARIABLE_MAX_BYTES
        || name.starts_with(|c: char| c.is_numeric())
        || !name.chars().all(plain)
    {
        let problem = format!(
            "`{}` is no name of a variable: use letters, digits and _, in at most {VARIABLE_MAX_BYTES} bytes, no digit \
             first",
            shown(name)
        );
        return refuse(field, problem);
    }
    if FUNCTIONS.contains(&name) || WORDS.contains(&name) {
        return refuse(field, format!("`{name}` means something in templates already: give it another name"));
    }
    Ok(())
}

/// The name of a function of the script.
pub(crate) fn check_function_name(field: &str, name: &str) -> Result<(), SpecError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_$".contains(c);
    match name.is_empty()
        || name.len() > VARIABLE_MAX_BYTES
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(plain)
    {
        true => refuse(field, format!("`{}` is no name of a function of the script", shown(name))),
        false => Ok(()),
    }
}

/// A condition is a template and nothing else: any other text would always be true.
pub(crate) fn check_condition(field: &str, condition: &str) -> Result<(), SpecError> {
    if condition.len() > VALUE_MAX_BYTES {
        return refuse(field, format!("longer than {VALUE_MAX_BYTES} bytes"));
    }
    match is_template(condition) {
        true => Ok(()),
        false => refuse(field, "a condition is one template and nothing else, as in \"{{ status == 200 }}\""),
    }
}

/// A JSONPath, a selector, or a name in an answer. Its syntax is read by whoever looks for it.
pub(super) fn check_pattern(field: &str, pattern: &str) -> Result<(), SpecError> {
    if pattern.trim().is_empty() {
        return refuse(field, "empty: say what to look for");
    }
    if pattern.len() > PATTERN_MAX_BYTES || pattern.contains('\0') {
        return refuse(field, format!("longer than {PATTERN_MAX_BYTES} bytes, or holds a NUL byte"));
    }
    match has_template(pattern) {
        true => refuse(field, "templates are not filled in here: what is looked for is the same for all"),
        false => Ok(()),
    }
}

/// A regular expression, which may hold braces of its own.
pub(super) fn check_regex(field: &str, pattern: &str) -> Result<(), SpecError> {
    if pattern.is_empty() || pattern.len() > PATTERN_MAX_BYTES {
        return refuse(field, format!("empty, or longer than {PATTERN_MAX_BYTES} bytes"));
    }
    match regex::Regex::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => refuse(field, format!("not a regular expression: {error}")),
    }
}

/// The name of a header that is looked for.
pub(super) fn check_header_name(field: &str, name: &str) -> Result<(), SpecError> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
        true => refuse(field, format!("`{}` is not a header name", shown(name))),
        false => Ok(()),
    }
}

/// The name of a file of the bundle: it leads nowhere else.
pub(crate) fn check_file_name(field: &str, name: &str) -> Result<(), SpecError> {
    if has_template(name) {
        return refuse(field, "templates are not filled in here: nodes fetch all files before the load");
    }
    check_path(name).or_else(|error| refuse(field, error.to_string()))
}

/// A path at the target, a whole URL of HTTP, or a template that is one of them.
pub(super) fn check_url(field: &str, url: &str, reading: Reading) -> Result<(), SpecError> {
    check_url_of(field, url, &["http://", "https://"], reading)
}

/// The same for a WebSocket; URLs of HTTP are taken for the same thing.
pub(super) fn check_socket_url(field: &str, url: &str, reading: Reading) -> Result<(), SpecError> {
    check_url_of(field, url, &["ws://", "wss://", "http://", "https://"], reading)
}

fn check_url_of(field: &str, url: &str, schemes: &[&str], reading: Reading) -> Result<(), SpecError> {
    if url.len() > URL_MAX_BYTES {
        return refuse(field, format!("longer than {URL_MAX_BYTES} bytes"));
    }
    // What a template or a variable stands for is looked at when it is known.
    let is_open = !reading.knows(url) || has_template(url);
    let problem = format!(
        "must be a path that starts with /, or a whole URL ({}), be percent-encoded, hold no spaces or `#`, and have \
         at most {URL_MAX_BYTES} bytes",
        schemes.join(" or ")
    );
    let is_plain = match is_open {
        true => !url.chars().any(char::is_control),
        false => url.bytes().all(|b| b.is_ascii_graphic() && b != b'#'),
    };
    let starts_open = is_open && (url.starts_with('$') || url.starts_with("{{"));
    let whole = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    if !is_plain || !(url.is_empty() || url.starts_with('/') || starts_open || whole.is_some()) {
        return refuse(field, problem);
    }
    match whole.map(|rest| rest.split(['/', '?']).next().unwrap_or_default()) {
        Some(authority) if reading.knows(authority) && !has_template(authority) && !is_authority(authority) => {
            refuse(field, "the host is neither a service nor host:port; a `/` in a password is written %2F")
        }
        Some(_) | None => Ok(()),
    }
}
