//! The live view on terminals of several widths, as a person sees it: what stands on the screen, not what was written.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{PATIENCE, beside_others, nuncius};

/// A terminal that wraps, as far as the live view uses it.
struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Writing past the last column goes on in the next row.
    pending_escape: Option<String>,
    rows_wrapped: usize,
}

impl Screen {
    fn new(columns: usize) -> Self {
        Self { columns, lines: vec![Vec::new()], row: 0, column: 0, pending_escape: None, rows_wrapped: 0 }
    }

    fn feed(&mut self, text: &str) {
        for c in text.chars() {
            match (self.pending_escape.take(), c) {
                (Some(mut sequence), c) => {
                    sequence.push(c);
                    if sequence == "[" || sequence.ends_with(|c: char| c.is_ascii_digit() || c == ';' || c == '?') {
                        self.pending_escape = Some(sequence);
                    } else {
                        self.escape(&sequence);
                    }
                }
                (None, '\x1b') => self.pending_escape = Some(String::new()),
                (None, '\r') => self.column = 0,
                (None, '\n') => self.next_row(),
                (None, c) => {
                    if self.column >= self.columns {
                        self.column = 0;
                        self.next_row();
                        self.rows_wrapped += 1;
                    }
                    let line = &mut self.lines[self.row];
                    if line.len() <= self.column {
                        line.resize(self.column + 1, ' ');
                    }
                    line[self.column] = c;
                    self.column += 1;
                }
            }
        }
    }

    fn next_row(&mut self) {
        self.row += 1;
        if self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
    }

    fn escape(&mut self, sequence: &str) {
        let (number, kind) = sequence[1..].split_at(sequence.len() - 2);
        match kind {
            "A" => self.row = self.row.saturating_sub(number.parse().unwrap_or(1)),
            "J" => {
                self.lines.truncate(self.row + 1);
                self.lines[self.row].truncate(self.column);
            }
            "K" => self.lines[self.row].truncate(self.column),
            // Colours.
            "m" => {}
            other => panic!("unknown sequence {other} of {sequence:?}"),
        }
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A process whose standard error is a terminal.
struct OnTerminal {
    child: Child,
    master: File,
    screen: Screen,
}

impl OnTerminal {
    fn start(columns: u16, data: &std::path::Path, arguments: &[&str]) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = nuncius();
        command.arg("--data").arg(data).args(arguments).env("TERM", "xterm").env("HOME", data);
        let child = command.stdout(Stdio::null()).stderr(Stdio::from(slave)).spawn().unwrap();
        Self { child, master: File::from(master), screen: Screen::new(usize::from(columns)) }
    }

    /// Reads until `found` says so of the screen, or the process has ended.
    fn until(&mut self, mut found: impl FnMut(&str) -> bool) {
        let begun = Instant::now();
        let mut buffer = [0; 65_536];
        let mut waiting = Vec::new();
        // The last writer gone, a terminal's master gives an error.
        while let Ok(length @ 1..) = self.master.read(&mut buffer) {
            waiting.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&waiting).into_owned();
            if !text.ends_with('\u{fffd}') {
                self.screen.feed(&text);
                waiting.clear();
            }
            if found(&self.screen.text()) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not seen in {PATIENCE:?}:\n{}", self.screen.text());
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SPEC: &str = "name: terminal\ngroups:\n\
    - {name: browse, target: 'http://stub/', rate: 50/s, duration: 60s}\n\
    - {name: failing, target: 'http://stub/status/503', users: 1, think_time: 50ms, duration: 60s}\n";

/// Which second of its 60 the run is in, as far as the screen says: a busy machine draws not every one.
fn second_of(screen: &str) -> Option<u32> {
    let (before, _) = screen.split_once("/60s")?;
    before.rsplit(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_fits_any_terminal_and_never_writes_over_what_stays() {
    let _turn = beside_others().await;
    for columns in [20, 47, 81, 160, 300] {
        let directory = nuncius_testkit::TempDir::new("terminal").unwrap();
        let file = directory.path().join("spec.yaml");
        std::fs::write(&file, SPEC).unwrap();
        let mut run = OnTerminal::start(columns, directory.path(), &["run", file.to_str().unwrap()]);
        run.until(|screen| screen.contains("req/s") && screen.contains("browse"));
        // Several draws later there is still one block, and nothing of it has wrapped.
        // Its last line is of the node.
        run.until(|screen| second_of(screen) >= Some(3) && screen.contains("lag p"));
        let before = run.screen.text();
        assert_eq!(before.matches("req/s").count(), 1, "{columns} columns\n{before}");
        // As a terminal echoes it.
        run.screen.feed("^C");
        let pid = rustix::process::Pid::from_child(&run.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        run.until(|_| false);
        let after = run.screen.text();
        let words = after.replace('\n', "");
        assert!(words.contains("cancelling; once more to stop at once"), "{columns} columns\n{after}");
        assert!(words.contains("cancelled: interrupted"), "{columns} columns\n{after}");
        assert!(!after.contains("^C") && !after.contains("req/s"), "{columns} columns\n{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_run_can_be_followed_and_cancelled_from_a_second_shell() {
    let _turn = beside_others().await;
    let directory = nuncius_testkit::TempDir::new("second-shell").unwrap();
    let file = directory.path().join("spec.yaml");
    std::fs::write(&file, SPEC).unwrap();
    let mut run = OnTerminal::start(80, directory.path(), &["run", file.to_str().unwrap()]);
    run.until(|screen| second_of(screen) >= Some(1));
    let second = |arguments: &[&str]| {
        let mut command = nuncius();
        command.arg("--data").arg(directory.path()).args(arguments).env("HOME", directory.path()).output().unwrap()
    };
    let listed = String::from_utf8(second(&["ps"]).stdout).unwrap();
    assert!(listed.contains("terminal") && listed.contains("running"), "{listed}");
    let watching = {
        let mut command = nuncius();
        command.arg("--data").arg(directory.path()).args(["watch", "last"]).env("HOME", directory.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let cancelled = second(&["cancel", "last"]);
    assert!(cancelled.status.success(), "{cancelled:?}");
    let watched = watching.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(6), "{watched:?}");
    run.until(|_| false);
    assert!(!directory.path().join("private").read_dir().is_ok_and(|mut left| left.next().is_some()));
}
