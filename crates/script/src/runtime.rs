//! The scripts of one thread: calls begin, wait, go on and end here, and what breaks is made anew.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::call::{Call, CallId, CallState, Finished, Line, Waiting};
use crate::compiled::{Compiled, FunctionId};
use crate::error::{CallError, ScriptError};
use crate::exchange::{Answer, AskId};
use crate::host::{Host, Stand};
use crate::machine::{Machine, Work};
use crate::watchdog::{Watchdog, Watched};

/// How many broken interpreters may be left where they are, since freeing them would end the process. A runtime that
/// broke that often says that it cannot be used any more.
pub const LEFT_BEHIND_MAX: u32 = 16;

/// One interpreter with one script in it, for the users of one thread. What the script keeps outside of its functions
/// is shared by them, as it is by the users of a worker process elsewhere.
///
/// It is to be made on the thread that calls it, not much deeper in the stack: the limit of the stack counts from
/// there.
pub struct Runtime {
    compiled: Compiled,
    host: Rc<Host>,
    machine: Option<Machine>,
    watched: Option<Arc<Watched>>,
    lines: Vec<Line>,
    remade: u64,
    unusable: Option<String>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Runtime").field("file", &self.host.file).field("remade", &self.remade).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Loads a script for the calling thread.
    ///
    /// # Errors
    /// Its top level does not do here what it did when it was checked.
    pub fn new(compiled: &Compiled, watchdog: Option<&Watchdog>) -> Result<Self, ScriptError> {
        let host = Rc::new(Host::new(&compiled.source.file, compiled.limits()));
        let watched = watchdog.map(|watchdog| watchdog.watch(compiled.exports().names().map(str::to_owned).collect()));
        let mut runtime = Self {
            compiled: compiled.clone(),
            host,
            machine: None,
            watched,
            lines: Vec::new(),
            remade: 0,
            unusable: None,
        };
        runtime.make()?;
        Ok(runtime)
    }

    fn make(&mut self) -> Result<(), ScriptError> {
        let made = Machine::new(&self.compiled.source, Rc::clone(&self.host));
        self.lines = self.host.state.borrow_mut().end_loading();
        let machine = made?;
        if !machine.exports.iter().map(String::as_str).eq(self.compiled.exports().names()) {
            let why = "exports other functions than when it was checked".to_owned();
            return Err(ScriptError::Source { file: self.host.file.clone(), why });
        }
        self.machine = Some(machine);
        Ok(())
    }

    /// What the top level of the script logged when it was loaded last.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How often the interpreter had to be made anew, since a call broke it. What the script kept outside of its
    /// functions is lost each time.
    #[must_use]
    pub fn remade(&self) -> u64 {
        self.remade
    }

    /// How many broken interpreters had to be left where they are; see [`LEFT_BEHIND_MAX`].
    #[must_use]
    pub fn left_behind(&self) -> u32 {
        self.host.left_behind.get()
    }

    /// Calls a function. It runs until it ends or waits.
    pub fn call(&mut self, function: FunctionId, call: Call) -> CallState {
        let name = self.compiled.exports().name(function).unwrap_or("a function of another script").to_owned();
        let id = self.host.state.borrow_mut().begin(name, call);
        self.enter(id, function.0, Work::Call(function.0));
        self.state_of(id).unwrap_or_else(|| self.nothing(id))
    }

    /// Gives an answer to the call that asked, which goes on until it ends or waits again. `None`: nobody waits for
    /// the answer any more.
    pub fn resume(&mut self, ask: AskId, answer: Answer) -> Option<CallState> {
        let id = self.host.state.borrow_mut().answered(ask.0)?;
        let function = {
            let mut state = self.host.state.borrow_mut();
            state.current = id;
            let live = state.live(id)?;
            live.function.clone()
        };
        let place = self.compiled.exports().get(&function).map_or(usize::MAX, |function| function.0);
        self.enter(id, place, Work::Answer(ask.0, answer));
        self.state_of(id)
    }

    /// Looks whether something happened in a call while another one went on: they may wait for the same promise.
    /// If not, the waker is woken when it does. A call that is over or unknown stays pending.
    pub fn poll(&mut self, call: CallId, context: &mut Context<'_>) -> Poll<CallState> {
        let news = self.host.state.borrow_mut().watch(call.0, context.waker());
        match news {
            Some(true) => self.state_of(call.0).map_or(Poll::Pending, Poll::Ready),
            Some(false) | None => Poll::Pending,
        }
    }

    /// Ends a call that nobody waits for any more. What it asked for need not be answered.
    pub fn abandon(&mut self, call: CallId) {
        let open = self.host.state.borrow_mut().abandon(call.0);
        self.forget(&open);
    }

    fn forget(&mut self, asks: &[u64]) {
        if let (false, Some(machine)) = (asks.is_empty(), &self.machine) {
            machine.forget(asks);
        }
        if !asks.is_empty() {
            // They may have been the last hope of others.
            self.end_turn();
        }
    }

    fn end_turn(&self) {
        let mut state = self.host.state.borrow_mut();
        state.fail_those_who_wait_in_vain();
        let wakers = state.end_turn();
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    fn enter(&mut self, id: u64, function: usize, work: Work) {
        let host = Rc::clone(&self.host);
        if let Some(machine) = &mut self.machine {
            let used_ns = host.state.borrow_mut().live(id).map_or(0, |live| live.processor_ns);
            if let Some(watched) = &self.watched {
                watched.begin(function);
            }
            let entered = machine.enter(id, work, host.limits.call_ns.saturating_sub(used_ns));
            if let Some(live) = host.state.borrow_mut().live(id) {
                live.processor_ns = live.processor_ns.saturating_add(entered.used_ns);
            }
            if let Some(why) = entered.broken {
                self.remake(id, &why);
            }
            if let Some(watched) = &self.watched {
                watched.end();
            }
        } else {
            let why = self.unusable.clone().unwrap_or_default();
            host.state.borrow_mut().settle(id, Err(CallError::Unusable { why }));
        }
        self.end_turn();
    }

    /// Puts another interpreter in the place of a broken one. Calls that waited in it are over.
    fn remake(&mut self, id: u64, why: &str) {
        self.remade = self.remade.saturating_add(1);
        {
            let mut state = self.host.state.borrow_mut();
            // The one that broke it knows better why; unless it is over, it is told as the others are.
            state.current = id;
            state.fail_all(|function| CallError::Lost { function, why: why.to_owned() });
            state.forget_all_asks();
        }
        self.machine = None;
        if self.host.left_behind.get() >= LEFT_BEHIND_MAX {
            self.unusable = Some(format!("the interpreter broke {} times ({why})", self.remade));
            return;
        }
        if let Err(error) = self.make() {
            self.unusable = Some(format!("the interpreter broke ({why}) and could not be made anew: {error}"));
        }
    }

    fn state_of(&mut self, id: u64) -> Option<CallState> {
        let stand = self.host.state.borrow_mut().look(id)?;
        Some(match stand {
            Stand::Waiting(asks) => CallState::Waiting(Waiting { call: CallId(id), asks }),
            Stand::Over(finished, open) => {
                self.forget(&open);
                CallState::Done(finished)
            }
        })
    }

    /// A call that is not there, which cannot be; but if it were, this would be how it ended.
    fn nothing(&self, id: u64) -> CallState {
        CallState::Done(Box::new(Finished {
            call: CallId(id),
            result: Err(CallError::Unusable { why: "the call was lost".to_owned() }),
            variables: serde_json::Map::new(),
            request: None,
            response: None,
            meters: Vec::new(),
            lines: Vec::new(),
            lines_dropped: 0,
            processor_ns: 0,
        }))
    }
}
