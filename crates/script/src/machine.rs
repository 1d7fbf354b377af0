//! One interpreter with a script in it: made, entered, and taken down without a risk to the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::OnceLock;

use rquickjs::context::EvalOptions;
use rquickjs::{Array, Context, Ctx, Function, Module, Object, Persistent, Value as ScriptValue};

use crate::call::Level;
use crate::describe::{self, Kind, Thrown};
use crate::error::{CallError, ScriptError};
use crate::exchange::Answer;
use crate::host::{Host, LOADING, functions};
use crate::json;
use crate::limits::Limits;
use crate::source::{Form, Source};

/// Stack of the host's own frames: between where a runtime is made and where it is called, and below a call into it.
const HOST_STACK_BYTES: usize = 128 << 10;

/// Name of the prelude in stack traces.
const PRELUDE_NAME: &str = "nuncius";
const PRELUDE: &str = include_str!("prelude.js");

/// How the message of a source that is no JavaScript begins.
pub(crate) const SYNTAX_ERROR: &str = "syntax error: ";

/// How many jobs may run between two looks at the clock.
const JOBS_PER_LOOK: u32 = 64;

pub(crate) struct Machine {
    /// Before the context, as it refers to it.
    handles: Option<Handles>,
    context: Option<Context>,
    runtime: Option<rquickjs::Runtime>,
    host: Rc<Host>,
    /// Whether it was full once: what ran out of memory or stack may have left something behind.
    suspicious: bool,
    /// Names of what it exports; a function's number is its place here.
    pub(crate) exports: Vec<String>,
}

/// What the host calls, resolved once.
struct Handles {
    /// What `invoke` gives when the call goes on later.
    pending: Persistent<ScriptValue<'static>>,
    invoke: Persistent<Function<'static>>,
    answer: Persistent<Function<'static>>,
    forget: Persistent<Function<'static>>,
    exported: Vec<Persistent<Function<'static>>>,
}

/// How it went.
pub(crate) struct Entered {
    pub(crate) used_ns: u64,
    /// Why this machine is not to be used any more.
    pub(crate) broken: Option<String>,
}

/// Something to do in a machine on behalf of a call.
pub(crate) enum Work {
    /// Call this function.
    Call(usize),
    /// Give it this answer.
    Answer(u64, Answer),
}

impl Machine {
    /// Makes an interpreter and loads a script into it.
    ///
    /// # Errors
    /// The script cannot be loaded.
    pub(crate) fn new(source: &Source, host: Rc<Host>) -> Result<Self, ScriptError> {
        let failed = |error: rquickjs::Error| ScriptError::Interpreter {
            file: source.file.clone(),
            why: format!("it could not be made: {error}"),
        };
        let runtime = rquickjs::Runtime::new().map_err(failed)?;
        // First the context, then the limits: with too little memory it is not made in half, but crashes.
        let context = Context::full(&runtime).map_err(failed)?;
        runtime.set_memory_limit(host.limits.heap_bytes);
        runtime.set_max_stack_size(host.limits.stack_bytes.saturating_add(HOST_STACK_BYTES));
        let watched = Rc::clone(&host);
        runtime.set_interrupt_handler(Some(Box::new(move || watched.clock.must_end())));
        let told = Rc::clone(&host);
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, is_handled| {
            told.note_rejection(&ctx, promise, reason, is_handled);
        })));
        let mut machine = Self {
            handles: None,
            context: Some(context),
            runtime: Some(runtime),
            host,
            suspicious: false,
            exports: Vec::new(),
        };
        machine.load(source)?;
        Ok(machine)
    }

    fn load(&mut self, source: &Source) -> Result<(), ScriptError> {
        let interpreter = |why: &str| ScriptError::Interpreter { file: source.file.clone(), why: why.to_owned() };
        let Some(context) = &self.context else {
            return Err(interpreter("there is none"));
        };
        let host = &self.host;
        host.clock.begin(host.limits.load_ns);
        host.state.borrow_mut().begin_loading();
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            context.with(|ctx| {
                load(&ctx, host, source).map_err(|failure| match failure {
                    Failure::Interpreter(error) => describe::catch(&source.file, &ctx, &error),
                    Failure::Thrown(thrown) => thrown,
                })
            })
        }));
        match loaded {
            Ok(Ok((handles, exports))) if !exports.is_empty() => {
                self.handles = Some(handles);
                self.exports = exports;
                Ok(())
            }
            Ok(Ok(_)) => Err(ScriptError::NoFunction { file: source.file.clone() }),
            Ok(Err(thrown)) => {
                self.suspicious = matches!(thrown.kind, Kind::Memory | Kind::Stack);
                Err(load_error(host, source, thrown))
            }
            Err(_) => {
                self.suspicious = true;
                Err(interpreter("it gave up"))
            }
        }
    }

    /// Lets a call go on: its own part first, then all jobs that are due.
    pub(crate) fn enter(&mut self, id: u64, work: Work, budget_ns: u64) -> Entered {
        let host = Rc::clone(&self.host);
        let (Some(runtime), Some(context), Some(handles)) = (&self.runtime, &self.context, &self.handles) else {
            return Entered { used_ns: 0, broken: Some("its interpreter is gone".to_owned()) };
        };
        host.clock.begin(budget_ns);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let caught = |ctx: &Ctx<'_>, error| describe::catch(&host.file, ctx, &error);
            let mut thrown: Vec<Thrown> = Vec::new();
            thrown.extend(
                context.with(|ctx| handles.work(&ctx, &host, id, work).map_err(|error| caught(&ctx, error)).err()),
            );
            drain(&host, || {
                // Not by the context's own method: that hides what a job threw, such as that there is no memory.
                runtime.execute_pending_job().unwrap_or_else(|job| {
                    thrown.push(job.0.with(|ctx| caught(&ctx, rquickjs::Error::Exception)));
                    true
                })
            });
            context.with(|ctx| {
                // What the interpreter could not do on the way of a promise, and did not tell.
                if ctx.has_exception() {
                    thrown.push(caught(&ctx, rquickjs::Error::Exception));
                }
                tell_of_rejections(&ctx, &host, id);
            });
            thrown
        }));
        // What asked nobody whether it has to stop may have taken too long all the same.
        let used_ns = host.clock.end();
        let broken = match outcome {
            Err(_) => Some("the interpreter gave up".to_owned()),
            Ok(thrown) => self.judge(id, thrown),
        };
        self.suspicious |= broken.is_some();
        Entered { used_ns, broken }
    }

    /// What errors mean for the call and for the machine: why it is not to be used any more.
    fn judge(&mut self, id: u64, thrown: Vec<Thrown>) -> Option<String> {
        let host = &self.host;
        for thrown in thrown {
            let error = describe::error_of(host, id, thrown);
            host.state.borrow_mut().settle(id, Err(error));
        }
        let interrupted = host.clock.interrupted();
        let mut state = host.state.borrow_mut();
        if interrupted {
            let function = state.live(id).map(|live| live.function.clone()).unwrap_or_default();
            state.overrule(id, CallError::Time { function, limit_ms: host.limits.call_ns / 1_000_000 });
        }
        let memory_ran_out = std::mem::take(&mut state.memory_ran_out);
        let stack_ran_out = std::mem::take(&mut state.stack_ran_out);
        drop(state);
        self.suspicious |= memory_ran_out || stack_ran_out;
        if memory_ran_out {
            return Some("its heap was full".to_owned());
        }
        if interrupted && self.runtime.as_ref().is_some_and(rquickjs::Runtime::is_job_pending) {
            return Some("a call that took too long left work behind".to_owned());
        }
        if (interrupted || stack_ran_out) && !self.is_sound() {
            return Some("it was not sound after a call that had to be ended".to_owned());
        }
        None
    }

    /// Proves that the interpreter can still do what scripts do: calls, lists, text, JSON, exceptions, promises.
    fn is_sound(&self) -> bool {
        const PROBE: &str = "(() => { const list = []; for (let i = 0; i < 64; i++) list.push({ i, text: `${i}` }); \
            let caught = 0; try { null.x } catch { caught = 1 } Promise.resolve(1).then(() => 1); \
            return JSON.parse(JSON.stringify(list)).reduce((sum, one) => sum + one.i, caught) })()";
        const PROBED: i32 = 64 * 63 / 2 + 1;
        let Some(context) = &self.context else {
            return false;
        };
        let host = &self.host;
        host.clock.begin(host.limits.load_ns);
        let proved = catch_unwind(AssertUnwindSafe(|| {
            context.with(|ctx| {
                let sum: rquickjs::Result<i32> = ctx.eval(PROBE);
                if sum.is_err() {
                    ctx.catch();
                }
                drain(host, || ctx.execute_pending_job());
                matches!(sum, Ok(PROBED)) && !ctx.has_exception()
            })
        }));
        proved.unwrap_or(false) && !host.clock.interrupted()
    }

    /// Asks of a call that is over are not waited for any more.
    pub(crate) fn forget(&self, asks: &[u64]) {
        let (Some(context), Some(handles)) = (&self.context, &self.handles) else {
            return;
        };
        self.host.clock.begin(self.host.limits.load_ns);
        context.with(|ctx| {
            for &ask in asks {
                let forgotten =
                    handles.forget.clone().restore(&ctx).and_then(|forget| forget.call::<_, ()>((ask as f64,)));
                if forgotten.is_err() {
                    ctx.catch();
                }
            }
        });
    }
}

impl Drop for Machine {
    /// The interpreter ends the process when it is freed while something in it is still referred to, which errors in
    /// it can bring about. So it is looked at first: if more is there than in one that was never used, it is left
    /// where it is.
    fn drop(&mut self) {
        self.handles = None;
        self.host.rejected.borrow_mut().clear();
        self.context = None;
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let is_clean = if runtime.is_job_pending() {
            // Jobs hold the context, so nothing can be seen. They are freed with the runtime in the ordinary way.
            !self.suspicious
        } else {
            runtime.run_gc();
            blocks(&runtime) <= blocks_when_empty()
        };
        if !is_clean {
            std::mem::forget(runtime);
            self.host.left_behind.set(self.host.left_behind.get().saturating_add(1));
        }
    }
}

/// Blocks of memory that a runtime has.
fn blocks(runtime: &rquickjs::Runtime) -> i64 {
    runtime.memory_usage().malloc_count
}

/// Blocks of a runtime whose context is gone and that never ran a script.
fn blocks_when_empty() -> i64 {
    static BLOCKS: OnceLock<i64> = OnceLock::new();
    *BLOCKS.get_or_init(|| {
        let made =
            rquickjs::Runtime::new().and_then(|runtime| Context::full(&runtime).map(|context| (runtime, context)));
        let Ok((runtime, context)) = made else {
            return 0;
        };
        drop(context);
        runtime.run_gc();
        blocks(&runtime)
    })
}

impl Handles {
    fn work(&self, ctx: &Ctx<'_>, host: &Host, id: u64, work: Work) -> rquickjs::Result<()> {
        match work {
            Work::Call(function) => {
                let Some(function) = self.exported.get(function) else {
                    return Ok(());
                };
                let function = function.clone().restore(ctx)?;
                let invoke = self.invoke.clone().restore(ctx)?;
                let returned: ScriptValue<'_> = invoke.call((id as f64, function))?;
                if !(returned.is_symbol() && returned == self.pending.clone().restore(ctx)?) {
                    let outcome = describe::returned(host, &returned)?;
                    host.state.borrow_mut().settle(id, outcome);
                }
                Ok(())
            }
            Work::Answer(ask, answer) => {
                let give = self.answer.clone().restore(ctx)?;
                match answer {
                    Answer::Response(response) => {
                        if let Some(live) = host.state.borrow_mut().live(id) {
                            live.keep(ask, response, &host.limits);
                        }
                        give.call::<_, ()>((ask as f64, ScriptValue::new_undefined(ctx.clone()), true))
                    }
                    Answer::Failed(why) => give.call::<_, ()>((ask as f64, why)),
                    Answer::Elapsed => give.call::<_, ()>((ask as f64,)),
                }
            }
        }
    }
}

/// Runs all jobs that are due, one by one: `next` says whether there was one.
fn drain(host: &Host, mut next: impl FnMut() -> bool) {
    let mut since_look = 0_u32;
    while !host.clock.interrupted() && next() {
        since_look += 1;
        if since_look >= JOBS_PER_LOOK {
            since_look = 0;
            host.clock.must_end();
        }
    }
}

/// A promise that was rejected and that nothing awaits hides an error: the call says so in a line of its own.
fn tell_of_rejections(ctx: &Ctx<'_>, host: &Host, id: u64) {
    let rejected = std::mem::take(&mut *host.rejected.borrow_mut());
    for (_, reason) in rejected {
        let Ok(reason) = reason.restore(ctx) else {
            continue;
        };
        let thrown = describe::look(&host.file, &reason);
        let place = thrown.place.map(|place| format!(" ({place})")).unwrap_or_default();
        let text = format!("a promise was rejected and nothing awaits it: {}{place}", thrown.message);
        if let Some(live) = host.state.borrow_mut().live(id) {
            live.log(Level::Warn, &text, &host.limits);
        }
    }
}

/// Why a script could not be loaded.
enum Failure {
    Interpreter(rquickjs::Error),
    Thrown(Thrown),
}

impl From<rquickjs::Error> for Failure {
    fn from(error: rquickjs::Error) -> Self {
        Self::Interpreter(error)
    }
}

fn load<'js>(ctx: &Ctx<'js>, host: &Rc<Host>, source: &Source) -> Result<(Handles, Vec<String>), Failure> {
    let options = named(PRELUDE_NAME, true);
    let prelude: Function<'js> = ctx.eval_with_options(PRELUDE, options)?;
    let own: Object<'js> = prelude.call((functions::object(ctx, host)?,))?;
    let keep = |name: &str| -> rquickjs::Result<Persistent<Function<'static>>> {
        Ok(Persistent::save(ctx, own.get::<_, Function<'js>>(name)?))
    };
    let mut handles = Handles {
        pending: Persistent::save(ctx, own.get::<_, ScriptValue<'js>>("PENDING")?),
        invoke: keep("invoke")?,
        answer: keep("answer")?,
        forget: keep("forget")?,
        exported: Vec::new(),
    };
    let namespace = match source.form {
        Form::Module => {
            let (module, promise) = Module::declare(ctx.clone(), source.file.as_str(), source.text.as_str())?.eval()?;
            drain(host, || ctx.execute_pending_job());
            match promise.result::<()>() {
                Some(evaluated) => evaluated?,
                None => return Err(Failure::Thrown(waits())),
            }
            module.namespace()?.into_value()
        }
        Form::Common => {
            ctx.eval_with_options::<(), _>(source.text.as_str(), named(&source.file, false))?;
            ScriptValue::new_undefined(ctx.clone())
        }
    };
    drain(host, || ctx.execute_pending_job());
    tell_of_rejections(ctx, host, LOADING);
    let exported: Function<'js> = own.get("exported")?;
    let found: Array<'js> = exported.call((namespace,))?;
    let mut names = Vec::new();
    let mut index = 0_usize;
    loop {
        let name: ScriptValue<'js> = found.get(index)?;
        if !name.is_string() {
            break;
        }
        names.push(json::text_of(&name)?);
        handles.exported.push(Persistent::save(ctx, found.get::<Function<'js>>(index + 1)?));
        index += 2;
    }
    Ok((handles, names))
}

fn named(file: &str, strict: bool) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = strict;
    options.filename = Some(file.to_owned());
    options
}

/// What a module whose top level does not end threw, so to speak.
fn waits() -> Thrown {
    Thrown { kind: Kind::Waits, message: String::new(), place: None }
}

fn load_error(host: &Host, source: &Source, thrown: Thrown) -> ScriptError {
    let file = source.file.clone();
    let Limits { load_ns, heap_bytes, stack_bytes, .. } = host.limits;
    if host.clock.interrupted() {
        return ScriptError::Limit { file, what: format!("{} ms (limit load_ns)", load_ns / 1_000_000) };
    }
    match thrown.kind {
        Kind::Memory => ScriptError::Limit { file, what: format!("{heap_bytes} bytes (limit heap_bytes)") },
        Kind::Stack => ScriptError::Limit { file, what: format!("{stack_bytes} bytes of stack (limit stack_bytes)") },
        Kind::Import(name) => ScriptError::Import { file, name },
        Kind::Waits => ScriptError::Waits { file },
        Kind::Interrupted | Kind::Failure | Kind::Other => {
            let message = match thrown.message.strip_prefix("SyntaxError: ") {
                Some(message) => format!("{SYNTAX_ERROR}{message}"),
                None => thrown.message,
            };
            match thrown.place {
                Some(place) => ScriptError::Code { place, message },
                None => ScriptError::Source { file, why: message },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(host: &Rc<Host>) -> Machine {
        let source = Source { file: "x.js".into(), text: "exports.f = () => [{}];".into(), form: Form::Common };
        Machine::new(&source, Rc::clone(host)).unwrap()
    }

    #[test]
    fn a_machine_that_is_used_up_is_freed() {
        let host = Rc::new(Host::new("x.js", Limits::default()));
        drop(machine(&host));
        assert_eq!(host.left_behind.get(), 0);
    }

    #[test]
    fn a_machine_in_which_something_leaked_is_left_behind_and_does_not_end_the_process() {
        let host = Rc::new(Host::new("x.js", Limits::default()));
        let machine = machine(&host);
        let leaked = machine.handles.as_ref().unwrap().invoke.clone();
        drop(machine);
        assert_eq!(host.left_behind.get(), 1);
        // Its runtime is still there, so this is no use after the end; but nobody is left to free the value.
        std::mem::forget(leaked);
    }
}
