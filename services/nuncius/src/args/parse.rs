//! From the words that were typed to a command line.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use clap::error::ErrorKind;
use clap::{Command as Clap, CommandFactory, FromArgMatches};

use super::{Cli, Command, EmulatorCommand, examples};
use crate::environment;

/// The old spelling of --report-json, where a file follows it.
const REPORT_SWITCH: &str = "--json";

/// The whole command line, with examples in every help page. No help shows what a variable holds, and an empty variable
/// is none.
pub(crate) fn command() -> Clap {
    let command = examples::add(heeding(Cli::command(), &|name| environment::given(name).is_some()));
    // Lines of a pipe are not wrapped: whoever searches them wants them whole.
    if std::io::stdout().is_terminal() { command } else { command.term_width(0) }
}

fn heeding(command: Clap, is_given: &dyn Fn(&OsStr) -> bool) -> Clap {
    let command = command.mut_args(|argument| {
        let argument = argument.hide_env_values(true);
        let Some(name) = argument.get_env().filter(|name| !is_given(name)).map(OsStr::to_owned) else {
            return argument;
        };
        // Help names it all the same.
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.env(None).help(format!("{help} [env: {}]", name.to_string_lossy()))
    });
    command.mut_subcommands(|command| heeding(command, is_given))
}

/// Reads a command line; with it comes a hint to an old spelling that was used, and understood.
///
/// # Errors
/// What clap says: it prints itself, and knows whether it is help or a mistake.
pub(crate) fn parse(words: Vec<OsString>) -> Result<(Cli, Option<&'static str>), clap::Error> {
    let error = match read(&words) {
        Ok(cli) => return Ok((cli, None)),
        Err(error) => error,
    };
    if !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::TooManyValues) {
        return Err(error);
    }
    // `--json FILE` named a file once, where it is a switch now.
    match with_report_file(words).map(|words| read(&words)) {
        Some(Ok(cli)) if writes_report(&cli.command) => {
            Ok((cli, Some("--json is a switch: to have the report in a file, say --report-json FILE")))
        }
        _ => Err(error),
    }
}

fn read(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn with_report_file(mut words: Vec<OsString>) -> Option<Vec<OsString>> {
    let is_switch =
        |word: &OsString| word == REPORT_SWITCH || word.to_str().is_some_and(|word| word.starts_with("--json="));
    let word = words.iter_mut().find(|word| is_switch(word))?;
    let file = word.to_str().and_then(|word| word.strip_prefix(REPORT_SWITCH)).unwrap_or_default();
    *word = format!("--report-json{file}").into();
    Some(words)
}

fn writes_report(command: &Command) -> bool {
    matches!(command, Command::Run(_) | Command::Emulator(EmulatorCommand::Servo(_)))
}

#[cfg(test)]
mod tests;
