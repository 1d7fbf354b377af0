//! Who may do what: tokens, sessions, the own origin, so many requests a second.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use nuncius_serve::sites;

use crate::error::GatewayError;
use crate::problem::Problem;

mod desk;
mod rate;
mod scope;
mod sessions;
mod settings;
mod tokens;
mod who;

pub use scope::Scope;
pub use settings::AccessSettings;
pub use tokens::{NewToken, new_token};

pub(crate) use desk::{begin as begin_session, end as end_session, router as session_router};
pub(crate) use who::Who;

use rate::Rates;
use sessions::Sessions;
use tokens::Tokens;

/// The name of the cookie of a session.
const COOKIE_NAME: &str = "nuncius_session";
/// Failed attempts that a peer may make at once, and how many more a second.
const ATTEMPTS: (f64, f64) = (10.0, 0.2);

/// The doors.
#[derive(Debug, Clone)]
pub(crate) struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: AccessSettings,
    allowed_hosts: Vec<String>,
    /// None where no token is asked for: loopback alone.
    tokens: Option<Tokens>,
    sessions: Sessions,
    requests: Rates,
    attempts: Rates,
}

impl Access {
    /// Reads the tokens.
    ///
    /// # Errors
    /// A file that cannot be read, or a line of it.
    pub(crate) fn new(settings: &AccessSettings, allowed_hosts: &[String]) -> Result<Self, GatewayError> {
        let tokens = settings.token_file.as_deref().map(Tokens::read).transpose()?;
        let per_second = f64::from(settings.requests_per_second.max(1));
        Ok(Self(Arc::new(Inner {
            settings: settings.clone(),
            allowed_hosts: allowed_hosts.to_vec(),
            tokens,
            sessions: Sessions::new(settings.sessions_max, settings.session_life),
            requests: Rates::new(per_second * 5.0, per_second),
            attempts: Rates::new(ATTEMPTS.0, ATTEMPTS.1),
        })))
    }

    pub(crate) fn settings(&self) -> &AccessSettings {
        &self.0.settings
    }

    /// Whether tokens are asked for.
    pub(crate) fn asks_for_tokens(&self) -> bool {
        self.0.tokens.is_some()
    }

    /// Lets a request in, or not: the own origin alone, so many a second, and who may do this.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn admit(&self, headers: &HeaderMap, peer: IpAddr, needed: Scope) -> Result<Who, Problem> {
        let changes = needed != Scope::Read;
        self.check_rate(peer)?;
        if changes && self.0.settings.read_only {
            let text = "this gateway changes nothing: it was started with --read-only";
            return Err(Problem::new(StatusCode::FORBIDDEN, "read-only", text));
        }
        self.check_origin(headers, changes)?;
        let who = self.who(headers, peer, changes).await?;
        if who.scope < needed {
            let name = who.name.as_deref().unwrap_or("this token");
            let text = format!("{name} has scope {}, this needs {}", who.scope.name(), needed.name());
            return Err(Problem::new(StatusCode::FORBIDDEN, "scope", text));
        }
        Ok(who)
    }

    fn check_rate(&self, peer: IpAddr) -> Result<(), Problem> {
        if self.0.requests.take(peer) {
            return Ok(());
        }
        let most = self.0.settings.requests_per_second;
        let text = format!("more than {most} requests a second from one address; see --requests-per-second");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", text);
        Err(problem.header(RETRY_AFTER, "1"))
    }

    /// Refuses what another site has a browser ask.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn check_origin(&self, headers: &HeaderMap, changes: bool) -> Result<(), Problem> {
        match sites::foreign(headers, changes, &self.0.allowed_hosts) {
            Some(reason) => Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", reason)),
            None => Ok(()),
        }
    }

    async fn who(&self, headers: &HeaderMap, peer: IpAddr, changes: bool) -> Result<Who, Problem> {
        let Some(tokens) = &self.0.tokens else { return Ok(Who { name: None, scope: Scope::Admin }) };
        if let Some(token) = bearer(headers)? {
            return self.by_token(tokens, token, peer).await;
        }
        let Some(session) = cookie(headers) else {
            return Err(unauthorized("no-token", "a token is needed: Authorization: Bearer NAME.SECRET, or a session"));
        };
        let who = self.0.sessions.find(session).ok_or_else(|| {
            unauthorized("no-session", "the session has ended, or there never was one: sign in again")
        })?;
        // A browser sends the cookie by itself: a change must say where it comes from.
        let says = ["origin", "sec-fetch-site"].iter().any(|name| headers.contains_key(*name));
        if changes && !says {
            let text = "a change with a cookie must have the header origin or sec-fetch-site";
            return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", text));
        }
        Ok(who)
    }

    async fn by_token(&self, tokens: &Tokens, token: &str, peer: IpAddr) -> Result<Who, Problem> {
        if let Some(who) = tokens.known(token) {
            return Ok(who);
        }
        if !self.0.attempts.has(peer) {
            let text = "too many wrong tokens from this address";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", text);
            return Err(problem.header(RETRY_AFTER, "5"));
        }
        match tokens.verify(token).await {
            Some(who) => Ok(who),
            None => {
                self.0.attempts.take(peer);
                Err(unauthorized("wrong-token", "this is no token of this gateway"))
            }
        }
    }
}

fn unauthorized(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).header(WWW_AUTHENTICATE, "Bearer realm=\"nuncius\"")
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token.filter(|token| !token.is_empty()) {
        Some(token) => Ok(Some(token)),
        None => Err(unauthorized("wrong-token", "the header authorization must be `Bearer NAME.SECRET`")),
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Refuses to be open to strangers: an address beyond loopback without tokens.
///
/// # Errors
/// [`GatewayError::Open`] with the address; an address that is none is left to whoever listens.
pub(crate) fn check_listen(address: &str, tokens: Option<&Path>) -> Result<(), GatewayError> {
    if tokens.is_some() {
        return Ok(());
    }
    let Ok(resolved) = std::net::ToSocketAddrs::to_socket_addrs(address) else { return Ok(()) };
    let is_beyond = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    match resolved.into_iter().any(is_beyond) {
        true => Err(GatewayError::Open { address: address.to_owned() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_loopback_is_served_without_tokens() {
        for address in ["127.0.0.1:0", "[::1]:80", "localhost:80", "nonsense"] {
            assert!(check_listen(address, None).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            assert!(matches!(check_listen(address, None), Err(GatewayError::Open { .. })), "{address}");
            assert!(check_listen(address, Some(Path::new("tokens"))).is_ok(), "{address}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_a_bearer_by_any_case() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "a=b; nuncius_session=xyz; nuncius_sessions=no".parse().unwrap());
        assert_eq!(cookie(&headers), Some("xyz"));
        headers.insert(AUTHORIZATION, "bearer me.secret".parse().unwrap());
        assert_eq!(bearer(&headers).unwrap(), Some("me.secret"));
        headers.insert(AUTHORIZATION, "Basic me.secret".parse().unwrap());
        assert!(bearer(&headers).is_err());
    }
}
