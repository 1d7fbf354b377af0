//! What a person or a program reads: standard output for results, standard error for words about them.
//!
//! A reader that has gone away (`| head -1`) ends nothing and is no error. Whatever else keeps a result from being
//! written is one: [`failure`] has the first, and the command ends with it.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, Result};
use nuncius_report::text::TextOptions;
use serde::Serialize;

/// The name that stands for standard output where a file is named.
const STANDARD_OUTPUT: &str = "-";

/// Why standard output could not be written, the first time it could not.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Prints a result and a line's end; see [`failure`].
pub(crate) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let written = writeln!(output, "{}", text.trim_end_matches('\n')).and_then(|()| output.flush());
    note_failure(written);
}

/// Prints a value as JSON.
///
/// # Errors
/// What cannot be JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints what was done: as JSON where that was asked for, else in words.
///
/// # Errors
/// What cannot be JSON.
pub(crate) fn say(json: bool, value: &impl Serialize, words: &str) -> Result<()> {
    if json {
        return print_json(value);
    }
    print(words);
    Ok(())
}

/// Prints rows below a heading, in the one style of all tables; `nothing` where there is no row. Columns of which
/// `left` holds the index are words, the others numbers.
pub(crate) fn print_table(heading: &[&str], rows: &[Vec<String>], left: &[usize], nothing: &str) {
    match rows {
        [] => print(nothing),
        rows => print(&nuncius_report::text::table(heading, rows, left, text_options())),
    }
}

/// Says something to whoever sits there. Where nobody can be told, there is nobody to tell that either.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end_matches('\n'));
}

/// Remembers that something meant for standard output was not written.
pub(crate) fn note_failure(written: std::io::Result<()>) {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let _ = FAILURE.set(plain(&error));
        }
        Err(_) | Ok(()) => {}
    }
}

/// Standard output for those who write to a stream; see [`note_failure`] for what becomes of a reader that has gone.
#[derive(Debug)]
pub(crate) struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match std::io::stdout().write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            outcome => outcome,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match std::io::stdout().flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }
}

/// Why standard output could not be written.
pub(crate) fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

/// Writes a file and the directories it belongs into; `-` is standard output.
///
/// # Errors
/// What could not be written, by its path.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    if is_standard_output(path) {
        print(text);
        return Ok(());
    }
    write_bytes(path, text.as_bytes())
}

/// Writes a file of bytes, and the directories it belongs into; `-` is standard output.
///
/// # Errors
/// What could not be written, by its path.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_standard_output(path) {
        let mut output = std::io::stdout().lock();
        note_failure(output.write_all(bytes).and_then(|()| output.flush()));
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// Whether a file that was named is standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == STANDARD_OUTPUT
}

/// How standard output takes text: coloured only for people (NO_COLOR, CLICOLOR_FORCE and pipes are heeded), folded
/// only in a terminal.
pub(crate) fn text_options() -> TextOptions {
    let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    TextOptions { colour: is_coloured(&std::io::stdout()), width: width.unwrap_or(usize::MAX) }
}

/// Whether a stream is to have colours.
pub(crate) fn is_coloured(stream: &(impl IsTerminal + anstream::stream::RawStream)) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// An error of the system in its own words, without the number that Rust adds.
pub(crate) fn plain(error: &impl ToString) -> String {
    let mut text = error.to_string();
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text.get(start..).and_then(|rest| rest.find(')')) else { return text };
        text.replace_range(start..=start + length, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn errors_of_the_system_are_told_without_their_numbers() {
        let error = std::io::Error::from_raw_os_error(28);
        assert_eq!(plain(&error), "No space left on device");
        assert_eq!(plain(&"a (os error 1), b (os error 22): c"), "a, b: c");
        assert_eq!(plain(&"cut (os error"), "cut (os error");
    }
}
