//! Calls that nothing can end are seen from outside.

use std::sync::mpsc;
use std::time::Duration;

use nuncius_script::{Call, Compiled, Limits, Runtime, Watchdog};

use crate::support::{FILE, done, limits};

/// Inside of a built-in function that does not ask whether it has to stop, for a good part of a second.
const STUCK: &str = "exports.quick = () => 1; \
    exports.stuck = () => 'a'.repeat(60000).indexOf('a'.repeat(30000) + 'b');";

#[test]
fn a_call_that_cannot_be_ended_is_reported_while_it_runs() {
    let (sender, reports) = mpsc::channel();
    let watchdog = Watchdog::start(Duration::from_millis(20), move |overrun| {
        let _ = sender.send(overrun.clone());
    })
    .unwrap();
    let limits = Limits { call_ns: 10_000_000, ..limits() };
    let compiled = Compiled::new(FILE, STUCK, limits).unwrap();
    let seen = watchdog.clone();
    let thread = std::thread::Builder::new()
        .name("engine-7".into())
        .spawn(move || {
            let mut runtime = Runtime::new(&compiled, Some(&seen)).unwrap();
            let id = |name: &str| compiled.exports().get(name).unwrap();
            done(runtime.call(id("quick"), Call::default())).result.unwrap();
            let finished = done(runtime.call(id("stuck"), Call::default()));
            (finished.processor_ns, finished.result)
        })
        .unwrap();
    let overrun = reports.recv().unwrap();
    assert_eq!((overrun.thread.as_str(), overrun.function.as_str()), ("engine-7", "stuck"));
    assert!(overrun.running_ns >= 20_000_000);
    assert!(overrun.to_string().contains("thread engine-7"), "{overrun}");
    let (processor_ns, result) = thread.join().unwrap();
    assert!(processor_ns > 20_000_000);
    // It took longer than it may, whether anything could end it or not.
    let error = result.unwrap_err();
    assert!(error.to_string().contains("limit call_ns"), "{error}");
    assert_eq!(watchdog.overruns(), 1, "each call is told of once");
    assert!(reports.try_recv().is_err());
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let (sender, reports) = mpsc::channel::<()>();
    let watchdog = Watchdog::start(Duration::from_secs(1), move |_| {
        let _ = sender.send(());
    })
    .unwrap();
    let other = watchdog.clone();
    drop(watchdog);
    assert_eq!(reports.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop(other);
    // Its end drops what it reports to.
    assert_eq!(reports.recv(), Err(mpsc::RecvError));
}
