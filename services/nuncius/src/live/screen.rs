//! Standard error as the live view uses it: lines that stay, and on a terminal one block below them that is redrawn.

use std::io::{IsTerminal, Write};

use nuncius_report::text::{TextOptions, progress_block, progress_heading, progress_rows};
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::second::ExperimentSecond;
use rustix::termios::tcgetwinsize;

/// Columns and rows where a terminal does not tell.
const SIZE: (usize, usize) = (80, 24);

/// Standard error.
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    colour: bool,
    /// Widths of the lines of the block as it stands there.
    drawn: Vec<usize>,
    /// What the block shows.
    shown: Option<ExperimentSecond>,
    heading_told: bool,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal() && !is_dumb;
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { quiet, terminal, colour, drawn: Vec::new(), shown: None, heading_told: false }
    }

    /// Columns and rows of the terminal now.
    fn size() -> (usize, usize) {
        match tcgetwinsize(std::io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            Ok(_) | Err(_) => SIZE,
        }
    }

    /// Takes the block away.
    pub(super) fn clear(&mut self) {
        write(&self.erased());
        self.drawn.clear();
    }

    /// What takes the block away: to its first line, then everything from there on. After a change of the terminal's
    /// width a line may stand in several rows.
    fn erased(&self) -> String {
        if self.drawn.is_empty() {
            return String::new();
        }
        let (columns, _) = Self::size();
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        // The terminal may have echoed `^C` where the cursor stands.
        format!("\r\x1b[{rows}A\x1b[J")
    }

    /// Says something that stays, above the block.
    pub(super) fn line(&mut self, text: &str) {
        write(&format!("{}{text}\n", if self.terminal { self.erased_or_start() } else { String::new() }));
        self.drawn.clear();
        self.redraw();
    }

    /// As [`Self::erased`]; without a block at least what the terminal echoed is overwritten.
    fn erased_or_start(&self) -> String {
        if self.drawn.is_empty() { "\r\x1b[K".to_owned() } else { self.erased() }
    }

    pub(super) fn event(&mut self, event: &ExperimentEvent) {
        if !self.quiet && event.kind != EventKind::Gate {
            self.line(&format!("{:>9}  {}", event.kind.name(), nuncius_report::text::plain(&event.message, 1_000)));
        }
    }

    /// Shows a second: in the block, or as rows of fixed columns.
    pub(super) fn second(&mut self, second: ExperimentSecond) {
        if self.quiet {
            return;
        }
        if self.terminal {
            self.shown = Some(second);
            self.redraw();
            return;
        }
        // A second that changed later has had its rows.
        if second.revision > 0 {
            return;
        }
        if !std::mem::replace(&mut self.heading_told, true) {
            write(&format!("{}\n", progress_heading()));
        }
        progress_rows(&second).iter().for_each(|row| write(&format!("{row}\n")));
    }

    /// Draws the block for the terminal as it is now.
    pub(super) fn redraw(&mut self) {
        let Some(second) = self.shown.as_ref().filter(|_| self.terminal) else { return };
        let (columns, rows) = Self::size();
        let plain = progress_block(second, TextOptions { colour: false, width: columns }, rows);
        let block = progress_block(second, TextOptions { colour: self.colour, width: columns }, rows);
        let erased = self.erased();
        // One write, so that nothing of it is seen half.
        write(&format!("{erased}{block}"));
        self.drawn = plain.lines().map(|line| line.chars().count()).collect();
    }

    /// Forgets the block's content, so that nothing is drawn any more.
    pub(super) fn end(&mut self) {
        self.clear();
        self.shown = None;
    }
}

/// A reader that has gone away is not an error.
fn write(text: &str) {
    if !text.is_empty() {
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}
