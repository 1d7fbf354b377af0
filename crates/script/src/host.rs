//! What the functions that scripts call share: the calls under way, whose turn it is, and what they asked for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use rquickjs::{Ctx, Persistent, Value as ScriptValue};
use serde_json::{Map, Value};

use crate::call::{Call, CallId, Finished, Level, Line, Meter};
use crate::clock::Clock;
use crate::error::CallError;
use crate::exchange::{Ask, AskId, RequestView, ResponseView, Wanted};
use crate::limits::Limits;
use crate::random::Draws;

mod arguments;
pub(crate) mod functions;
mod headers;
mod requests;
mod variables;

/// The number of the call that stands for the top level of a script.
pub(crate) const LOADING: u64 = 0;

/// The number of no call.
const NOBODY: u64 = u64::MAX;

/// What a script hears that uses a context too late.
const OVER: &str = "this context belongs to a call that is over";

/// One per runtime, shared by the functions in it.
pub(crate) struct Host {
    /// Name of the script.
    pub(crate) file: String,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) state: RefCell<State>,
    /// Promises that were rejected before anything waited for them, with the reason.
    pub(crate) rejected: RefCell<Vec<(Kept, Kept)>>,
    /// Interpreters that could not be freed.
    pub(crate) left_behind: Cell<u32>,
}

/// A value of the interpreter, to be let go before that is.
type Kept = Persistent<ScriptValue<'static>>;

/// How many rejected promises of one turn are told of.
const REJECTED_MAX: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct State {
    calls: HashMap<u64, Live>,
    /// Who asked, by ask.
    asked: HashMap<u64, u64>,
    last_call: u64,
    last_ask: u64,
    /// Whose turn it is: what `fetch`, `console` and `Math.random` of the script belong to.
    pub(crate) current: u64,
    /// Calls other than the current one in which something happened.
    moved: Vec<u64>,
    /// Whether a call ended for want of it.
    pub(crate) memory_ran_out: bool,
    pub(crate) stack_ran_out: bool,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) function: String,
    pub(crate) variables: Map<String, Value>,
    pub(crate) request: Option<RequestView>,
    pub(crate) response: Option<ResponseView>,
    pub(crate) iteration: u64,
    pub(crate) user: u64,
    pub(crate) now_unix_ms: u64,
    pub(crate) draws: Draws,
    pub(crate) meters: Vec<Meter>,
    pub(crate) lines: Vec<Line>,
    pub(crate) lines_dropped: u64,
    /// Asked for and not yet handed out.
    new_asks: Vec<Ask>,
    /// Asked for and not yet answered.
    open: Vec<u64>,
    /// Asked for since the start.
    asks: usize,
    /// Responses to its requests, by ask.
    pub(crate) answers: BTreeMap<u64, ResponseView>,
    pub(crate) written_bytes: usize,
    pub(crate) processor_ns: u64,
    /// What it said when it called `fail`.
    pub(crate) failing: Option<String>,
    /// The first of its values that could not be kept when it ended.
    pub(crate) refused: Option<CallError>,
    outcome: Option<Result<Value, CallError>>,
    waker: Option<Waker>,
}

impl Live {
    fn new(function: String, call: Call) -> Self {
        Self {
            function,
            variables: call.variables,
            request: call.request,
            response: call.response,
            iteration: call.iteration,
            user: call.user,
            now_unix_ms: call.now_unix_ms,
            draws: Draws::new(call.seed),
            meters: Vec::new(),
            lines: Vec::new(),
            lines_dropped: 0,
            new_asks: Vec::new(),
            open: Vec::new(),
            asks: 0,
            answers: BTreeMap::new(),
            written_bytes: 0,
            processor_ns: 0,
            failing: None,
            refused: None,
            outcome: None,
            waker: None,
        }
    }

    /// Keeps a line, cut, or counts it as dropped.
    pub(crate) fn log(&mut self, level: Level, text: &str, limits: &Limits) {
        if self.lines.len() >= limits.lines {
            self.lines_dropped = self.lines_dropped.saturating_add(1);
            return;
        }
        self.lines.push(Line { level, text: cut(text, limits.line_bytes).to_owned() });
    }

    /// Keeps a response for when the script reads it, at the cost of the oldest if there are too many bytes of them.
    pub(crate) fn keep(&mut self, ask: u64, response: ResponseView, limits: &Limits) {
        self.answers.insert(ask, response);
        let mut bytes: usize = self.answers.values().map(|answer| answer.body.len()).sum();
        while bytes > limits.answer_bytes && self.answers.len() > 1 {
            bytes -= self.answers.pop_first().map_or(0, |(_, oldest)| oldest.body.len());
        }
    }

    fn finish(self, id: u64, result: Result<Value, CallError>) -> Finished {
        // What could not be kept is worse than a value that nobody may look at.
        let result = match (result, self.refused) {
            (Ok(_), Some(refused)) => Err(refused),
            (result, _) => result,
        };
        Finished {
            call: CallId(id),
            result,
            variables: self.variables,
            request: self.request,
            response: self.response,
            meters: self.meters,
            lines: self.lines,
            lines_dropped: self.lines_dropped,
            processor_ns: self.processor_ns,
        }
    }
}

impl Host {
    pub(crate) fn new(file: &str, limits: Limits) -> Self {
        Self {
            file: file.to_owned(),
            limits,
            clock: Clock::default(),
            state: RefCell::default(),
            rejected: RefCell::default(),
            left_behind: Cell::default(),
        }
    }

    /// A promise was rejected and nothing waits for it, or something does after all. No code of the script may run
    /// here: the interpreter is in the middle of something.
    pub(crate) fn note_rejection<'js>(
        &self,
        ctx: &Ctx<'js>,
        promise: ScriptValue<'js>,
        reason: ScriptValue<'js>,
        is_handled: bool,
    ) {
        let promise = Persistent::save(ctx, promise);
        let mut rejected = self.rejected.borrow_mut();
        if is_handled {
            rejected.retain(|(other, _)| *other != promise);
        } else if rejected.len() < REJECTED_MAX {
            rejected.push((promise, Persistent::save(ctx, reason)));
        }
    }
}

impl State {
    /// Takes up a call; it is its turn.
    pub(crate) fn begin(&mut self, function: String, call: Call) -> u64 {
        self.last_call = self.last_call.saturating_add(1);
        self.calls.insert(self.last_call, Live::new(function, call));
        self.current = self.last_call;
        self.last_call
    }

    /// The top level of a script counts as a call.
    pub(crate) fn begin_loading(&mut self) {
        self.calls.insert(LOADING, Live::new("the top level".to_owned(), Call::default()));
        self.current = LOADING;
    }

    /// What the top level logged.
    pub(crate) fn end_loading(&mut self) -> Vec<Line> {
        self.calls.remove(&LOADING).map(|live| live.lines).unwrap_or_default()
    }

    pub(crate) fn live(&mut self, id: u64) -> Option<&mut Live> {
        self.calls.get_mut(&id)
    }

    /// The call is over; the first word counts.
    pub(crate) fn settle(&mut self, id: u64, outcome: Result<Value, CallError>) {
        if let Some(live) = self.calls.get_mut(&id)
            && live.outcome.is_none()
        {
            live.outcome = Some(outcome);
            self.note_move(id);
        }
    }

    /// As [`settle`](Self::settle), but this is the last word.
    pub(crate) fn overrule(&mut self, id: u64, error: CallError) {
        if let Some(live) = self.calls.get_mut(&id) {
            live.outcome = Some(Err(error));
            self.note_move(id);
        }
    }

    /// A call wants something.
    ///
    /// # Errors
    /// Over a limit, in words; or the call is over.
    pub(crate) fn ask(&mut self, id: u64, wanted: Wanted, limits: &Limits) -> Result<u64, String> {
        let live = self.calls.get_mut(&id).ok_or(OVER)?;
        if id == LOADING {
            return Err("it is possible in functions only, not while the script is loaded".to_owned());
        }
        if live.open.len() >= limits.asks_at_once {
            return Err(format!(
                "more than {} answers are waited for at once (limit asks_at_once)",
                limits.asks_at_once
            ));
        }
        if live.asks >= limits.asks {
            return Err(format!("one call asked for more than {} answers (limit asks)", limits.asks));
        }
        live.asks += 1;
        self.last_ask = self.last_ask.saturating_add(1);
        live.open.push(self.last_ask);
        live.new_asks.push(Ask { id: AskId(self.last_ask), wanted });
        self.asked.insert(self.last_ask, id);
        self.note_move(id);
        Ok(self.last_ask)
    }

    /// An ask is answered, or of no interest any more: whose was it?
    pub(crate) fn answered(&mut self, ask: u64) -> Option<u64> {
        let id = self.asked.remove(&ask)?;
        if let Some(live) = self.calls.get_mut(&id) {
            live.open.retain(|&open| open != ask);
            live.new_asks.retain(|new| new.id.0 != ask);
        }
        Some(id)
    }

    /// How a call stands: over, or what it newly asked for. `None`: there is no such call.
    pub(crate) fn look(&mut self, id: u64) -> Option<Stand> {
        let live = self.calls.get_mut(&id)?;
        match live.outcome.take() {
            None => Some(Stand::Waiting(std::mem::take(&mut live.new_asks))),
            Some(outcome) => {
                let mut live = self.calls.remove(&id)?;
                let open = std::mem::take(&mut live.open);
                self.forget(&open);
                Some(Stand::Over(Box::new(live.finish(id, outcome)), open))
            }
        }
    }

    /// Ends a call that nobody waits for any more; returns the asks that were open.
    pub(crate) fn abandon(&mut self, id: u64) -> Vec<u64> {
        let open = self.calls.remove(&id).map(|live| live.open).unwrap_or_default();
        self.forget(&open);
        open
    }

    fn forget(&mut self, asks: &[u64]) {
        for ask in asks {
            self.asked.remove(ask);
        }
    }

    /// Nothing is under way that could settle a promise: whoever still waits does so for ever.
    pub(crate) fn fail_those_who_wait_in_vain(&mut self) {
        if self.asked.is_empty() {
            self.fail_all(|function| CallError::NeverSettles { function });
        }
    }

    /// All calls that are not over are over now.
    pub(crate) fn fail_all(&mut self, error: impl Fn(String) -> CallError) {
        let waiting: Vec<u64> =
            self.calls.iter().filter(|(_, live)| live.outcome.is_none()).map(|(&id, _)| id).collect();
        for id in waiting {
            let function = self.calls.get(&id).map(|live| live.function.clone()).unwrap_or_default();
            self.settle(id, Err(error(function)));
        }
    }

    /// Open asks of all calls, forgotten: their runtime is gone.
    pub(crate) fn forget_all_asks(&mut self) {
        self.asked.clear();
        for live in self.calls.values_mut() {
            live.open.clear();
            live.new_asks.clear();
        }
    }

    fn note_move(&mut self, id: u64) {
        if id != self.current && self.moved.last() != Some(&id) {
            self.moved.push(id);
        }
    }

    /// Nobody's turn any more. Gives whom to wake: who waits for a call in which something happened while it was
    /// another's turn.
    pub(crate) fn end_turn(&mut self) -> Vec<Waker> {
        self.current = NOBODY;
        let moved = std::mem::take(&mut self.moved);
        moved.iter().filter_map(|id| self.calls.get_mut(id).and_then(|live| live.waker.take())).collect()
    }

    /// Whether there is news of a call; if not, whom to wake when there is. `None`: there is no such call.
    pub(crate) fn watch(&mut self, id: u64, waker: &Waker) -> Option<bool> {
        let live = self.calls.get_mut(&id)?;
        let news = live.outcome.is_some() || !live.new_asks.is_empty();
        live.waker = if news { None } else { Some(waker.clone()) };
        Some(news)
    }
}

/// How a call stands.
pub(crate) enum Stand {
    Waiting(Vec<Ask>),
    /// With the asks that it left open.
    Over(Box<Finished>, Vec<u64>),
}

/// No longer than `bytes`, and still UTF-8.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
