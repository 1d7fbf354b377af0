//! Requests that a script changes or makes, and the responses that it reads.

use bytes::Bytes;
use rquickjs::function::Params;
use rquickjs::{Ctx, Exception, Object, Result, Value};

use super::arguments::{HostFunction, ask, id, text, undefined, whole, with};
use super::headers::{self, has_control};
use super::{Host, Live};
use crate::exchange::{RequestView, ResponseView, Wanted};
use crate::json;
use crate::limits::Limits;

/// The ask that stands for the response of the step itself.
const OF_THE_STEP: u64 = 0;

/// Longest method, in bytes.
const METHOD_BYTES: usize = 32;

/// Longest name of a step, in bytes: names are far shorter, and a longer one is that of none.
const STEP_BYTES: usize = 1024;

/// By name.
pub(super) fn functions<'js>() -> [(&'static str, HostFunction<'js>); 9] {
    [
        ("request", request),
        ("requestBack", request_back),
        ("hasResponse", has_response),
        ("status", status),
        ("url", url),
        ("headers", response_headers),
        ("body", body),
        ("json", parsed),
        ("fetch", fetch),
    ]
}

/// `(call, prototype of headers)`: an object; `undefined` for no request.
fn request<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let Some(request) = with(host, ctx, id(params, 0), |live| live.request.clone())? else {
        return Ok(undefined(ctx));
    };
    let prototype = params.arg(1);
    let prototype = prototype.as_ref().and_then(|prototype| prototype.as_object());
    let object = Object::new(ctx.clone())?;
    object.set("method", request.method)?;
    object.set("url", request.url)?;
    object.set("headers", headers::to_script(ctx, prototype, &request.headers, false)?)?;
    match &request.body {
        Some(body) => object.set("body", &*text_of(body))?,
        None => object.set("body", Value::new_null(ctx.clone()))?,
    }
    Ok(object.into_value())
}

/// `(call, method, url, headers, body)`: the request as the script left it.
fn request_back<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let changed = read_request(&host.limits, params)?;
    with(host, ctx, id(params, 0), |live| {
        if let Some(request) = &mut live.request {
            // A body that is no text is seen with replacements; unless the script changed it, it stays what it was.
            let body_is_the_same = match (&request.body, &changed.body) {
                (Some(old), Some(new)) => text_of(old).as_bytes() == new.as_ref(),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            request.method = changed.method;
            request.url = changed.url;
            request.headers = changed.headers;
            if !body_is_the_same {
                request.body = changed.body;
            }
        }
    })?;
    Ok(undefined(ctx))
}

/// `(call, method, url, headers, body, step)`: an ask.
fn fetch<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let mut request = read_request(&host.limits, params)?;
    request.step = match params.arg(5) {
        Some(step) if step.is_undefined() => None,
        Some(_) => Some(text(params, 5)?),
        None => None,
    };
    if request.step.as_ref().is_some_and(|step| step.len() > STEP_BYTES) {
        let why = format!("the name of a step has at most {STEP_BYTES} bytes");
        return Err(Exception::throw_type(params.ctx(), &why));
    }
    ask(host, params.ctx(), id(params, 0), Wanted::Fetch(request))
}

/// Arguments 1 to 4 as a request.
fn read_request(limits: &Limits, params: &Params<'_, '_>) -> Result<RequestView> {
    let ctx = params.ctx();
    let wrong = |why: String| Err(Exception::throw_type(ctx, &why));
    let method = text(params, 1)?;
    if method.is_empty() || method.len() > METHOD_BYTES || !method.bytes().all(is_token) {
        return wrong(format!("a method is a word of 1 to {METHOD_BYTES} letters"));
    }
    let url = text(params, 2)?;
    if url.len() > limits.url_bytes {
        return wrong(format!("the URL is longer than {} bytes (limit url_bytes)", limits.url_bytes));
    }
    if has_control(&url) {
        return wrong("the URL has a control character in it".to_owned());
    }
    let headers = headers::from_script(ctx, params.arg(3), limits)?;
    let body = match params.arg(4) {
        Some(body) if body.is_string() => {
            let body = json::text_of(&body)?;
            if body.len() > limits.body_bytes {
                return wrong(format!("the body is larger than {} bytes (limit body_bytes)", limits.body_bytes));
            }
            Some(Bytes::from(body))
        }
        Some(_) | None => None,
    };
    Ok(RequestView { method: method.to_ascii_uppercase(), url, headers, body, step: None })
}

/// What words of HTTP are made of (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `(call)`: whether the step has a response.
fn has_response<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let has = with(host, params.ctx(), id(params, 0), |live| live.response.is_some())?;
    Ok(Value::new_bool(params.ctx().clone(), has))
}

/// Looks at a response of a call: `(call, ask)`.
fn look<R>(host: &Host, params: &Params<'_, '_>, read: impl FnOnce(&ResponseView) -> R) -> Result<R> {
    let ask = id(params, 1);
    let found = with(host, params.ctx(), id(params, 0), |live| response_of(live, ask).map(read))?;
    found.ok_or_else(|| {
        let most = host.limits.answer_bytes;
        let why =
            format!("this response is not kept any more: a call may hold {most} bytes of them (limit answer_bytes)");
        Exception::throw_range(params.ctx(), &why)
    })
}

fn response_of(live: &Live, ask: u64) -> Option<&ResponseView> {
    if ask == OF_THE_STEP { live.response.as_ref() } else { live.answers.get(&ask) }
}

fn status<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let status = look(host, params, |response| response.status)?;
    Ok(whole(params.ctx(), u64::from(status)))
}

fn url<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let url = look(host, params, |response| response.url.clone())?;
    string(params.ctx(), &url)
}

/// `(call, ask, prototype of headers)`: an object by small name.
fn response_headers<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let pairs = look(host, params, |response| response.headers.clone())?;
    let prototype = params.arg(2);
    let prototype = prototype.as_ref().and_then(|prototype| prototype.as_object());
    Ok(headers::to_script(params.ctx(), prototype, &pairs, true)?.into_value())
}

fn body<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let body = look(host, params, |response| response.body.clone())?;
    string(params.ctx(), &text_of(&body))
}

fn parsed<'js>(host: &Host, params: &Params<'_, 'js>) -> Result<Value<'js>> {
    let ctx = params.ctx();
    let body = look(host, params, |response| response.body.clone())?;
    if body.is_empty() {
        return Err(Exception::throw_syntax(ctx, "the body of the response is empty, which is no JSON"));
    }
    if body.contains(&0) {
        return Err(Exception::throw_syntax(ctx, "the body of the response has a NUL in it, which JSON has not"));
    }
    match std::str::from_utf8(&body) {
        Ok(text) => ctx.json_parse(text),
        Err(_) => Err(Exception::throw_syntax(ctx, "the body of the response is no UTF-8, which JSON has to be")),
    }
}

/// Text of a body; what is no UTF-8 in it is replaced.
fn text_of(body: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body)
}

fn string<'js>(ctx: &Ctx<'js>, text: &str) -> Result<Value<'js>> {
    rquickjs::String::from_str(ctx.clone(), text).map(rquickjs::String::into_value)
}
