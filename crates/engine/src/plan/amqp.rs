//! What an AMQP group does: where its broker is, and who it is to it.

use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use nuncius_schemas::spec::{Group, Step};

use super::target::Target;
use crate::error::PlanError;

/// An AMQP group with its environment resolved.
#[derive(Debug)]
pub(crate) struct AmqpPlan {
    /// `amqps`.
    pub(crate) secure: bool,
    /// `user:password` of the target, as written.
    pub(crate) credentials: Option<String>,
    /// Path of the target without its first slash, as written (percent-encoded).
    pub(crate) vhost: String,
    /// What to do.
    pub(crate) steps: Vec<Step>,
    /// How the broker is checked.
    pub(crate) tls: Option<nuncius_schemas::spec::TlsOptions>,
    /// The name a TLS broker must have.
    pub(crate) server_name: String,
}

pub(super) fn plan_amqp(path: &str, group: &Group, target: Target) -> Result<AmqpPlan, PlanError> {
    let steps = group.steps.clone();
    let named = group.tls.as_ref().and_then(|tls| tls.server_name.clone());
    let plan = AmqpPlan {
        secure: target.secure,
        credentials: target.credentials,
        vhost: target.path.trim_start_matches('/').to_owned(),
        steps,
        tls: group.tls.clone(),
        server_name: named.unwrap_or(target.host),
    };
    let field = || format!("{path}.target");
    if !target.query.is_empty() {
        return Err(PlanError::Field { field: field(), problem: "a broker's address has no query".to_owned() });
    }
    match login(&plan) {
        Ok(_) => Ok(plan),
        // The problem is told without the text: it holds a password.
        Err(_) => Err(PlanError::Field {
            field: field(),
            problem: "user, password or virtual host are not percent-encoded UTF-8, or longer than 255 bytes"
                .to_owned(),
        }),
    }
}

/// User, password and virtual host, percent-decoded. Without a user `guest` with the same password; without a virtual
/// host `/`.
pub(crate) fn login(amqp: &AmqpPlan) -> Result<AMQPUri, String> {
    let credentials = amqp.credentials.as_deref().map(|text| format!("{text}@")).unwrap_or_default();
    let vhost = if amqp.vhost.is_empty() { "%2f" } else { amqp.vhost.as_str() };
    let mut uri: AMQPUri = format!("amqp://{credentials}localhost/{vhost}").parse()?;
    // TLS is ours, so that the authorities are those that were asked for.
    uri.scheme = AMQPScheme::AMQP;
    ShortString::try_new(uri.vhost.as_str()).map_err(|error| error.to_string())?;
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(credentials: Option<&str>, vhost: &str) -> Option<(String, String, String)> {
        let amqp = AmqpPlan {
            secure: false,
            credentials: credentials.map(str::to_owned),
            vhost: vhost.to_owned(),
            steps: Vec::new(),
            tls: None,
            server_name: String::new(),
        };
        let uri = login(&amqp).ok()?;
        Some((uri.authority.userinfo.username, uri.authority.userinfo.password, uri.vhost))
    }

    fn some(user: &str, password: &str, vhost: &str) -> Option<(String, String, String)> {
        Some((user.to_owned(), password.to_owned(), vhost.to_owned()))
    }

    #[test]
    fn user_password_and_virtual_host_are_percent_decoded_and_have_defaults() {
        assert_eq!(read(None, ""), some("guest", "guest", "/"));
        assert_eq!(read(None, "%2f"), some("guest", "guest", "/"));
        assert_eq!(read(Some("a%40b:c%2Fd:e"), "team%20one"), some("a@b", "c/d:e", "team one"));
        assert_eq!(read(Some("u"), "v"), some("u", "guest", "v"));
        assert_eq!(read(Some("%ff:x"), "v"), None);
        assert_eq!(read(None, &"v".repeat(256)), None);
    }
}
