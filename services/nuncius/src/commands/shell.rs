//! `nuncius shell`: lines from a terminal, a file, standard input or the command line, done one after the other. Each
//! group of clients that is given work is an experiment in the books.
//!
//! Layout: `state` is what a session knows; `convert` makes specifications of values; `groups` steers experiments;
//! `fleet` is who is there; `calls` does what a call means; `session` works lines out; `input` is where lines come
//! from.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use nuncius_shell::ShellError;

use self::input::{Input, Lines};
use self::state::State;
use crate::args::{Global, ShellArgs};
use crate::connect;
use crate::exit::{EXIT_FAILED, Usage, exit_code_of};
use crate::output::{is_standard_output, note};
use crate::signals::Interrupts;

mod calls;
mod convert;
mod fleet;
mod groups;
mod input;
mod session;
mod state;

/// Exit code where somebody ended the shell in the midst of a line.
const EXIT_INTERRUPTED: u8 = 6;

/// `nuncius shell`: 0, or the exit code of the first line that failed where nobody sits at a terminal.
pub(super) async fn shell(global: &Global, args: ShellArgs) -> Result<u8> {
    let source = args.source.as_deref();
    let names = Arc::new(Mutex::new(Vec::new()));
    let mut lines = match source {
        Some(path) if !is_standard_output(path) => {
            Lines::of_text(path.display().to_string(), session::script(path).map_err(|error| Usage(error.to_string()))?)
        }
        None if !args.lines.is_empty() => Lines::of_list("the command line".to_owned(), args.lines),
        None if input::is_terminal() => {
            let data = connect::data_directory(global)?;
            Lines::of_terminal(&data, Arc::clone(&names))?
        }
        Some(_) | None => Lines::of_standard_input(),
    };
    let bus = connect::existing(global, "nuncius-shell").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let mut state = State::new(bus, connect::data_place(global), names);
    let mut interrupts = Interrupts::watch()?;
    let code = read(&mut state, &mut lines, &mut interrupts, args.keep_going).await;
    let left = session::leave(&mut state, &mut interrupts).await;
    lines.restore();
    let _ = connect::leave(&state.bus).await;
    Ok(if code == 0 && left.is_err() { EXIT_FAILED } else { code })
}

/// Does lines until there are no more; the exit code.
async fn read(state: &mut State, lines: &mut Lines, interrupts: &mut Interrupts, keep_going: bool) -> u8 {
    let mut code = 0;
    let mut number = 0usize;
    while !state.is_leaving {
        let next = tokio::select! {
            next = lines.next() => next,
            () = interrupts.next() => return EXIT_INTERRUPTED,
        };
        number += 1;
        let done = match next {
            Input::Line(line) => match interrupts.unless(session::line(state, &line)).await {
                Some(done) => done,
                None if lines.is_terminal() => {
                    note("interrupted; what runs goes on");
                    continue;
                }
                None => {
                    note("interrupted");
                    return EXIT_INTERRUPTED;
                }
            },
            Input::TooLong(bytes) => Err(ShellError::Long { bytes }.into()),
            Input::Unreadable(problem) => Err(Usage(problem).into()),
            Input::Nothing => continue,
            Input::End => return code,
        };
        let Err(error) = done else { continue };
        match lines.is_terminal() {
            true => note(&format!("{error:#}")),
            false => {
                note(&format!("nuncius: {}, line {number}: {error:#}", lines.name()));
                code = if code == 0 { code_of(&error) } else { code };
                if !keep_going {
                    return code;
                }
            }
        }
    }
    code
}

/// A line that makes no sense is a mistake of whoever wrote it.
fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<ShellError>() {
        Some(problem) => exit_code_of(&Usage(problem.to_string()).into()),
        None => exit_code_of(error),
    }
}
