//! The functions that the prelude calls.

use std::rc::Rc;

use rquickjs::function::{Params, RustFunction};
use rquickjs::{Class, Ctx, Error, Exception, Function, Object, Result, Value};

use super::arguments::{HostFunction, ask, id, number, text, undefined, whole, with};
use super::{Host, requests, variables};
use crate::call::{Level, Meter, MeterKind};
use crate::describe;
use crate::exchange::Wanted;

/// Bytes of the smallest value of a list.
const VALUE_BYTES: usize = 8;

/// Longest name of a meter, in bytes.
const METER_NAME_BYTES: usize = 64;

/// What the prelude is given.
pub(crate) fn object<'js>(ctx: &Ctx<'js>, host: &Rc<Host>) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    let own: [(&str, HostFunction<'js>); 11] = [
        ("current", current),
        ("settle", settle),
        ("reject", reject),
        ("about", about),
        ("random", random),
        ("log", log),
        ("meter", meter),
        ("failing", failing),
        ("timer", timer),
        ("cancel", cancel),
        ("lengthMax", length_max),
    ];
    for (name, function) in own.into_iter().chain(variables::functions()).chain(requests::functions()) {
        let host = Rc::clone(host);
        object.set(name, native(ctx, move |params| function(&host, &params))?)?;
    }
    Ok(object)
}

/// A JavaScript function of a Rust one.
///
/// Not by `Function::new`: that caches a prototype in the runtime, which keeps the context alive until the runtime is
/// freed, so that nobody could look whether something leaked before.
fn native<'js, F>(ctx: &Ctx<'js>, function: F) -> Result<Function<'js>>
where
    F: for<'a> Fn(Params<'a, 'js>) -> Result<Value<'js>> + 'js,
{
    let class = Class::instance_proto(RustFunction(Box::new(function)), Function::prototype(ctx.clone()))?;
    class.into_value().into_function().ok_or(Error::Unknown)
}

/// How many values a list can have that is in the heap.
fn length_max<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let most = host.limits.heap_bytes / VALUE_BYTES;
    Ok(whole(params.ctx(), u64::try_from(most).unwrap_or(u64::MAX)))
}

fn current<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    Ok(whole(params.ctx(), host.state.borrow().current))
}

/// `(call, value)`: the promise of the call is fulfilled.
fn settle<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let value = params.arg(1).unwrap_or_else(|| undefined(ctx));
    let outcome = describe::returned(host, &value)?;
    host.state.borrow_mut().settle(id(params, 0), outcome);
    Ok(undefined(ctx))
}

/// `(call, error)`: the promise of the call is rejected.
fn reject<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let id = id(params, 0);
    let thrown = params.arg(1).unwrap_or_else(|| undefined(ctx));
    let error = describe::call_error(host, id, &thrown);
    host.state.borrow_mut().settle(id, Err(error));
    Ok(undefined(ctx))
}

/// `(call, 0 | 1 | 2)`: its iteration, user, time.
fn about<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let which = id(params, 1);
    let number = with(host, params.ctx(), id(params, 0), |live| match which {
        0 => live.iteration,
        1 => live.user,
        _ => live.now_unix_ms,
    })?;
    Ok(whole(params.ctx(), number))
}

/// `(call)`: its next draw.
fn random<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let fraction = with(host, params.ctx(), id(params, 0), |live| live.draws.fraction())?;
    Ok(Value::new_float(params.ctx().clone(), fraction))
}

/// `(call, level, text)`.
fn log<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let level = match id(params, 1) {
        0 => Level::Info,
        1 => Level::Warn,
        _ => Level::Error,
    };
    let text = text(params, 2)?;
    // A line that comes after its call has nowhere to go.
    if let Some(live) = host.state.borrow_mut().live(id(params, 0)) {
        live.log(level, &text, &host.limits);
    }
    Ok(undefined(params.ctx()))
}

/// `(call, 0 counter | 1 histogram, name, value)`.
fn meter<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let name = text(params, 2)?;
    if name.is_empty() || name.len() > METER_NAME_BYTES {
        return Err(Exception::throw_type(ctx, &format!("a meter has a name of 1 to {METER_NAME_BYTES} bytes")));
    }
    let value = params.arg(3).and_then(|value| value.as_number()).filter(|value| value.is_finite());
    let Some(value) = value else {
        return Err(Exception::throw_type(ctx, &format!("meter `{name}`: a number is needed")));
    };
    let kind = if id(params, 1) == 0 { MeterKind::Counter } else { MeterKind::Histogram };
    let most = host.limits.meters;
    let fits = with(host, ctx, id(params, 0), |live| {
        let fits = live.meters.len() < most;
        if fits {
            live.meters.push(Meter { name, kind, value });
        }
        fits
    })?;
    if fits {
        Ok(undefined(ctx))
    } else {
        Err(Exception::throw_range(ctx, &format!("one call gave more than {most} numbers to meters (limit meters)")))
    }
}

/// `(call, text)`: what it throws next is a failure that it means.
fn failing<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let text = text(params, 1)?;
    with(host, params.ctx(), id(params, 0), |live| live.failing = Some(text))?;
    Ok(undefined(params.ctx()))
}

/// `(call, milliseconds)`: an ask.
fn timer<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let after_ms = number(params, 1);
    // What is no time is none, as everywhere else that has timers; what is too long saturates.
    let after_ns = if after_ms > 0.0 { (after_ms * 1_000_000.0) as u64 } else { 0 };
    ask(host, params.ctx(), id(params, 0), Wanted::Timer { after_ns })
}

/// `(ask)`: it is of no interest any more.
fn cancel<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    host.state.borrow_mut().answered(id(params, 0));
    Ok(undefined(params.ctx()))
}
