//! Values between JavaScript and JSON: strict, bounded, and never by way of unchecked text.

use rquickjs::atom::PredefinedAtom;
use rquickjs::function::This;
use rquickjs::{Atom, Ctx, Error, Filter, Function, Object, Value as ScriptValue};
use serde_json::{Map, Number, Value};

use crate::limits::Limits;

/// What a value of a list or map costs beside its text.
const NODE_BYTES: usize = 8;

/// Whole numbers up to here are exact in JavaScript.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// Why a value of a script cannot be had.
pub(crate) enum Refusal {
    /// The script threw while it was looked at; the exception is pending.
    Thrown(Error),
    /// It is no JSON, or too large.
    Because {
        /// Where in the value: `.cart[2]`.
        path: String,
        why: String,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Thrown(error)
    }
}

impl Refusal {
    fn because(why: impl Into<String>) -> Self {
        Self::Because { path: String::new(), why: why.into() }
    }

    fn below(self, step: impl FnOnce() -> String) -> Self {
        match self {
            Self::Thrown(error) => Self::Thrown(error),
            Self::Because { path, why } => Self::Because { path: step() + &path, why },
        }
    }
}

/// A value of the script as JSON, with its size in bytes. `None`: it is `undefined`.
pub(crate) fn from_script(value: &ScriptValue<'_>, limits: &Limits) -> Result<Option<(Value, usize)>, Refusal> {
    let mut walk = Walk { limits, bytes: 0 };
    let found = walk.value(value, 0)?;
    Ok(found.map(|found| (found, walk.bytes)))
}

struct Walk<'a> {
    limits: &'a Limits,
    bytes: usize,
}

impl Walk<'_> {
    fn value(&mut self, value: &ScriptValue<'_>, depth: usize) -> Result<Option<Value>, Refusal> {
        self.count(NODE_BYTES)?;
        if value.is_undefined() {
            return Ok(None);
        }
        if value.is_null() {
            return Ok(Some(Value::Null));
        }
        if let Some(truth) = value.as_bool() {
            return Ok(Some(Value::Bool(truth)));
        }
        if let Some(number) = value.as_number() {
            return number_of(number).map(Some);
        }
        if value.is_string() {
            let text = text_of(value)?;
            self.count(text.len())?;
            return Ok(Some(Value::String(text)));
        }
        if value.is_big_int() {
            return Err(Refusal::because("is a BigInt, which JSON does not have: use Number(…) or String(…)"));
        }
        if value.is_symbol() {
            return Err(Refusal::because("is a symbol, which JSON does not have"));
        }
        if value.is_function() {
            return Err(Refusal::because("is a function, which JSON does not have"));
        }
        match value.as_object() {
            Some(object) => self.object(object, depth),
            None => Err(Refusal::because("is nothing that JSON has")),
        }
    }

    fn object(&mut self, object: &Object<'_>, depth: usize) -> Result<Option<Value>, Refusal> {
        let depth = depth.saturating_add(1);
        if depth > self.limits.value_depth {
            let why =
                format!("is nested deeper than {} or refers to itself (limit value_depth)", self.limits.value_depth);
            return Err(Refusal::because(why));
        }
        let own_form: ScriptValue<'_> = object.get(PredefinedAtom::ToJSON)?;
        if let Some(own_form) = own_form.as_function() {
            let form: ScriptValue<'_> = own_form.call((This(object.clone()),))?;
            return self.value(&form, depth);
        }
        if object.is_array() { self.list(object, depth).map(Some) } else { self.map(object, depth).map(Some) }
    }

    fn list(&mut self, object: &Object<'_>, depth: usize) -> Result<Value, Refusal> {
        let length = object.get::<_, ScriptValue<'_>>(PredefinedAtom::Length)?.as_number().unwrap_or(0.0);
        // Before anything is asked for: a list may be as long as its owner says.
        if length * NODE_BYTES as f64 > self.limits.value_bytes as f64 {
            return Err(self.too_large());
        }
        let mut list = Vec::new();
        let mut index = 0_u32;
        while f64::from(index) < length {
            let item: ScriptValue<'_> = object.get(index)?;
            let item = self.value(&item, depth).map_err(|refusal| refusal.below(|| format!("[{index}]")))?;
            list.push(item.unwrap_or(Value::Null));
            index += 1;
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, object: &Object<'_>, depth: usize) -> Result<Value, Refusal> {
        let mut map = Map::new();
        for key in object.own_keys::<Atom<'_>>(Filter::new().string().enum_only()) {
            let key = key?;
            // Not by the atom's own conversion to text: it does not check what it makes.
            let name = text_of(key.to_js_string()?.as_value())?;
            self.count(name.len())?;
            let item: ScriptValue<'_> = object.get(key)?;
            let item = self.value(&item, depth).map_err(|refusal| refusal.below(|| format!(".{name}")))?;
            if let Some(item) = item {
                map.insert(name, item);
            }
        }
        Ok(Value::Object(map))
    }

    fn count(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.value_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> Refusal {
        Refusal::because(format!("is larger than {} bytes (limit value_bytes)", self.limits.value_bytes))
    }
}

fn number_of(number: f64) -> Result<Value, Refusal> {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        // As a whole number: `5`, not `5.0`, is what a template shows.
        return Ok(Value::from(number as i64));
    }
    match Number::from_f64(number) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(Refusal::because(format!("is {}, which JSON does not have", not_finite(number)))),
    }
}

fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Text of a string of the script. Halves of characters, which JavaScript allows, are replaced.
pub(crate) fn text_of(value: &ScriptValue<'_>) -> Result<String, Error> {
    let Some(string) = value.as_string() else {
        return Err(Error::new_from_js(value.type_name(), "string"));
    };
    match string.to_string() {
        Err(Error::Utf8(_)) => {
            // `toWellFormed` is a method of every string; by way of an object, since a string has no methods here.
            let globals = value.ctx().globals();
            let prototype: Object<'_> = globals.get::<_, Object<'_>>("String")?.get(PredefinedAtom::Prototype)?;
            let repair: Function<'_> = prototype.get("toWellFormed")?;
            let repaired: ScriptValue<'_> = repair.call((This(value.clone()),))?;
            repaired.as_string().map_or(Err(Error::Unknown), rquickjs::String::to_string)
        }
        read => read,
    }
}

/// A value as the script sees it.
pub(crate) fn to_script<'js>(ctx: &Ctx<'js>, value: &Value) -> rquickjs::Result<ScriptValue<'js>> {
    match value {
        Value::Null => Ok(ScriptValue::new_null(ctx.clone())),
        Value::Bool(truth) => Ok(ScriptValue::new_bool(ctx.clone(), *truth)),
        Value::Number(number) => Ok(ScriptValue::new_number(ctx.clone(), number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => rquickjs::String::from_str(ctx.clone(), text).map(rquickjs::String::into_value),
        // By the interpreter's own parser: it is as fast as one property at a time, and `__proto__` is a name to it.
        Value::Array(_) | Value::Object(_) => ctx.json_parse(serde_json::to_vec(value).unwrap_or_default()),
    }
}

/// Whether a script cannot tell two values apart: to it, all numbers are doubles.
pub(crate) fn same_to_script(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_to_script(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same_to_script(one, other)))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::String(one), Value::String(other)) => one == other,
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_that_a_script_cannot_tell_apart_are_the_same_to_it() {
        assert!(same_to_script(
            &json!({"a": [1, 9_007_199_254_740_993_i64]}),
            &json!({"a": [1.0, 9_007_199_254_740_992_i64]})
        ));
        assert!(!same_to_script(&json!({"a": 1}), &json!({"a": 2})));
        assert!(!same_to_script(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same_to_script(&json!([1]), &json!([1, 2])));
        assert!(!same_to_script(&json!("1"), &json!(1)));
    }
}
