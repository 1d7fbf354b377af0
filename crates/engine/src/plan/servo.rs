//! The servos of a group: where their events go, and with which headers.

use nuncius_schemas::servo::ServoOptions;
use nuncius_schemas::spec::Group;

use super::target::Target;
use super::{PlanError, request};

/// Servos, with the environment resolved.
#[derive(Debug)]
pub(crate) struct ServoPlan {
    pub(crate) options: ServoOptions,
    /// Over all nodes.
    pub(crate) users: u32,
    pub(crate) duration_ns: u64,
    /// Over the bus, not over HTTP.
    pub(crate) is_bus: bool,
    /// HTTP: path up to the name of the application.
    pub(crate) path: String,
    /// HTTP: all headers but `content-length` and `traceparent`.
    pub(crate) headers: Vec<(String, String)>,
    /// The token as a header has it.
    pub(crate) authorization: Option<String>,
}

/// `target` is absent over the bus.
pub(super) fn plan_servo(path: &str, group: &Group, target: Option<&Target>) -> Result<ServoPlan, PlanError> {
    let options = group.servo.clone().unwrap_or_default();
    let authorization = match &options.token {
        Some(token) => {
            let field = format!("{path}.servo.token");
            request::check_line(&field, token, false)?;
            Some(if token.contains("Bearer") { token.clone() } else { format!("Bearer {token}") })
        }
        None => None,
    };
    let mut headers = Vec::new();
    if let Some(target) = target {
        headers.push(("Host".to_owned(), target.authority.clone()));
        headers.push(("User-Agent".to_owned(), request::USER_AGENT.to_owned()));
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        headers.extend(authorization.clone().map(|value| ("Authorization".to_owned(), value)));
        for (name, value) in &group.headers {
            let field = format!("{path}.headers.{name}");
            request::check_line(&field, value, false)?;
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), value.clone()));
        }
    }
    let root = target.map_or("", |target| target.path.trim_end_matches('/'));
    let http_path = format!("{root}/accounts/{}/applications/", options.account);
    if http_path.parse::<hyper::http::uri::PathAndQuery>().is_err() {
        let problem = "its path holds what a path cannot: percent-encode it".to_owned();
        return Err(PlanError::Field { field: format!("{path}.target"), problem });
    }
    Ok(ServoPlan {
        path: http_path,
        options,
        users: group.users.unwrap_or(0),
        duration_ns: group.duration.map_or(u64::MAX, |duration| duration.0),
        is_bus: target.is_none(),
        headers,
        authorization,
    })
}
