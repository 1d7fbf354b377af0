//! Calls that wait: for requests, for time, for each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use nuncius_script::{
    Answer, Ask, Call, CallError, CallState, Finished, Level, Limits, RequestView, ResponseView, Runtime, Waiting,
    Wanted, drive,
};
use serde_json::{Value, json};

use crate::support::{done, function, limits, load, load_with, with_variables};

fn response(status: u16, body: &str) -> Answer {
    Answer::Response(ResponseView {
        status,
        headers: vec![("Content-Type".into(), "text/plain".into())],
        body: Bytes::from(body.to_owned()),
        url: "http://shop/answered".into(),
    })
}

fn waiting(state: CallState) -> Waiting {
    match state {
        CallState::Waiting(waiting) => waiting,
        CallState::Done(finished) => panic!("it is over: {finished:?}"),
    }
}

fn fetched(ask: &Ask) -> &RequestView {
    match &ask.wanted {
        Wanted::Fetch(request) => request,
        Wanted::Timer { .. } => panic!("a timer"),
    }
}

/// A script with an async function `f` of this body, called.
fn start(text: &str) -> (Runtime, CallState) {
    start_with(text, json!({}), limits())
}

fn start_with(text: &str, variables: Value, limits: Limits) -> (Runtime, CallState) {
    let source = format!("exports.f = async (context) => {{ {text} }};");
    let mut runtime = load_with(&source, limits);
    let state = runtime.call(function(&source, "f"), with_variables(variables));
    (runtime, state)
}

#[test]
fn a_function_that_only_looks_asynchronous_is_over_at_once() {
    let (_, state) = start("await null; await Promise.all([1, Promise.resolve(2)]); return context.vars.x ?? 'none';");
    assert_eq!(done(state).result.unwrap(), json!("none"));
}

#[test]
fn a_request_is_asked_for_and_its_answer_goes_on() {
    let (mut runtime, state) = start(
        "const r = await fetch('/token', { method: 'post', headers: { A: 'b', C: ['d', 'e'] }, body: 'x', step: 'login' }); \
         context.vars.token = await r.text(); return [r.status, r.ok, r.url, r.headers.get('content-type')];",
    );
    let Waiting { asks, .. } = waiting(state);
    let expected = RequestView {
        method: "POST".into(),
        url: "/token".into(),
        headers: vec![("A".into(), "b".into()), ("C".into(), "d".into()), ("C".into(), "e".into())],
        body: Some(Bytes::from_static(b"x")),
        step: Some("login".into()),
    };
    assert_eq!(fetched(&asks[0]), &expected);
    let finished = done(runtime.resume(asks[0].id, response(404, "abc")).unwrap());
    assert_eq!(finished.result.unwrap(), json!([404, false, "http://shop/answered", "text/plain"]));
    assert_eq!(finished.variables["token"], "abc");
    assert!(runtime.resume(asks[0].id, response(200, "")).is_none(), "an answer counts once");
}

#[test]
fn several_requests_are_under_way_at_once() {
    let (mut runtime, state) = start(
        "const all = await Promise.all(['/a', '/b', '/c'].map((url) => fetch(url).then((r) => r.json()))); return all;",
    );
    let Waiting { call, asks } = waiting(state);
    assert_eq!(asks.iter().map(|ask| fetched(ask).url.as_str()).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    for (ask, body) in [(&asks[2], "3"), (&asks[0], "1")] {
        let still = waiting(runtime.resume(ask.id, response(200, body)).unwrap());
        assert_eq!((still.call, still.asks.len()), (call, 0));
    }
    let finished = done(runtime.resume(asks[1].id, response(200, "[2]")).unwrap());
    assert_eq!(finished.result.unwrap(), json!([1, [2], 3]));
}

#[test]
fn one_request_after_another() {
    let (mut runtime, state) =
        start("let sum = 0; for (let i = 0; i < 3; i++) sum += await (await fetch(`/${i}`)).json(); return sum;");
    let mut state = state;
    for step in 0..3 {
        let Waiting { asks, .. } = waiting(state);
        assert_eq!(fetched(&asks[0]).url, format!("/{step}"));
        state = runtime.resume(asks[0].id, response(200, "10")).unwrap();
    }
    assert_eq!(done(state).result.unwrap(), json!(30));
}

#[test]
fn a_request_without_an_answer_can_be_caught() {
    let (mut runtime, state) = start("try { await fetch('/x'); } catch (e) { return `${e.name}: ${e.message}`; }");
    let Waiting { asks, .. } = waiting(state);
    let finished = done(runtime.resume(asks[0].id, Answer::Failed("not on the allow-list".into())).unwrap());
    assert_eq!(finished.result.unwrap(), json!("TypeError: fetch failed: not on the allow-list"));

    let (mut runtime, state) = start("await fetch('/x');");
    let Waiting { asks, .. } = waiting(state);
    let error = done(runtime.resume(asks[0].id, Answer::Failed("refused".into())).unwrap()).result.unwrap_err();
    assert_eq!(error.to_string(), "TypeError: fetch failed: refused");
}

#[test]
fn what_fetch_does_not_know_is_refused() {
    for (text, why) in [
        ("await fetch('/x', { redirect: 'manual' });", "fetch has method, headers, body, step, but no `redirect`"),
        ("await fetch('/x', { body: { a: 1 } });", "a body is a text"),
        ("await fetch('/x\\n');", "control character"),
        ("await fetch('/x', { headers: { 'a\\n': 1 } });", "control character"),
        ("await fetch('/x', { method: 'a b' });", "a method is"),
    ] {
        let error = done(start(text).1).result.unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn timers_wait() {
    let (mut runtime, state) = start("await new Promise((resolve) => setTimeout(resolve, 1500)); return 'later';");
    let Waiting { asks, .. } = waiting(state);
    assert_eq!(asks[0].wanted, Wanted::Timer { after_ns: 1_500_000_000 });
    let finished = done(runtime.resume(asks[0].id, Answer::Elapsed).unwrap());
    assert_eq!(finished.result.unwrap(), json!("later"));
}

#[test]
fn a_timer_that_is_taken_back_is_not_asked_for() {
    let (_, state) = start(
        "const t = setTimeout(() => { throw new Error('no'); }, 10); clearTimeout(t); clearTimeout(99); return 1;",
    );
    assert_eq!(done(state).result.unwrap(), json!(1));
    // Of a race, the one that is late is of no interest any more.
    let (mut runtime, state) = start(
        "const late = new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 100)); \
         return await Promise.race([fetch('/x').then((r) => r.status), late]);",
    );
    let Waiting { asks, .. } = waiting(state);
    assert_eq!(asks.len(), 2);
    let timer = asks.iter().find(|ask| matches!(ask.wanted, Wanted::Timer { .. })).unwrap().id;
    let request = asks.iter().find(|ask| ask.id != timer).unwrap().id;
    assert_eq!(done(runtime.resume(request, response(200, "")).unwrap()).result.unwrap(), json!(200));
    assert!(runtime.resume(timer, Answer::Elapsed).is_none());
}

#[test]
fn what_a_timer_throws_is_an_error_of_its_call() {
    let (mut runtime, state) = start("await new Promise(() => setTimeout(() => { throw new Error('late'); }, 1));");
    let Waiting { asks, .. } = waiting(state);
    let error = done(runtime.resume(asks[0].id, Answer::Elapsed).unwrap()).result.unwrap_err();
    assert!(error.to_string().ends_with("late"), "{error}");
}

#[test]
fn a_promise_that_nothing_can_settle_is_an_error_at_once() {
    for text in ["await new Promise(() => {});", "return new Promise(() => {});", "return { then() {} };"] {
        let error = done(start(text).1).result.unwrap_err();
        assert_eq!(error, CallError::NeverSettles { function: "f".into() }, "{text}");
    }
    // After its last answer, too.
    let (mut runtime, state) = start("await fetch('/x'); await new Promise(() => {});");
    let Waiting { asks, .. } = waiting(state);
    let error = done(runtime.resume(asks[0].id, response(200, "")).unwrap()).result.unwrap_err();
    assert!(matches!(error, CallError::NeverSettles { .. }), "{error}");
}

#[test]
fn what_is_like_a_promise_is_one() {
    let (_, state) = start("return { then(resolve) { resolve(5); } };");
    assert_eq!(done(state).result.unwrap(), json!(5));
    let source = "exports.f = () => ({ then(resolve) { resolve(6); } });";
    assert_eq!(done(load(source).call(function(source, "f"), Call::default())).result.unwrap(), json!(6));
}

/// Logs in once for all who ask.
const LOGIN: &str = "let token; exports.f = async (context) => { \
    token ??= fetch('/login').then((r) => r.text()); \
    context.vars.token = await token; return context.vars.name; };";

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn calls_that_wait_for_the_same_promise_go_on_together() {
    let mut runtime = load(LOGIN);
    let f = function(LOGIN, "f");
    let first = waiting(runtime.call(f, with_variables(json!({"name": "a"}))));
    let second = waiting(runtime.call(f, with_variables(json!({"name": "b"}))));
    assert_eq!((first.asks.len(), second.asks.len()), (1, 0));
    let woken = Arc::new(Counted(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(runtime.poll(second.call, &mut context).is_pending());
    let finished = done(runtime.resume(first.asks[0].id, response(200, "t")).unwrap());
    assert_eq!((finished.result.unwrap(), &finished.variables["token"]), (json!("a"), &json!("t")));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(state) = runtime.poll(second.call, &mut context) else { panic!("it went on") };
    let finished = done(state);
    assert_eq!((finished.result.unwrap(), &finished.variables["token"]), (json!("b"), &json!("t")));
    assert!(runtime.poll(second.call, &mut context).is_pending(), "it is over");
}

#[test]
fn whoever_waits_for_a_call_that_is_abandoned_waits_in_vain() {
    let mut runtime = load(LOGIN);
    let f = function(LOGIN, "f");
    let first = waiting(runtime.call(f, Call::default()));
    let second = waiting(runtime.call(f, Call::default()));
    let woken = Arc::new(Counted(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(runtime.poll(second.call, &mut context).is_pending());
    runtime.abandon(first.call);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(runtime.resume(first.asks[0].id, response(200, "t")).is_none());
    let Poll::Ready(state) = runtime.poll(second.call, &mut context) else { panic!("it is over") };
    assert!(matches!(done(state).result.unwrap_err(), CallError::NeverSettles { .. }));
}

#[test]
fn variables_are_kept_while_a_call_waits() {
    let (mut runtime, state) = start_with(
        "const { cart } = context.vars; cart.push(1); await fetch('/x'); cart.push(2); context.vars.n = cart.length;",
        json!({"cart": []}),
        limits(),
    );
    let Waiting { asks, .. } = waiting(state);
    let finished = done(runtime.resume(asks[0].id, response(200, "")).unwrap());
    assert_eq!(Value::Object(finished.variables), json!({"cart": [1, 2], "n": 2}));
}

#[test]
fn time_in_which_a_call_waits_is_not_its_own() {
    let limits = Limits { call_ns: 100_000_000, ..limits() };
    let (mut runtime, state) = start_with("await fetch('/x'); return 1;", json!({}), limits);
    let Waiting { asks, .. } = waiting(state);
    // The thread does something else, for longer than a call may take.
    let began = std::time::Instant::now();
    let mut sum = 0_u64;
    while began.elapsed().as_millis() < 200 {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    let finished = done(runtime.resume(asks[0].id, response(200, "")).unwrap());
    assert_eq!(finished.result.unwrap(), json!(1));
    assert!(finished.processor_ns < 100_000_000);
}

#[test]
fn time_is_counted_over_all_parts_of_a_call() {
    let burn = "for (let i = 0; i < 300000; i++) sum += i;";
    let text =
        format!("let sum = 0; {burn} await fetch('/1'); {burn} await fetch('/2'); {burn} await fetch('/3'); {burn}");
    let to_the_end = |limits| {
        let (mut runtime, mut state) = start_with(&text, json!({}), limits);
        let mut parts = 1;
        loop {
            match state {
                CallState::Done(finished) => return (finished, parts),
                CallState::Waiting(waiting) => state = runtime.resume(waiting.asks[0].id, response(200, "")).unwrap(),
            }
            parts += 1;
        }
    };
    let (free, parts) = to_the_end(limits());
    assert_eq!((free.result.unwrap(), parts), (Value::Null, 4));
    // Enough for each part, but not for all of them.
    let (bounded, parts) = to_the_end(Limits { call_ns: free.processor_ns / 2, ..limits() });
    assert!(matches!(bounded.result.unwrap_err(), CallError::Time { .. }));
    assert!((2..4).contains(&parts), "{parts}");
}

#[test]
fn what_is_asked_for_is_bounded() {
    let text = "await Promise.all(Array.from({ length: 100 }, (_, i) => fetch(`/${i}`)));";
    let error = done(start(text).1).result.unwrap_err();
    assert!(error.to_string().contains("limit asks_at_once"), "{error}");
    let few = Limits { asks: 2, ..limits() };
    let (mut runtime, mut state) = start_with("while (true) await fetch('/x');", json!({}), few);
    let finished = loop {
        match state {
            CallState::Done(finished) => break finished,
            CallState::Waiting(waiting) => state = runtime.resume(waiting.asks[0].id, response(200, "")).unwrap(),
        }
    };
    assert!(finished.result.unwrap_err().to_string().contains("limit asks"));
}

#[test]
fn responses_that_are_kept_are_bounded() {
    let few = Limits { answer_bytes: 10, ..limits() };
    let text = "const [a, b] = await Promise.all([fetch('/a'), fetch('/b')]); \
        let old; try { old = await a.text(); } catch (e) { old = e.message; } return [old, await b.text()];";
    let (mut runtime, state) = start_with(text, json!({}), few);
    let Waiting { asks, .. } = waiting(state);
    waiting(runtime.resume(asks[0].id, response(200, "12345678")).unwrap());
    let finished = done(runtime.resume(asks[1].id, response(200, "abcdefgh")).unwrap());
    let result = finished.result.unwrap();
    assert!(result[0].as_str().unwrap().contains("limit answer_bytes"), "{result}");
    assert_eq!(result[1], "abcdefgh");
}

#[test]
fn a_call_that_is_over_waits_for_nothing_more() {
    let (mut runtime, state) =
        start("const r = fetch('/first'); fetch('/beacon'); await r; fetch('/never'); return 1;");
    let Waiting { asks, .. } = waiting(state);
    assert_eq!(asks.len(), 2);
    assert_eq!(done(runtime.resume(asks[0].id, response(200, "")).unwrap()).result.unwrap(), json!(1));
    assert!(runtime.resume(asks[1].id, response(200, "")).is_none());
}

#[test]
fn an_error_that_nobody_awaits_is_logged() {
    let (_, state) = start("(async () => { throw new Error('lost'); })(); return 1;");
    let finished = done(state);
    assert_eq!(finished.result.unwrap(), json!(1));
    assert_eq!(finished.lines.len(), 1);
    assert_eq!(finished.lines[0].level, Level::Warn);
    assert!(finished.lines[0].text.contains("nothing awaits it: lost (hooks.js:1:"), "{:?}", finished.lines);
    // One that is awaited later is none.
    let (_, state) = start("const p = (async () => { throw new Error('x'); })(); try { await p; } catch { return 1; }");
    assert_eq!(done(state).lines, []);
    // Nor is the error of the call itself.
    let (_, state) = start("throw new Error('x');");
    let finished = done(state);
    assert_eq!(finished.lines, []);
    finished.result.unwrap_err();
}

#[test]
fn an_asynchronous_error_has_its_place_and_keeps_what_was_changed() {
    let (_, state) = start_with("context.vars.list.push(1);\nawait null;\nnull.x;", json!({"list": []}), limits());
    let finished = done(state);
    let error = finished.result.unwrap_err();
    assert!(error.to_string().starts_with("hooks.js:3:"), "{error}");
    assert_eq!(finished.variables["list"], json!([1]));
    let (_, state) = start("await null; context.fail('late');");
    assert!(matches!(done(state).result.unwrap_err(), CallError::Failed { .. }));
    let (_, state) = start("await null; return 1n;");
    assert!(matches!(done(state).result.unwrap_err(), CallError::Value { .. }));
    let (_, state) = start("await null; return { get a() { throw new Error('in a getter'); } };");
    assert!(done(state).result.unwrap_err().to_string().contains("in a getter"));
}

#[tokio::test(flavor = "current_thread")]
async fn many_users_share_a_runtime() {
    let source = "exports.f = async (context) => { let sum = 0; \
        for (let i = 0; i < 3; i++) sum += await (await context.fetch(`/${context.user}`)).json(); return sum; };";
    let runtime = RefCell::new(load(source));
    let f = function(source, "f");
    let at_once = Cell::new(0_usize);
    let most = Cell::new(0_usize);
    let (at_once, most) = (&at_once, &most);
    let users = (0..50_u64).map(|user| {
        drive::run(&runtime, f, Call { user, ..Call::default() }, move |wanted| async move {
            at_once.set(at_once.get() + 1);
            most.set(most.get().max(at_once.get()));
            for _ in 0..user % 5 {
                tokio::task::yield_now().await;
            }
            at_once.set(at_once.get() - 1);
            let Wanted::Fetch(request) = wanted else { panic!("a timer") };
            response(200, request.url.trim_start_matches('/'))
        })
    });
    let finished: Vec<Box<Finished>> = futures_util::future::join_all(users).await;
    for (user, finished) in finished.into_iter().enumerate() {
        assert_eq!(finished.result.unwrap(), json!(user * 3));
    }
    assert!(most.get() > 10, "{}", most.get());
}

#[tokio::test(flavor = "current_thread")]
async fn users_who_wait_for_one_login_all_go_on() {
    let runtime = RefCell::new(load(LOGIN));
    let f = function(LOGIN, "f");
    let logins = Cell::new(0);
    let users = (0..20).map(|user| {
        drive::run(&runtime, f, with_variables(json!({"name": user})), |_| {
            logins.set(logins.get() + 1);
            async {
                tokio::task::yield_now().await;
                response(200, "t")
            }
        })
    });
    let finished = futures_util::future::join_all(users).await;
    assert!(finished.iter().all(|finished| finished.result.is_ok() && finished.variables["token"] == "t"));
    assert_eq!(logins.get(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_user_who_leaves_abandons_the_call() {
    let source = "exports.f = async () => { await fetch('/x'); };";
    let runtime = Rc::new(RefCell::new(load(source)));
    let f = function(source, "f");
    let mut call = Box::pin(drive::run(&runtime, f, Call::default(), |_| std::future::pending()));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    // The first call was number 1; nothing of it is left to wait for.
    let other = drive::run(&runtime, f, Call::default(), |_| async { response(200, "") }).await;
    other.result.unwrap();
}
