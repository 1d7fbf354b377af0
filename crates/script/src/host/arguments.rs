//! What the functions of the host need to read their arguments, and to answer.

use rquickjs::function::Params;
use rquickjs::{Ctx, Exception, Result, Value};

use super::{Host, Live, OVER};
use crate::exchange::Wanted;
use crate::json;

/// A function that the prelude can call.
pub(super) type HostFunction<'js> = for<'a> fn(&Host, &Params<'a, 'js>) -> Result<Value<'js>>;

/// The number at a place; 0 for what is none.
pub(super) fn number(params: &Params<'_, '_>, index: usize) -> f64 {
    params.arg(index).and_then(|value| value.as_number()).unwrap_or(0.0)
}

/// The call or ask at a place.
pub(super) fn id(params: &Params<'_, '_>, index: usize) -> u64 {
    number(params, index) as u64
}

/// The text at a place.
pub(super) fn text(params: &Params<'_, '_>, index: usize) -> Result<String> {
    match params.arg(index) {
        Some(value) if value.is_string() => json::text_of(&value),
        Some(_) | None => Err(Exception::throw_type(params.ctx(), "a text is needed here")),
    }
}

/// Does something with a call; throws if it is over.
pub(super) fn with<R>(host: &Host, ctx: &Ctx<'_>, id: u64, act: impl FnOnce(&mut Live) -> R) -> Result<R> {
    match host.state.borrow_mut().live(id) {
        Some(live) => Ok(act(live)),
        None => Err(Exception::throw_type(ctx, OVER)),
    }
}

pub(super) fn undefined<'js>(ctx: &Ctx<'js>) -> Value<'js> {
    Value::new_undefined(ctx.clone())
}

/// Counters of this crate stay far below what a double holds exactly.
pub(super) fn whole<'js>(ctx: &Ctx<'js>, number: u64) -> Value<'js> {
    Value::new_number(ctx.clone(), number as f64)
}

/// Asks for something on behalf of a call.
pub(super) fn ask<'js>(host: &Host, ctx: &Ctx<'js>, id: u64, wanted: Wanted) -> Result<Value<'js>> {
    let asked = host.state.borrow_mut().ask(id, wanted, &host.limits);
    match asked {
        Ok(ask) => Ok(whole(ctx, ask)),
        Err(why) => Err(Exception::throw_range(ctx, &why)),
    }
}
