//! Headers between Rust and scripts: a list of pairs here, an object by name there.

use rquickjs::convert::Coerced;
use rquickjs::object::Property;
use rquickjs::{Array, Atom, Ctx, Exception, Filter, Object, Result, Value};

use crate::json;
use crate::limits::Limits;

/// An object by name, under the given prototype. A name that comes more than once, however it is written, has a list.
pub(super) fn to_script<'js>(
    ctx: &Ctx<'js>,
    prototype: Option<&Object<'js>>,
    pairs: &[(String, String)],
    is_lower: bool,
) -> Result<Object<'js>> {
    let object = Object::new_proto(ctx.clone(), prototype)?;
    for (index, (name, value)) in pairs.iter().enumerate() {
        let first = pairs.iter().take(index).find(|(other, _)| other.eq_ignore_ascii_case(name));
        let Some((first, _)) = first else {
            let own = if is_lower { name.to_ascii_lowercase() } else { name.clone() };
            // Defined, not set: `__proto__` is a name like any other.
            object.prop(own, Property::from(value.as_str()).configurable().enumerable().writable())?;
            continue;
        };
        let own = if is_lower { first.to_ascii_lowercase() } else { first.clone() };
        let there: Value<'js> = object.get(own.as_str())?;
        match there.as_array() {
            Some(list) => list
                .as_object()
                .get::<_, rquickjs::Function<'js>>("push")?
                .call((rquickjs::function::This(list.clone()), value.as_str()))?,
            None => {
                let list = Array::new(ctx.clone())?;
                list.set(0, there)?;
                list.set(1, value.as_str())?;
                object.prop(own, Property::from(list).configurable().enumerable().writable())?;
            }
        }
    }
    Ok(object)
}

/// What a script left of an object by name. Lists are one header each; what is `null` or `undefined` is none.
///
/// # Errors
/// Throws at what no header can be, and at too many.
pub(super) fn from_script<'js>(
    ctx: &Ctx<'js>,
    value: Option<Value<'js>>,
    limits: &Limits,
) -> Result<Vec<(String, String)>> {
    let mut headers = Headers { ctx, most: limits.headers, pairs: Vec::new() };
    let Some(value) = value.filter(|value| !value.is_undefined() && !value.is_null()) else {
        return Ok(headers.pairs);
    };
    let Some(object) = value.as_object() else {
        return Err(Exception::throw_type(ctx, "headers are an object"));
    };
    for key in object.own_keys::<Atom<'js>>(Filter::new().string().enum_only()) {
        let key = key?;
        let name = json::text_of(key.to_js_string()?.as_value())?;
        // The same name written otherwise, later: the script means to replace it.
        headers.pairs.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        let value: Value<'js> = object.get(key)?;
        match value.as_object().filter(|_| value.is_array()) {
            Some(list) => {
                let length = list.get::<_, Value<'js>>("length")?.as_number().unwrap_or(0.0);
                let mut index = 0_u32;
                while f64::from(index) < length {
                    headers.push(&name, list.get(index)?)?;
                    index += 1;
                }
            }
            None => headers.push(&name, value)?,
        }
    }
    Ok(headers.pairs)
}

struct Headers<'a, 'js> {
    ctx: &'a Ctx<'js>,
    most: usize,
    pairs: Vec<(String, String)>,
}

impl<'js> Headers<'_, 'js> {
    fn push(&mut self, name: &str, value: Value<'js>) -> Result<()> {
        if value.is_undefined() || value.is_null() {
            return Ok(());
        }
        if self.pairs.len() >= self.most {
            let why = format!("there are more than {} headers (limit headers)", self.most);
            return Err(Exception::throw_range(self.ctx, &why));
        }
        let value = if value.is_string() {
            json::text_of(&value)?
        } else {
            json::text_of(value.get::<Coerced<rquickjs::String<'js>>>()?.0.as_value())?
        };
        if name.is_empty() || has_control(name) || has_control(&value) {
            let why = format!("header `{}` has a control character in it, or no name", name.escape_debug());
            return Err(Exception::throw_type(self.ctx, &why));
        }
        self.pairs.push((name.to_owned(), value));
        Ok(())
    }
}

pub(super) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
