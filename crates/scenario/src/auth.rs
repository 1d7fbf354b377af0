//! Proofs of identity: HTTP Basic (RFC 7617), bearer tokens (RFC 6750), and how a token is asked for (RFC 6749).

use std::fmt;

use base64::Engine;
use form_urlencoded::Serializer;
use serde_json::Value;

use crate::error::shown;

/// Longest token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// How long before its end a token is renewed, at most, in seconds.
const RENEWAL_MARGIN_MAX_S: u64 = 30;

/// Why there is no proof. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A user name that Basic cannot carry.
    #[error("a user of basic authentication has no colon, and neither user nor password a control character")]
    Basic,
    /// The server of tokens says no.
    #[error("the token server refused: {code}{hint}")]
    Refused {
        /// Its code (RFC 6749, section 5.2), or what it is otherwise.
        code: String,
        /// What to do.
        hint: &'static str,
    },
    /// The answer is no token.
    #[error("the token server answered {status} and no token: {reason}")]
    NoToken {
        /// Status of the answer.
        status: u16,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The value of an `Authorization` header for a user and a password.
///
/// # Errors
/// A colon in the user's name, control characters.
pub fn basic(user: &str, password: &str) -> Result<String, AuthError> {
    if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
        return Err(AuthError::Basic);
    }
    Ok(encoded(&format!("{user}:{password}")))
}

fn encoded(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// On whose behalf a token is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Grant<'a> {
    /// The client's own: RFC 6749, section 4.4.
    ClientCredentials,
    /// A user's: RFC 6749, section 4.3.
    Password {
        /// Name of the user.
        user: &'a str,
        /// Password of the user.
        password: &'a str,
    },
}

/// A request for a token: POST as `application/x-www-form-urlencoded`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The form.
    pub body: String,
    /// Value of the `Authorization` header; none for a client without a secret.
    pub authorization: Option<String>,
}

/// The request for a token. A client with a secret proves itself by Basic, which every server must take (RFC 6749,
/// section 2.3.1); one without names itself in the form.
pub fn token_request(
    grant: Grant<'_>,
    client_id: &str,
    client_secret: Option<&str>,
    scope: Option<&str>,
) -> TokenRequest {
    let mut form = Serializer::new(String::new());
    match grant {
        Grant::ClientCredentials => _ = form.append_pair("grant_type", "client_credentials"),
        Grant::Password { user, password } => {
            form.append_pair("grant_type", "password");
            form.append_pair("username", user);
            form.append_pair("password", password);
        }
    }
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    let authorization = client_secret.map(|secret| {
        let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        encoded(&format!("{}:{}", part(client_id), part(secret)))
    });
    if authorization.is_none() {
        form.append_pair("client_id", client_id);
    }
    TokenRequest { body: form.finish(), authorization }
}

/// A token that was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    token: String,
    /// For how long it holds, in seconds; none where the server does not say.
    pub expires_in_s: Option<u64>,
}

impl Token {
    /// The value of an `Authorization` header.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.token
    }

    /// After how many seconds a new one is asked for: a tenth before its end, but no more than half a minute.
    pub fn renew_after_s(&self) -> Option<u64> {
        self.expires_in_s.map(|life| life - (life / 10).min(RENEWAL_MARGIN_MAX_S))
    }
}

/// A token is a secret: none of these shows one.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenRequest").finish_non_exhaustive()
    }
}

impl fmt::Debug for Grant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientCredentials => "ClientCredentials",
            Self::Password { .. } => "Password",
        })
    }
}

/// Reads the answer to a request for a token (RFC 6749, sections 5.1 and 5.2).
///
/// # Errors
/// The server says no, with its code; the answer is no token, or none that goes into a header as `Bearer`.
pub fn read_token(status: u16, body: &[u8]) -> Result<Token, AuthError> {
    let no_token = |reason| AuthError::NoToken { status, reason };
    let answer: Value = serde_json::from_slice(body).map_err(|_| no_token("the body is no JSON"))?;
    if let Some(code) = answer.get("error").filter(|code| !code.is_null()) {
        return Err(refused(code.as_str().unwrap_or("no code")));
    }
    if !(200..300).contains(&status) {
        return Err(no_token("the status is no success"));
    }
    let token =
        answer.get("access_token").and_then(Value::as_str).ok_or_else(|| no_token("there is no access_token"))?;
    // What is not said is Bearer with many servers, though it must be said.
    let kind = answer.get("token_type").and_then(Value::as_str).unwrap_or("Bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(no_token("its token_type is not Bearer"));
    }
    if token.is_empty() || token.len() > TOKEN_MAX_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_token("its access_token is empty, too long, or not fit for a header"));
    }
    let expires_in_s = match answer.get("expires_in") {
        Some(Value::Number(number)) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64)),
        // Some servers write it as a text.
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    Ok(Token { token: token.to_owned(), expires_in_s })
}

fn refused(code: &str) -> AuthError {
    let hint = match code {
        "invalid_client" => "; look at client_id and client_secret",
        "invalid_grant" => "; look at user and password",
        "invalid_scope" => "; look at scope",
        "unauthorized_client" | "unsupported_grant_type" => "; the client may not use this grant",
        _ => "",
    };
    AuthError::Refused { code: shown(&code.replace(char::is_control, " ")), hint }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn basic_is_what_the_standard_shows() {
        // RFC 7617, section 2 and 2.1.
        assert_eq!(basic("Aladdin", "open sesame").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("test", "123£").unwrap(), "Basic dGVzdDoxMjPCow==");
        for (user, password) in [("a:b", "c"), ("a", "b\n"), ("a\0", "b")] {
            assert_eq!(basic(user, password), Err(AuthError::Basic));
        }
        assert!(basic("", ":").is_ok());
    }

    #[test]
    fn a_token_is_asked_for_as_the_standard_says() {
        let request = token_request(Grant::ClientCredentials, "my id", Some("s:e&t"), Some("a b"));
        assert_eq!(request.body, "grant_type=client_credentials&scope=a+b");
        // `my+id:s%3Ae%26t`, since the parts are encoded before they are joined.
        assert_eq!(request.authorization.as_deref(), Some("Basic bXkraWQ6cyUzQWUlMjZ0"));
        let grant = Grant::Password { user: "ada@x", password: "p&w" };
        let request = token_request(grant, "id", None, None);
        assert_eq!(request.body, "grant_type=password&username=ada%40x&password=p%26w&client_id=id");
        assert_eq!(request.authorization, None);
        assert!(!format!("{request:?} {grant:?}").contains("p&w"));
    }

    #[test]
    fn a_token_is_read_and_never_shown() {
        let body = json!({"access_token": "s3cret", "token_type": "bearer", "expires_in": 3600});
        let token = read_token(200, body.to_string().as_bytes()).unwrap();
        assert_eq!((token.authorization().as_str(), token.as_str()), ("Bearer s3cret", "s3cret"));
        assert_eq!((token.expires_in_s, token.renew_after_s()), (Some(3_600), Some(3_570)));
        assert!(!format!("{token:?}").contains("s3cret"));
        for (expires, seconds, renewed) in [
            (json!("100"), Some(100), Some(90)),
            (json!(5.9), Some(5), Some(5)),
            (json!(null), None, None),
            (json!(-1), Some(0), Some(0)),
        ] {
            let body = json!({"access_token": "t", "expires_in": expires}).to_string();
            let token = read_token(200, body.as_bytes()).unwrap();
            assert_eq!((token.expires_in_s, token.renew_after_s()), (seconds, renewed), "{body}");
        }
    }

    #[test]
    fn no_token_says_why() {
        let long = format!("{{\"access_token\": \"{}\"}}", "x".repeat(TOKEN_MAX_BYTES + 1));
        for (status, body, words) in [
            (400, r#"{"error": "invalid_grant"}"#, "refused: invalid_grant; look at user and password"),
            (200, r#"{"error": "odd\nthing"}"#, "the token server refused: odd thing"),
            (500, "<html>", "the token server answered 500 and no token: the body is no JSON"),
            (500, "{}", "the status is no success"),
            (200, "{}", "there is no access_token"),
            (200, r#"{"access_token": "a", "token_type": "mac"}"#, "its token_type is not Bearer"),
            (200, r#"{"access_token": "a\r\nX-Evil: 1"}"#, "not fit for a header"),
            (200, &long, "too long"),
        ] {
            let error = read_token(status, body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_answered_nothing_panics(
            status in any::<u16>(), body in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            drop(read_token(status, &body));
        }

        #[test]
        fn what_is_in_a_form_comes_back_from_it(user in any::<String>(), password in any::<String>()) {
            let body = token_request(Grant::Password { user: &user, password: &password }, "id", None, None).body;
            let pairs: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            prop_assert_eq!(&pairs[1..3], &[("username".to_owned(), user), ("password".to_owned(), password)]);
        }
    }
}
