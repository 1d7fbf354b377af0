//! Where lines come from: a terminal with history and completion, standard input, a text, or a list.
//!
//! What blocks is read on a thread of its own, one line each time that one is wanted.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nuncius_shell::{LINE_MAX_BYTES, help};
use reedline::{
    ColumnarMenu, Completer, CompletionResult, DefaultPrompt, DefaultPromptSegment, Emacs, FileBackedHistory, KeyCode,
    KeyModifiers, MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span, Suggestion,
    default_emacs_keybindings,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Lines that the history keeps.
const HISTORY_MAX: usize = 10_000;
/// The file of the history in the data directory.
const HISTORY_FILE: &str = "shell-history.txt";
/// Name of the menu of what could follow.
const MENU: &str = "completions";

/// What was read.
#[derive(Debug)]
pub(super) enum Input {
    /// A line.
    Line(String),
    /// One that has too many bytes: so many.
    TooLong(usize),
    /// One that cannot be read, and why.
    Unreadable(String),
    /// Nothing this time: somebody changed their mind.
    Nothing,
    /// There are no more.
    End,
}

/// Lines.
pub(super) struct Lines {
    name: String,
    from: From,
    /// How the terminal was before.
    terminal: Option<Termios>,
}

enum From {
    Memory(std::vec::IntoIter<String>),
    Thread { ask: std::sync::mpsc::SyncSender<()>, got: tokio::sync::mpsc::Receiver<Input>, is_asked: bool },
}

/// Whether somebody sits there.
pub(super) fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

impl Lines {
    /// The lines of a text.
    pub(super) fn of_text(name: String, text: String) -> Self {
        Self::of_list(name, text.lines().map(str::to_owned).collect())
    }

    /// These.
    pub(super) fn of_list(name: String, lines: Vec<String>) -> Self {
        Self { name, from: From::Memory(lines.into_iter()), terminal: None }
    }

    /// Those of standard input.
    pub(super) fn of_standard_input() -> Self {
        let from = From::on_thread(|| bounded_line(&mut std::io::stdin().lock()));
        Self { name: "standard input".to_owned(), from, terminal: None }
    }

    /// Those of whoever sits there.
    ///
    /// # Errors
    /// A history that cannot be kept, a terminal that cannot be asked.
    pub(super) fn of_terminal(data: &Path, names: Arc<Mutex<Vec<String>>>) -> Result<Self> {
        let terminal = tcgetattr(std::io::stdin()).context("the terminal cannot be asked how it is set")?;
        let file = data.join(HISTORY_FILE);
        let history = FileBackedHistory::with_file(HISTORY_MAX, file.clone())
            .with_context(|| format!("{} cannot hold the history", file.display()))?;
        let mut keys = default_emacs_keybindings();
        let next = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
        keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(next));
        let mut editor = Reedline::create()
            .with_history(Box::new(history))
            .with_completer(Box::new(Words(names)))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU))))
            .with_edit_mode(Box::new(Emacs::new(keys)));
        let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic("nuncius".to_owned()), DefaultPromptSegment::Empty);
        let from = From::on_thread(move || match editor.read_line(&prompt) {
            Ok(Signal::Success(line)) => Input::Line(line),
            Ok(Signal::CtrlD) | Err(_) => Input::End,
            // Somebody gives up a line, and nothing else.
            Ok(_) => Input::Nothing,
        });
        Ok(Self { name: "the terminal".to_owned(), from, terminal: Some(terminal) })
    }

    /// Where they come from.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether somebody sits there.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// The next one; cancel-safe.
    pub(super) async fn next(&mut self) -> Input {
        match &mut self.from {
            From::Memory(lines) => lines.next().map_or(Input::End, Input::Line),
            From::Thread { ask, got, is_asked } => {
                if !*is_asked && ask.send(()).is_err() {
                    return Input::End;
                }
                *is_asked = true;
                let next = got.recv().await.unwrap_or(Input::End);
                *is_asked = false;
                next
            }
        }
    }

    /// Sets the terminal as it was: its reader may have been left in the midst of a line.
    pub(super) fn restore(&self) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, terminal);
        }
    }
}

impl From {
    fn on_thread(mut read: impl FnMut() -> Input + Send + 'static) -> Self {
        let (ask, asked) = std::sync::mpsc::sync_channel(1);
        let (give, got) = tokio::sync::mpsc::channel(1);
        // It ends with the process, or as soon as nobody asks any more.
        std::thread::spawn(move || while asked.recv().is_ok() && give.blocking_send(read()).is_ok() {});
        Self::Thread { ask, got, is_asked: false }
    }
}

/// A line of at most [`LINE_MAX_BYTES`]; what is longer is read past and not kept.
fn bounded_line(reader: &mut impl BufRead) -> Input {
    let (mut line, mut length) = (Vec::new(), 0usize);
    loop {
        let there = match reader.fill_buf() {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Input::Unreadable(crate::output::plain(&error)),
        };
        if there.is_empty() && length == 0 {
            return Input::End;
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(there.len(), |end| end + 1);
        let part = there.get(..end.unwrap_or(taken)).unwrap_or_default();
        length += part.len();
        if length <= LINE_MAX_BYTES {
            line.extend_from_slice(part);
        }
        let is_over = end.is_some() || there.is_empty();
        reader.consume(taken);
        if is_over {
            break;
        }
    }
    match String::from_utf8(line) {
        _ if length > LINE_MAX_BYTES => Input::TooLong(length),
        Ok(line) => Input::Line(line),
        Err(_) => Input::Unreadable("the line is no UTF-8 text".to_owned()),
    }
}

/// Completes verbs, objects, methods, and names that were given.
struct Words(Arc<Mutex<Vec<String>>>);

impl Completer for Words {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let typed = line.get(..position).unwrap_or(line);
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let begin = help::word_begin(typed);
        let found = help::completions(typed, &names);
        let suggestions: Vec<Suggestion> = found
            .into_iter()
            .map(|value| {
                let append_whitespace = !value.ends_with('(');
                let span = Span { start: begin, end: position };
                Suggestion { value, span, append_whitespace, ..Suggestion::default() }
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_read_past_and_counted() {
        let mut text = b"first\n".to_vec();
        text.extend(vec![b'x'; 1 << 20]);
        text.extend(b"\n\xff\nlast");
        let mut reader = std::io::BufReader::with_capacity(100, text.as_slice());
        let mut next = || bounded_line(&mut reader);
        assert!(matches!(next(), Input::Line(line) if line == "first"));
        assert!(matches!(next(), Input::TooLong(1_048_576)));
        assert!(matches!(next(), Input::Unreadable(_)));
        assert!(matches!(next(), Input::Line(line) if line == "last"));
        assert!(matches!(next(), Input::End));
    }
}
