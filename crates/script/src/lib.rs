//! The embedded JavaScript of scenarios: hooks, functions and conditions, one runtime a thread, bounded.
//!
//! A script is checked once per node ([`Compiled`]) and loaded by each engine thread ([`Runtime`]). A call is given
//! the variables, the request or the response of a user, and gives back what became of them. It may wait for requests
//! and timers: it says what it wants ([`Ask`]), the engine does it with its own client and under its own rules, and
//! the call goes on ([`Runtime::resume`], or all of it as a future: [`drive::run`]).
//!
//! It must never reach a file, the network or another process, run without an end, grow without a bound, take the
//! process down with it, or give other numbers in another run: `Math.random()` is a function of a seed.
//!
//! What it is made of: QuickJS by crate `rquickjs`, whose safe interface is used alone, and of that not what makes
//! text without checking it (`Atom::to_string`, `CString::as_str`) or panics on what a script can make
//! (`Array::len`).

mod call;
mod clock;
mod compiled;
mod describe;
pub mod drive;
mod error;
mod exchange;
mod host;
mod json;
pub mod limits;
mod machine;
mod random;
mod runtime;
mod source;
pub mod watchdog;

pub use call::{Call, CallId, CallState, Finished, Level, Line, Meter, MeterKind, Waiting};
pub use compiled::{Compiled, Exports, FunctionId, check};
pub use error::{CallError, Place, ScriptError};
pub use exchange::{Answer, Ask, AskId, RequestView, ResponseView, Wanted};
pub use limits::Limits;
pub use runtime::{LEFT_BEHIND_MAX, Runtime};
pub use watchdog::{Overrun, Watchdog};
