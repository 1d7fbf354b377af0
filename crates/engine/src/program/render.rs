//! From an action to a request: templates filled in, into a buffer that is used again.

use std::borrow::Cow;

use nuncius_scenario::draw::Draws;
use nuncius_scenario::scope::Scope;
use nuncius_scenario::{TemplateError, auth, multipart};
use nuncius_schemas::flow::OAuth2Grant;

use super::auth::{AuthPlan, Grant, Login};
use super::compiled::Program;
use super::request::{Address, BodyPlan, HttpAction, PartContent};
use super::text::{Text, push_parameter, push_path};
use crate::http::outgoing::{Body, Outgoing, OutgoingError};

/// Whom a request goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A target of the program's table.
    Target(u32),
    /// An origin that became known just now.
    Origin(String),
}

/// Why there is no request. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("{0}: {1}")]
    Template(&'static str, TemplateError),
    #[error("header `{0}`: {1}")]
    Field(Box<str>, TemplateError),
    #[error("query parameter `{0}`: {1}")]
    Parameter(Box<str>, TemplateError),
    #[error("auth: {0}")]
    Auth(#[from] auth::AuthError),
    #[error("multipart: {0}")]
    Multipart(#[from] multipart::MultipartError),
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("url: what the template makes is neither a path that starts with / nor a whole URL (http:// or https://)")]
    Url,
}

/// Makes the request of an action. `token` is what its grant has as `Authorization`, where it has one.
///
/// # Errors
/// A template cannot be filled in, or makes what cannot be sent.
pub(crate) fn request(
    program: &Program,
    action: &HttpAction,
    token: Option<&str>,
    scope: &Scope<'_>,
    draws: &mut Draws,
    out: &mut Outgoing,
) -> Result<Destination, RenderError> {
    out.clear();
    out.set_method(&action.method);
    let destination = path(program, action, scope, draws, out)?;
    for (name, value) in &action.fields {
        out.try_add(name, |text| value.write(scope, draws, text))
            .map_err(|error| RenderError::Field(name.clone(), error))?;
    }
    match action.auth {
        AuthPlan::None => {}
        AuthPlan::Login(number) => {
            if let Some(login) = program.logins.get(usize::from(number)) {
                authorize(login, scope, draws, out)?;
            }
        }
        AuthPlan::Grant(_) => out.add("Authorization", token.unwrap_or_default()),
    }
    body(&action.body, scope, draws, out)?;
    out.check()?;
    Ok(destination)
}

fn path(
    program: &Program,
    action: &HttpAction,
    scope: &Scope<'_>,
    draws: &mut Draws,
    out: &mut Outgoing,
) -> Result<Destination, RenderError> {
    let template = |error| RenderError::Template("url", error);
    let (target, known) = match &action.address {
        Address::Constant(target, path) if action.query.is_empty() => {
            out.set_path(path);
            return Ok(Destination::Target(*target));
        }
        Address::Constant(target, path) => (Destination::Target(*target), path.to_string()),
        Address::Path(target, before, path) => {
            let mut made = String::new();
            path.render_into(scope, draws, &mut made).map_err(template)?;
            let mut path = before.to_string();
            push_path(&mut path, &made);
            (Destination::Target(*target), path)
        }
        Address::Made(url) => made_url(program, &url.text(scope, draws).map_err(template)?)?,
    };
    let mut path = known;
    for (name, value) in &action.query {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        let text = value.text(scope, draws).map_err(|error| RenderError::Parameter(name.clone(), error))?;
        push_parameter(&mut path, &text);
    }
    out.set_path(&path);
    Ok(target)
}

/// A path at the group's target, or a whole URL.
fn made_url(program: &Program, url: &str) -> Result<(Destination, String), RenderError> {
    let url = url.trim();
    let mut path = String::new();
    if url.starts_with('/') {
        path.push_str(&program.base_path);
        push_path(&mut path, url);
        return Ok((Destination::Target(0), path));
    }
    let url = as_http(url);
    let (origin, rest) = split_url(&url).ok_or(RenderError::Url)?;
    push_path(&mut path, rest);
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    Ok((Destination::Origin(origin.to_owned()), path))
}

/// A URL of a WebSocket as that of the request that opens it (RFC 6455, 3 and 4.1); any other as it is.
pub(crate) fn as_http(url: &str) -> Cow<'_, str> {
    let rest = [("ws://", "http://"), ("wss://", "https://")]
        .into_iter()
        .find_map(|(scheme, instead)| url.strip_prefix(scheme).map(|rest| (instead, rest)));
    rest.map_or(Cow::Borrowed(url), |(scheme, rest)| Cow::Owned(format!("{scheme}{rest}")))
}

/// Scheme and authority, and what follows them without a fragment; `None` for what is no URL of HTTP.
pub(crate) fn split_url(url: &str) -> Option<(&str, &str)> {
    let url = url.split('#').next().unwrap_or_default();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let rest = url.get(scheme.len()..)?;
    let end = scheme.len() + rest.find(['/', '?']).unwrap_or(rest.len());
    (end > scheme.len()).then(|| url.split_at(end))
}

fn authorize(login: &Login, scope: &Scope<'_>, draws: &mut Draws, out: &mut Outgoing) -> Result<(), RenderError> {
    let template = |error| RenderError::Template("auth", error);
    let value = match login {
        Login::Basic(user, password) => {
            let user = user.text(scope, draws).map_err(template)?;
            let password = password.text(scope, draws).map_err(template)?;
            auth::basic(&user, &password)?
        }
        Login::Bearer(token) => format!("Bearer {}", token.text(scope, draws).map_err(template)?),
    };
    out.add("Authorization", &value);
    Ok(())
}

fn body(plan: &BodyPlan, scope: &Scope<'_>, draws: &mut Draws, out: &mut Outgoing) -> Result<(), RenderError> {
    out.body = match plan {
        BodyPlan::None => Body::None,
        BodyPlan::Constant(bytes) => Body::Shared(bytes.clone()),
        BodyPlan::Text(template) => {
            template
                .render_into(scope, draws, &mut out.own_body)
                .map_err(|error| RenderError::Template("body", error))?;
            Body::Own
        }
        BodyPlan::Json(template) => {
            template
                .write_json(scope, draws, &mut out.own_body)
                .map_err(|error| RenderError::Template("json", error))?;
            Body::Own
        }
        BodyPlan::Form(fields) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in fields {
                let value = value.text(scope, draws).map_err(|error| RenderError::Template("form", error))?;
                form.append_pair(name, &value);
            }
            out.own_body.extend_from_slice(form.finish().as_bytes());
            Body::Own
        }
        BodyPlan::Multipart(parts) => {
            let boundary = multipart::boundary(draws);
            let mut texts = Vec::with_capacity(parts.len());
            for part in parts.iter() {
                texts.push(match &part.content {
                    PartContent::Text(text) => {
                        text.text(scope, draws).map_err(|error| RenderError::Template("multipart", error))?
                    }
                    PartContent::File(_) => String::new(),
                });
            }
            let made: Vec<multipart::Part<'_>> = parts
                .iter()
                .zip(&texts)
                .map(|(part, text)| multipart::Part {
                    name: &part.name,
                    file_name: part.file_name.as_deref(),
                    media_type: part.media_type.as_deref(),
                    content: match &part.content {
                        PartContent::Text(_) => text.as_bytes(),
                        PartContent::File(bytes) => bytes,
                    },
                })
                .collect();
            multipart::encode(&made, &boundary, &mut out.own_body)?;
            out.add("Content-Type", &multipart::content_type(&boundary));
            Body::Own
        }
    };
    Ok(())
}

/// Makes the request that fetches a token.
///
/// # Errors
/// A template cannot be filled in.
pub(crate) fn grant(
    grant: &Grant,
    scope: &Scope<'_>,
    draws: &mut Draws,
    out: &mut Outgoing,
) -> Result<(), RenderError> {
    out.clear();
    out.set_method("POST");
    out.set_path(&grant.path);
    out.add("User-Agent", crate::plan::request::USER_AGENT);
    out.add("Accept", "application/json");
    out.add("Content-Type", "application/x-www-form-urlencoded");
    let mut text = |text: &Text| text.text(scope, draws).map_err(|error| RenderError::Template("auth", error));
    let client_id = text(&grant.client_id)?;
    let mut maybe = |value: &Option<Text>| value.as_ref().map(&mut text).transpose();
    let (secret, user, password) = (maybe(&grant.client_secret)?, maybe(&grant.user)?, maybe(&grant.password)?);
    let wanted = maybe(&grant.scope)?;
    let kind = match grant.kind {
        OAuth2Grant::ClientCredentials => auth::Grant::ClientCredentials,
        OAuth2Grant::Password => auth::Grant::Password {
            user: user.as_deref().unwrap_or_default(),
            password: password.as_deref().unwrap_or_default(),
        },
    };
    let request = auth::token_request(kind, &client_id, secret.as_deref(), wanted.as_deref());
    if let Some(value) = &request.authorization {
        out.add("Authorization", value);
    }
    out.own_body.extend_from_slice(request.body.as_bytes());
    out.body = Body::Own;
    Ok(out.check()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_its_origin_and_what_follows_without_a_fragment() {
        for (url, expected) in [
            ("http://shop/a?b#c", Some(("http://shop", "/a?b"))),
            ("https://shop:8443", Some(("https://shop:8443", ""))),
            ("http://shop?x", Some(("http://shop", "?x"))),
            ("ftp://shop/", None),
            ("http://", None),
            ("/a", None),
        ] {
            assert_eq!(split_url(url), expected, "{url}");
        }
    }
}
