//! Who requests are sent as.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::{self, Reading, SpecError, refuse};
use super::template::has_template;
use crate::spec::text::{TextKind, Visit, maybe, one};

/// Who requests are sent as. It makes the header `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Nobody: for a step whose group is somebody.
    None,
    /// A user with a password (RFC 7617).
    Basic(BasicAuth),
    /// Whoever has this token (RFC 6750); a template, or a variable of the node.
    Bearer(String),
    /// Whoever a token server gives a token for (RFC 6749). It is fetched before it is first needed, and again when it
    /// has run out.
    #[serde(rename = "oauth2")]
    OAuth2(Box<OAuth2>),
}

/// A user with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user; a template.
    pub user: String,
    /// The password; a template, or a variable of the node. A secret, redacted wherever it is stored or shown.
    pub password: String,
}

/// A token from a token server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// What is shown for the token.
    pub grant: OAuth2Grant,
    /// Where tokens are given: a path at the target, or a whole URL.
    pub token_url: String,
    /// Identifier of the client; a template.
    pub client_id: String,
    /// Secret of the client; a template, or a variable of the node. Redacted wherever it is stored or shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Of `password`: the user; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of `password`: the user's password; a template, or a variable of the node. Redacted wherever it is stored or
    /// shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What the token is to allow, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Who shares a token: `user` with the grant `password`, `run` with `client_credentials` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<TokenPer>,
}

/// What is shown for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OAuth2Grant {
    /// User and password (RFC 6749, 4.3).
    Password,
    /// The client's own secret (RFC 6749, 4.4).
    ClientCredentials,
}

/// Who shares a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPer {
    /// Nobody: each virtual user has one.
    User,
    /// All users of the group on a node.
    Run,
}

impl OAuth2 {
    /// Who shares a token.
    pub fn per(&self) -> TokenPer {
        self.per.unwrap_or(match self.grant {
            OAuth2Grant::Password => TokenPer::User,
            OAuth2Grant::ClientCredentials => TokenPer::Run,
        })
    }

    fn check(&self, path: &str, reading: Reading) -> Result<(), SpecError> {
        if self.token_url.is_empty() {
            return refuse(format!("{path}.token_url"), "empty: say where tokens are given");
        }
        rule::check_url(&format!("{path}.token_url"), &self.token_url, reading)?;
        for (name, value) in [
            ("client_secret", &self.client_secret),
            ("user", &self.user),
            ("password", &self.password),
            ("scope", &self.scope),
        ] {
            check_text(&format!("{path}.{name}"), value.as_deref().unwrap_or_default())?;
        }
        check_text(&format!("{path}.client_id"), &self.client_id)?;
        if self.client_id.is_empty() {
            return refuse(format!("{path}.client_id"), "empty: name the client");
        }
        let of_user = [("user", self.user.is_some()), ("password", self.password.is_some())];
        let missing = match self.grant {
            OAuth2Grant::Password => of_user.into_iter().find(|(_, is_there)| !is_there),
            OAuth2Grant::ClientCredentials => Some(("client_secret", false)).filter(|_| self.client_secret.is_none()),
        };
        if let Some((name, _)) = missing {
            return refuse(format!("{path}.{name}"), "missing: this grant needs it");
        }
        if let Some((name, _)) =
            of_user.into_iter().find(|(_, is_there)| *is_there && self.grant != OAuth2Grant::Password)
        {
            return refuse(format!("{path}.{name}"), "belongs to `grant: password`");
        }
        Ok(())
    }
}

impl Auth {
    /// The URL that tokens are fetched from, if any.
    pub fn token_url(&self) -> Option<&str> {
        match self {
            Self::None | Self::Basic(_) | Self::Bearer(_) => None,
            Self::OAuth2(oauth2) => Some(&oauth2.token_url),
        }
    }

    pub(crate) fn check(&self, path: &str, reading: Reading) -> Result<(), SpecError> {
        match self {
            Self::None => Ok(()),
            Self::Basic(BasicAuth { user, password }) => {
                check_text(&format!("{path}.basic.user"), user)?;
                check_text(&format!("{path}.basic.password"), password)?;
                if reading.knows(user) && !has_template(user) && user.contains(':') {
                    let problem = "holds a colon, which ends the name of a user (RFC 7617)";
                    return refuse(format!("{path}.basic.user"), problem);
                }
                Ok(())
            }
            Self::Bearer(token) => {
                check_text(&format!("{path}.bearer"), token)?;
                match token.is_empty() {
                    true => refuse(format!("{path}.bearer"), "empty: give a token, as in \"{{ token }}\" or ${TOKEN}"),
                    false => Ok(()),
                }
            }
            Self::OAuth2(oauth2) => oauth2.check(&format!("{path}.oauth2"), reading),
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::None => Ok(()),
            Self::Basic(BasicAuth { user, password }) => {
                one(format!("{path}.basic.user"), TextKind::Place, user, visit)?;
                one(format!("{path}.basic.password"), TextKind::Credential, password, visit)
            }
            Self::Bearer(token) => one(format!("{path}.bearer"), TextKind::Credential, token, visit),
            Self::OAuth2(oauth2) => {
                let OAuth2 { grant: _, token_url, client_id, client_secret, user, password, scope, per: _ } =
                    &mut **oauth2;
                one(format!("{path}.oauth2.token_url"), TextKind::Url, token_url, visit)?;
                one(format!("{path}.oauth2.client_id"), TextKind::Place, client_id, visit)?;
                maybe(format!("{path}.oauth2.client_secret"), TextKind::Credential, client_secret, visit)?;
                maybe(format!("{path}.oauth2.user"), TextKind::Place, user, visit)?;
                maybe(format!("{path}.oauth2.password"), TextKind::Credential, password, visit)?;
                maybe(format!("{path}.oauth2.scope"), TextKind::Place, scope, visit)
            }
        }
    }
}

fn check_text(field: &str, text: &str) -> Result<(), SpecError> {
    match text.len() > rule::VALUE_MAX_BYTES || text.chars().any(char::is_control) {
        true => refuse(field, format!("over {} bytes, or holds control characters", rule::VALUE_MAX_BYTES)),
        false => Ok(()),
    }
}
