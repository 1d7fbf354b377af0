//! A call from beginning to end for whoever has futures: what it asks for is answered by a function.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::call::{Call, CallId, CallState, Finished};
use crate::compiled::FunctionId;
use crate::exchange::{Answer, Wanted};
use crate::runtime::Runtime;

/// Calls a function and answers what it asks for, all at once, until it is over. The runtime is borrowed only while
/// the script runs, so other calls of the thread go on meanwhile. If the future is dropped, the call is abandoned.
///
/// # Panics
/// If `answer` is called while the runtime is borrowed elsewhere; it is not by this function.
pub async fn run<F>(
    runtime: &RefCell<Runtime>,
    function: FunctionId,
    call: Call,
    answer: impl Fn(Wanted) -> F,
) -> Box<Finished>
where
    F: Future<Output = Answer>,
{
    let mut open = FuturesUnordered::new();
    let mut state = runtime.borrow_mut().call(function, call);
    let mut under_way = UnderWay { runtime, call: None };
    loop {
        match state {
            CallState::Done(finished) => {
                under_way.call = None;
                return finished;
            }
            CallState::Waiting(waiting) => {
                under_way.call = Some(waiting.call);
                for ask in waiting.asks {
                    let answer = answer(ask.wanted);
                    open.push(async move { (ask.id, answer.await) });
                }
                state = next(runtime, waiting.call, &mut open).await;
            }
        }
    }
}

/// The next thing that happens to a call.
async fn next<F>(runtime: &RefCell<Runtime>, call: CallId, open: &mut FuturesUnordered<F>) -> CallState
where
    F: Future<Output = (crate::exchange::AskId, Answer)>,
{
    poll_fn(|context| {
        loop {
            if let Poll::Ready(state) = runtime.borrow_mut().poll(call, context) {
                return Poll::Ready(state);
            }
            match open.poll_next_unpin(context) {
                Poll::Ready(Some((ask, answer))) => {
                    // `None`: the script took its interest back, or the call ended; then there is news of it.
                    if let Some(state) = runtime.borrow_mut().resume(ask, answer) {
                        return Poll::Ready(state);
                    }
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Abandons a call that is dropped on its way.
struct UnderWay<'a> {
    runtime: &'a RefCell<Runtime>,
    call: Option<CallId>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let (Some(call), Ok(mut runtime)) = (self.call, self.runtime.try_borrow_mut()) {
            runtime.abandon(call);
        }
    }
}
