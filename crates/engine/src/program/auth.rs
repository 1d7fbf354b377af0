//! Who requests are sent as, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use nuncius_scenario::TemplateError;
use nuncius_scenario::names::Names;
use nuncius_schemas::flow::{Auth, BasicAuth, OAuth2, OAuth2Grant, TokenPer};
use tokio::sync::Mutex;

use super::text::Text;
use crate::error::PlanError;
use crate::failure::Failure;

/// Who a request is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthPlan {
    /// Nobody.
    None,
    /// One of [`super::Program::logins`].
    Login(u16),
    /// Whoever one of [`super::Program::grants`] gives a token for.
    Grant(u16),
}

/// What goes into the header `Authorization` as it is.
#[derive(Debug)]
pub(crate) enum Login {
    /// User and password (RFC 7617).
    Basic(Text, Text),
    /// A token (RFC 6750).
    Bearer(Text),
}

/// Where a token is fetched, and for what (RFC 6749).
#[derive(Debug)]
pub(crate) struct Grant {
    /// Path of the field, for errors.
    pub(crate) field: String,
    /// Number of the target, and the path there.
    pub(crate) target: u32,
    pub(crate) path: Box<str>,
    pub(crate) kind: OAuth2Grant,
    pub(crate) client_id: Text,
    pub(crate) client_secret: Option<Text>,
    pub(crate) user: Option<Text>,
    pub(crate) password: Option<Text>,
    pub(crate) scope: Option<Text>,
    /// Who shares the token.
    pub(crate) per: TokenPer,
    pub(crate) timeout_ns: u64,
}

/// A token, or that there is none, for some time.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// The value of `Authorization`.
    pub(crate) authorization: Result<Arc<str>, Failure>,
    pub(crate) until_ns: u64,
}

/// Tokens by the number of their grant. Who fetches one holds it, and the others wait.
pub(crate) type Tokens = Mutex<HashMap<u16, Held>>;

/// The logins and grants of a program, each once.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    pub(crate) logins: Vec<Login>,
    pub(crate) grants: Vec<Grant>,
}

impl Identities {
    /// Compiles who requests are sent as. `resolve` gives the target of a token server and the path there.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn plan(
        &mut self,
        field: &str,
        auth: &Auth,
        timeout_ns: u64,
        names: &mut Names,
        resolve: impl FnOnce(&str, &str) -> Result<(u32, Box<str>), PlanError>,
    ) -> Result<AuthPlan, PlanError> {
        let refused = |field: String| {
            move |error: TemplateError| PlanError::Field { field: field.clone(), problem: error.to_string() }
        };
        match auth {
            Auth::None => Ok(AuthPlan::None),
            Auth::Basic(BasicAuth { user, password }) => {
                let user = Text::parse(user, names).map_err(refused(format!("{field}.basic.user")))?;
                let password = Text::parse(password, names).map_err(refused(format!("{field}.basic.password")))?;
                Ok(AuthPlan::Login(self.login(Login::Basic(user, password))))
            }
            Auth::Bearer(token) => {
                let token = Text::parse(token, names).map_err(refused(format!("{field}.bearer")))?;
                Ok(AuthPlan::Login(self.login(Login::Bearer(token))))
            }
            Auth::OAuth2(oauth2) => {
                let field = format!("{field}.oauth2");
                let grant = self.grant(field, oauth2, timeout_ns, names, resolve)?;
                self.grants.push(grant);
                Ok(AuthPlan::Grant(number(self.grants.len() - 1)))
            }
        }
    }

    fn login(&mut self, login: Login) -> u16 {
        self.logins.push(login);
        number(self.logins.len() - 1)
    }

    fn grant(
        &self,
        field: String,
        oauth2: &OAuth2,
        timeout_ns: u64,
        names: &mut Names,
        resolve: impl FnOnce(&str, &str) -> Result<(u32, Box<str>), PlanError>,
    ) -> Result<Grant, PlanError> {
        let OAuth2 { grant, token_url, client_id, client_secret, user, password, scope, per: _ } = oauth2;
        let (target, path) = resolve(&format!("{field}.token_url"), token_url)?;
        let mut text = |name: &str, text: &str| {
            Text::parse(text, names)
                .map_err(|error| PlanError::Field { field: format!("{field}.{name}"), problem: error.to_string() })
        };
        let client_id = text("client_id", client_id)?;
        let mut maybe =
            |name: &str, value: &Option<String>| value.as_deref().map(|value| text(name, value)).transpose();
        Ok(Grant {
            client_id,
            client_secret: maybe("client_secret", client_secret)?,
            user: maybe("user", user)?,
            password: maybe("password", password)?,
            scope: maybe("scope", scope)?,
            kind: *grant,
            target,
            path,
            per: oauth2.per(),
            timeout_ns,
            field,
        })
    }
}

/// A group has far fewer steps than there are numbers.
fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
