//! `context.vars`: each variable is converted when it is touched.

use rquickjs::function::Params;
use rquickjs::{Array, Exception, Result, Value};

use super::Host;
use super::arguments::{HostFunction, id, text, undefined, with};
use crate::error::CallError;
use crate::json::{self, Refusal};

/// By name.
pub(super) fn functions<'js>() -> [(&'static str, HostFunction<'js>); 6] {
    [("read", read), ("write", write), ("writeBack", write_back), ("remove", remove), ("has", has), ("names", names)]
}

/// `(call, name)`: the value; `undefined` for none.
fn read<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let name = text(params, 1)?;
    with(host, ctx, id(params, 0), |live| match live.variables.get(&name) {
        Some(value) => json::to_script(ctx, value),
        None => Ok(undefined(ctx)),
    })?
}

/// `(call, name, value)`: throws if the value cannot be kept.
fn write<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let name = text(params, 1)?;
    let value = params.arg(2).unwrap_or_else(|| undefined(ctx));
    // Before the call is looked up: a value may have code of its own that is run here and touches the call.
    let (value, bytes) = match json::from_script(&value, &host.limits) {
        Ok(found) => found.unwrap_or_default(),
        Err(Refusal::Thrown(error)) => return Err(error),
        Err(Refusal::Because { path, why }) => {
            return Err(Exception::throw_type(ctx, &format!("variable `{name}{path}` {why}")));
        }
    };
    let limits = host.limits;
    let kept = with(host, ctx, id(params, 0), |live| {
        live.written_bytes = live.written_bytes.saturating_add(bytes).saturating_add(name.len());
        if live.written_bytes > limits.written_bytes {
            let most = limits.written_bytes;
            return Err(format!("one call wrote more than {most} bytes to variables (limit written_bytes)"));
        }
        if !live.variables.contains_key(&name) && live.variables.len() >= limits.variables {
            return Err(format!("there are more than {} variables (limit variables)", limits.variables));
        }
        live.variables.insert(name, value);
        Ok(())
    })?;
    match kept {
        Ok(()) => Ok(undefined(ctx)),
        Err(why) => Err(Exception::throw_range(ctx, &why)),
    }
}

/// `(call, name, value)`, at the end of a call: a list or map that the script was given or gave, and may have changed
/// since. What it did not change stays as it was, numbers that a double cannot hold included.
fn write_back<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let name = text(params, 1)?;
    let value = params.arg(2).unwrap_or_else(|| undefined(ctx));
    let found = match json::from_script(&value, &host.limits) {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(Refusal::Thrown(error)) => return Err(error),
        Err(Refusal::Because { path, why }) => Err((path, why)),
    };
    let most = host.limits.written_bytes;
    with(host, ctx, id(params, 0), |live| {
        let (path, why) = match found {
            Ok((value, bytes)) => {
                if live.variables.get(&name).is_some_and(|kept| json::same_to_script(kept, &value)) {
                    return;
                }
                live.written_bytes = live.written_bytes.saturating_add(bytes);
                if live.written_bytes <= most {
                    live.variables.insert(name, value);
                    return;
                }
                let why = format!("is one too many: one call wrote more than {most} bytes (limit written_bytes)");
                (String::new(), why)
            }
            Err(refused) => refused,
        };
        live.refused.get_or_insert(CallError::Value { what: format!("variable `{name}{path}`"), why });
    })?;
    Ok(undefined(ctx))
}

/// `(call, name)`.
fn remove<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let name = text(params, 1)?;
    with(host, params.ctx(), id(params, 0), |live| live.variables.remove(&name))?;
    Ok(undefined(params.ctx()))
}

/// `(call, name)`: whether there is such a variable.
fn has<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let name = text(params, 1)?;
    let has = with(host, params.ctx(), id(params, 0), |live| live.variables.contains_key(&name))?;
    Ok(Value::new_bool(params.ctx().clone(), has))
}

/// `(call)`: the names of all variables.
fn names<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let names: Vec<String> = with(host, ctx, id(params, 0), |live| live.variables.keys().cloned().collect())?;
    let list = Array::new(ctx.clone())?;
    for (index, name) in names.iter().enumerate() {
        list.set(index, name.as_str())?;
    }
    Ok(list.into_value())
}
