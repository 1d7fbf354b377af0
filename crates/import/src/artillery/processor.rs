//! The processor: its files, looked through for what they want of others, and mended where a hook cannot mean what it
//! does.

use std::collections::BTreeSet;

use super::javascript::{hooks, meters, modules};
use super::state::State;
use super::view::{View, shown};
use crate::error::ImportError;
use crate::files::{Base, Wanted};

/// Most bytes of all files of a processor.
pub const PROCESSOR_MAX_BYTES: usize = 768 * 1024;
/// Most files of a processor.
pub const PROCESSOR_FILES_MAX: usize = 200;

/// What may stand at the end of the name of a file that is required without it.
const ENDINGS: [&str; 6] = ["", ".js", ".cjs", ".mjs", ".json", "/index.js"];

/// What a processor is given that is no file.
const BUILT_IN: [&str; 15] = [
    "node-fetch",
    "cross-fetch",
    "undici",
    "util",
    "url",
    "querystring",
    "crypto",
    "uuid",
    "buffer",
    "process",
    "timers",
    "timers/promises",
    "path",
    "fs",
    "events",
];

/// Of the built-in modules those that there are not.
const NOT_BUILT_IN: [&str; 2] = ["fs", "events"];

/// Reads the processor that the file names, and every file that it requires.
///
/// # Errors
/// A file is not there, is too large, or is no JavaScript that can be used here.
pub(crate) fn read(state: &mut State<'_, '_>, view: &View<'_>, base: Base) -> Result<(), ImportError> {
    let Some(path) = state.known(view) else { return Ok(()) };
    let wrong =
        |path: &str, problem: String| ImportError::File { field: view.path.clone(), path: shown(path), problem };
    if path.ends_with(".ts") {
        let note = "TypeScript is not run here: make one file of JavaScript of it (esbuild --bundle --platform=node)";
        state.ledger.refused(view.spot(), note);
        return Ok(());
    }
    let main = plain(&path);
    let mut open = vec![(main.clone(), path.clone())];
    let (mut known, mut made, mut bytes_left) = (BTreeSet::new(), Vec::new(), PROCESSOR_MAX_BYTES);
    let mut main_path = None;
    while let Some((wanted, written)) = open.pop() {
        if known.len() >= PROCESSOR_FILES_MAX {
            return Err(wrong(
                &written,
                format!("one of more than {PROCESSOR_FILES_MAX} files that the processor needs"),
            ));
        }
        let (found, source) = find(state, &wanted, &written, base).map_err(|problem| wrong(&written, problem))?;
        main_path.get_or_insert_with(|| found.clone());
        if !known.insert(found.clone()) {
            continue;
        }
        bytes_left = bytes_left.checked_sub(source.len()).ok_or_else(|| {
            wrong(&written, format!("with it the files of the processor have more than {PROCESSOR_MAX_BYTES} bytes"))
        })?;
        if found.ends_with(".json") {
            made.push((found, format!("module.exports = {source};")));
            continue;
        }
        let (common, needs) = modules::to_common(&source).map_err(|problem| wrong(&written, problem))?;
        state.script.environment.extend(needs.environment);
        if needs.is_environment_open {
            let text = "it reads variables of the environment whose names are not written in it: only those that are \
                        are given to it";
            state.ledger.warn(view.spot(), text);
        }
        let emitted = meters::find(&common);
        for (kind, name) in &emitted.named {
            if let Err(text) = state.script.meters.add(*kind, name) {
                state.ledger.warn(view.spot(), text);
            }
        }
        if emitted.is_open {
            let text = "it counts or measures under names that are not written in it: those are left out, since every \
                        meter is declared before the start";
            state.ledger.warn(view.spot(), text);
        }
        for module in needs.modules {
            if module.starts_with('.') || module.starts_with('/') {
                open.push((joined(&found, &module), module));
            } else {
                check_module(state, view, &module);
            }
        }
        made.push((found, common));
    }
    state.ledger.supported(view.spot());
    state.script.set_processor(main_path.unwrap_or(main), made);
    Ok(())
}

/// A module that is no file.
fn check_module(state: &mut State<'_, '_>, view: &View<'_>, module: &str) {
    let name = module.strip_prefix("node:").unwrap_or(module);
    if BUILT_IN.contains(&name) && !NOT_BUILT_IN.contains(&name) {
        return;
    }
    let known: Vec<&str> = BUILT_IN.into_iter().filter(|name| !NOT_BUILT_IN.contains(name)).collect();
    let note = format!(
        "it requires `{}`: there are no packages here, only {} and files beside it; bundle what it needs into it \
         (esbuild --bundle --platform=node)",
        shown(module),
        known.join(", ")
    );
    state.ledger.refused(view.spot(), note);
}

/// A path without `.` and with as few `..` as can be.
fn plain(path: &str) -> String {
    joined("", path)
}

fn joined(from: &str, path: &str) -> String {
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { directory.split('/').collect() };
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != ".." && !last.is_empty()) => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("/")
}

/// A file that is required, with its path and its text.
fn find(state: &mut State<'_, '_>, path: &str, written: &str, base: Base) -> Result<(String, String), String> {
    let mut first = None;
    let is_absolute = written.starts_with('/');
    for ending in ENDINGS {
        let found = format!("{path}{ending}");
        let asked = if is_absolute { format!("/{found}") } else { found.clone() };
        match (state.reader)(Wanted { path: &asked, base }) {
            Ok(bytes) => {
                let source = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
                return Ok((found, source));
            }
            Err(problem) => drop(first.get_or_insert(problem)),
        }
    }
    Err(first.unwrap_or_else(|| "it is not there".to_owned()))
}

/// How a function is called: how many parameters it is given without `next`, and whether the first is one to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `(context, events, next)`
    Step,
    /// `(requestParams, context, events, next)`
    BeforeRequest,
    /// `(requestParams, response, context, events, next)`
    AfterResponse,
}

impl State<'_, '_> {
    /// Looks at a function that the file names, and mends what it cannot mean.
    pub(crate) fn check_hook(&mut self, view: &View<'_>, name: &str, role: Role) {
        if !self.script.has_processor() {
            self.ledger.warn(view.spot(), format!("`{}` is named, but there is no `config.processor`", shown(name)));
            return;
        }
        let given = match role {
            Role::Step => 2,
            Role::BeforeRequest => 3,
            Role::AfterResponse => 4,
        };
        for warning in self.script.mend(name, given, role == Role::BeforeRequest) {
            self.ledger.warn(view.spot(), warning);
        }
    }
}

impl super::script::Script {
    /// Mends a hook of this name wherever it is; what was found.
    fn mend(&mut self, name: &str, given: usize, is_before: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut is_found = false;
        for source in self.sources_mut() {
            let Some(hook) = hooks::find(source, name) else { continue };
            is_found = true;
            if hook.is_async
                && let Some(next) = hook.parameters.get(given)
            {
                warnings.push(format!(
                    "`{name}` is asynchronous and has a parameter `{next}`: Artillery gives it none and fails where it \
                     calls it; here calling it does nothing, and its promise decides"
                ));
            }
            let Some(first) = hook.parameters.first().filter(|_| is_before) else { continue };
            if hook.is_rebound {
                warnings.push(format!(
                    "`{name}` gives its parameter `{first}` another value: what it sets of that is lost, as with \
                     Artillery; change its members instead"
                ));
            }
            if !hook.emptied.is_empty() {
                warnings.push(format!(
                    "`{name}` gives its parameter `{first}` a new object, so that nothing it sets would reach the \
                     request: the assignment is taken out"
                ));
                for (from, to) in hook.emptied.iter().rev() {
                    source.replace_range(from..to, "void 0");
                }
            }
        }
        if !is_found {
            warnings.push(format!(
                "`{name}` is not found in the processor: where it is none of its functions, it is passed over"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_files_that_are_required_are_joined() {
        for (from, path, expected) in [
            ("", "./functions.js", "functions.js"),
            ("lib/a.js", "./b", "lib/b"),
            ("lib/a.js", "../b.js", "b.js"),
            ("a.js", "../b.js", "../b.js"),
            ("a/b/c.js", "../../../d", "../d"),
            ("a.js", "/x/y.js", "x/y.js"),
        ] {
            assert_eq!(joined(from, path), expected, "{from} {path}");
        }
    }
}
