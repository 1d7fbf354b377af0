//! What a script threw, in words, with the place in the script.

use rquickjs::atom::PredefinedAtom;
use rquickjs::{Ctx, Error, Object, Value as ScriptValue};
use serde_json::Value;

use crate::error::{CallError, Place};
use crate::host::{Host, cut};
use crate::json::{self, Refusal};

/// Longest message of an error, in bytes; the rest is cut.
const MESSAGE_BYTES: usize = 1_024;

/// Something that was thrown.
#[derive(Debug)]
pub(crate) struct Thrown {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
}

/// What matters of it to the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The heap is full.
    Memory,
    /// The stack is full.
    Stack,
    /// The interrupt handler ended it.
    Interrupted,
    /// It wants code from elsewhere.
    Import(String),
    /// The top level of a module does not end.
    Waits,
    /// `context.fail` threw it, as far as its name says.
    Failure,
    /// Whatever else.
    Other,
}

/// What is pending in the interpreter, and is not any more afterwards.
pub(crate) fn catch(file: &str, ctx: &Ctx<'_>, error: &Error) -> Thrown {
    match error {
        // `Unknown` and `Allocation`: the interpreter could not make room for something and said so, or could not.
        Error::Exception | Error::Unknown | Error::Allocation => {
            if ctx.has_exception() {
                look(file, &ctx.catch())
            } else {
                memory()
            }
        }
        other => Thrown { kind: Kind::Other, message: other.to_string(), place: None },
    }
}

fn memory() -> Thrown {
    Thrown { kind: Kind::Memory, message: "out of memory".to_owned(), place: None }
}

/// Looks at a value that was thrown. It may have code of its own that is run here, within the time of the call.
pub(crate) fn look(file: &str, value: &ScriptValue<'_>) -> Thrown {
    if value.is_uncatchable_error() {
        return Thrown { kind: Kind::Interrupted, message: "interrupted".to_owned(), place: None };
    }
    if value.is_null() || matches!(value.type_of(), rquickjs::Type::Uninitialized) {
        // There was no room for an error either; then the interpreter throws `null`.
        return memory();
    }
    let Some(object) = value.as_object().filter(|_| value.is_error()) else {
        return Thrown { kind: Kind::Other, message: format!("threw {}", shown(value)), place: None };
    };
    let name = property(object, PredefinedAtom::Name);
    let message = property(object, PredefinedAtom::Message);
    let place = place_in(&property(object, PredefinedAtom::Stack), file);
    let kind = match (name.as_str(), message.as_str()) {
        // Without a message: there was room for the error, but not for its text.
        ("InternalError", "out of memory" | "") => Kind::Memory,
        ("RangeError", "Maximum call stack size exceeded") => Kind::Stack,
        ("Failure", _) => Kind::Failure,
        ("ReferenceError", message) => match message.strip_prefix("could not load module '") {
            Some(rest) => Kind::Import(rest.trim_end_matches('\'').to_owned()),
            None => Kind::Other,
        },
        (_, _) => Kind::Other,
    };
    let message = match (&kind, name.as_str()) {
        (Kind::Import(name), _) => {
            format!("`{name}` cannot be imported: a script has no access to files, packages or addresses")
        }
        (_, "" | "Error" | "Failure") => message,
        (_, name) => format!("{name}: {message}"),
    };
    Thrown { kind, message: cut(&message, MESSAGE_BYTES).to_owned(), place }
}

/// A property as text; empty for what is none or cannot be had.
fn property(object: &Object<'_>, name: PredefinedAtom) -> String {
    let read = object
        .get::<_, ScriptValue<'_>>(name)
        .and_then(|value| if value.is_string() { json::text_of(&value) } else { Ok(String::new()) });
    read.unwrap_or_else(|_| {
        // Whatever its getter threw.
        object.ctx().catch();
        String::new()
    })
}

/// A value that is no error, as whoever threw it would write it.
fn shown(value: &ScriptValue<'_>) -> String {
    let limits = crate::limits::Limits { value_bytes: MESSAGE_BYTES, ..crate::limits::Limits::default() };
    match json::from_script(value, &limits) {
        Ok(Some((found, _))) => cut(&found.to_string(), MESSAGE_BYTES).to_owned(),
        Ok(None) => "undefined".to_owned(),
        Err(Refusal::Because { .. }) => format!("a {}", value.type_name()),
        Err(Refusal::Thrown(_)) => {
            value.ctx().catch();
            format!("a {}", value.type_name())
        }
    }
}

/// The topmost place of the script itself in a stack trace, of lines like `    at name (hooks.js:3:5)`.
fn place_in(stack: &str, file: &str) -> Option<Place> {
    stack.lines().find_map(|line| {
        let line = line.trim().strip_prefix("at ")?;
        let start = line.rfind(&format!("{file}:"))?;
        let (before, found) = line.split_at_checked(start)?;
        let name = match before {
            "" => "",
            named => named.strip_suffix(" (")?,
        };
        let mut numbers = found.get(file.len() + 1..)?.trim_end_matches(')').split(':');
        let line = numbers.next()?.parse().ok()?;
        let column = numbers.next().and_then(|column| column.parse().ok()).unwrap_or(1);
        let function = (!name.is_empty() && !name.starts_with('<')).then(|| name.to_owned());
        Some(Place { file: file.to_owned(), line, column, function })
    })
}

/// What a function returned, as JSON.
///
/// # Errors
/// It threw while it was looked at; the exception is pending.
pub(crate) fn returned(host: &Host, value: &ScriptValue<'_>) -> rquickjs::Result<Result<Value, CallError>> {
    match json::from_script(value, &host.limits) {
        Ok(found) => Ok(Ok(found.map_or(Value::Null, |(found, _)| found))),
        Err(Refusal::Thrown(error)) => Err(error),
        Err(Refusal::Because { path, why }) => {
            Ok(Err(CallError::Value { what: format!("what the function returned{}", below(&path)), why }))
        }
    }
}

fn below(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", at `{}`", path.trim_start_matches('.')) }
}

/// What a call threw.
pub(crate) fn call_error(host: &Host, id: u64, value: &ScriptValue<'_>) -> CallError {
    error_of(host, id, look(&host.file, value))
}

/// Something thrown as the end of a call.
pub(crate) fn error_of(host: &Host, id: u64, thrown: Thrown) -> CallError {
    let Thrown { kind, message, place } = thrown;
    let mut state = host.state.borrow_mut();
    state.memory_ran_out |= kind == Kind::Memory;
    state.stack_ran_out |= kind == Kind::Stack;
    let Some(live) = state.live(id) else {
        return CallError::Thrown { message, place };
    };
    let function = live.function.clone();
    match kind {
        Kind::Memory => CallError::Memory { function, heap_bytes: host.limits.heap_bytes },
        Kind::Stack => CallError::Stack { place, stack_bytes: host.limits.stack_bytes },
        Kind::Interrupted => CallError::Time { function, limit_ms: host.limits.call_ns / 1_000_000 },
        Kind::Failure if live.failing.is_some() => CallError::Failed { text: message, place },
        Kind::Failure | Kind::Import(_) | Kind::Waits | Kind::Other => CallError::Thrown { message, place },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_place_of_the_script_is_found() {
        let stack = "    at write (native)\n    at set (nuncius:12:3)\n\
            \x20   at checkout (hooks.js:31:9)\n    at buy (hooks.js:7:1)\n";
        let place = place_in(stack, "hooks.js").unwrap();
        assert_eq!((place.line, place.column, place.function.as_deref()), (31, 9, Some("checkout")));
        assert_eq!(place.to_string(), "hooks.js:31:9 in checkout");
        let place = place_in("    at <anonymous> (hooks.js:2:4)\n", "hooks.js").unwrap();
        assert_eq!((place.line, place.column, place.function), (2, 4, None));
        let place = place_in("    at hooks.js:5:6\n", "hooks.js").unwrap();
        assert_eq!((place.line, place.column, place.function), (5, 6, None));
    }

    #[test]
    fn places_elsewhere_are_none() {
        assert_eq!(place_in("    at set (nuncius:script:12:3)\n", "script"), None);
        assert_eq!(place_in("    at f (native)\n", "hooks.js"), None);
        assert_eq!(place_in("hooks.js:x:y", "hooks.js"), None);
        assert_eq!(place_in("", "hooks.js"), None);
    }
}
