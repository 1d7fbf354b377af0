//! The tokens: in the file, their hashes; in memory, for a while, what was verified.
//!
//! A token is `NAME.SECRET`: the name finds the line, so that a wrong one costs one hash and not one for each line.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::{PasswordHashString, SaltString};
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nuncius_schemas::names::check_token;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::scope::Scope;
use super::who::Who;
use crate::error::GatewayError;

/// Lines of a file.
const LINES_MAX: usize = 1_000;
/// Longest token, in bytes.
const TOKEN_MAX_BYTES: usize = 512;
/// Hashes that are computed at a time: each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Tokens that were verified and are remembered.
const KNOWN_MAX: usize = 1_024;

/// What is in the file.
#[derive(Debug)]
pub(super) struct Tokens {
    lines: Arc<BTreeMap<String, Line>>,
    /// By the digest of the token.
    known: Mutex<HashMap<[u8; 32], Who>>,
    at_once: Semaphore,
}

#[derive(Debug)]
struct Line {
    scope: Scope,
    hash: PasswordHashString,
}

impl Tokens {
    /// Reads a file: lines `NAME SCOPE HASH`, and lines that begin with `#`.
    pub(super) fn read(path: &Path) -> Result<Self, GatewayError> {
        let wrong = |problem: String| GatewayError::Tokens { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut lines = BTreeMap::new();
        for (number, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, line) = Line::parse(text).map_err(|problem| wrong(format!("line {number}: {problem}")))?;
            if lines.insert(name, line).is_some() {
                return Err(wrong(format!("line {number}: the name is there twice")));
            }
            if lines.len() > LINES_MAX {
                return Err(wrong(format!("more than {LINES_MAX} tokens")));
            }
        }
        if lines.is_empty() {
            return Err(wrong("there is no token in it; `nuncius gateway hash-token NAME` makes a line".to_owned()));
        }
        Ok(Self { lines: Arc::new(lines), known: Mutex::default(), at_once: Semaphore::new(AT_ONCE) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Who>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token it is, where that was verified before.
    pub(super) fn known(&self, token: &str) -> Option<Who> {
        self.lock().get(&digest(token)).cloned()
    }

    /// Whose token it is; none for a wrong one.
    pub(super) async fn verify(&self, token: &str) -> Option<Who> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let (name, _) = token.split_once('.')?;
        let scope = self.lines.get(name)?.scope;
        let _turn = self.at_once.acquire().await.ok()?;
        let (lines, name, secret) = (Arc::clone(&self.lines), name.to_owned(), token.to_owned());
        let verified = tokio::task::spawn_blocking(move || {
            let line = lines.get(&name)?;
            Argon2::default().verify_password(secret.as_bytes(), &line.hash.password_hash()).ok()?;
            Some(name)
        });
        let name = verified.await.ok()??;
        let who = Who { name: Some(name), scope };
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(digest(token), who.clone());
        Some(who)
    }
}

impl Line {
    fn parse(text: &str) -> Result<(String, Self), String> {
        let mut words = text.split_whitespace();
        let (Some(name), Some(scope), Some(hash), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("write NAME SCOPE HASH; `nuncius gateway hash-token NAME` makes a line".to_owned());
        };
        check_token("token", name).map_err(|error| error.to_string())?;
        let scope = scope.parse().map_err(|error| format!("scope `{}`: {error}", scope.escape_debug()))?;
        let hash = PasswordHash::new(hash).map_err(|_| "the hash is none of argon2".to_owned())?;
        if !hash.algorithm.as_str().starts_with("argon2") {
            return Err("the hash is none of argon2".to_owned());
        }
        Ok((name.to_owned(), Self { scope, hash: hash.serialize() }))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A token that was made, and the line for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// `NAME.SECRET`: shown once.
    pub token: String,
    /// `NAME SCOPE HASH`, for the file.
    pub line: String,
}

/// Makes a token of 256 random bits.
///
/// # Errors
/// A name that is no token of letters, digits, `_` and `-`; a machine without randomness.
pub fn new_token(name: &str, scope: Scope) -> Result<NewToken, GatewayError> {
    check_token("token", name).map_err(|error| GatewayError::Token(error.to_string()))?;
    let (secret, salt) = (random::<32>()?, random::<16>()?);
    let token = format!("{name}.{}", URL_SAFE_NO_PAD.encode(secret));
    let failed = |error: argon2::password_hash::Error| GatewayError::Token(error.to_string());
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    let hash = Argon2::default().hash_password(token.as_bytes(), &salt).map_err(failed)?;
    Ok(NewToken { line: format!("{name} {} {hash}", scope.name()), token })
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], GatewayError> {
    use std::io::Read;
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|error| GatewayError::Token(format!("/dev/urandom: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tokens, GatewayError> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nuncius-tokens-{}-{number}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let tokens = Tokens::read(&path);
        std::fs::remove_file(&path).unwrap();
        tokens
    }

    #[tokio::test]
    async fn a_token_is_let_in_with_its_scope_and_nobody_else() {
        let (ada, bob) = (new_token("ada", Scope::Admin).unwrap(), new_token("bob", Scope::Read).unwrap());
        let tokens = read(&format!("# who\n{}\n\n  {}  \n", ada.line, bob.line)).unwrap();
        assert_eq!(tokens.known(&ada.token), None);
        let who = tokens.verify(&ada.token).await.unwrap();
        assert_eq!((who.name.as_deref(), who.scope), (Some("ada"), Scope::Admin));
        assert_eq!(tokens.known(&ada.token), Some(who));
        assert_eq!(tokens.verify(&bob.token).await.unwrap().scope, Scope::Read);
        // The secret of one is none of another's.
        let swapped = ada.token.replace("ada.", "bob.");
        let long = format!("ada.{}", "x".repeat(10_000));
        for wrong in ["", ".", "ada", "ada.", "nobody.x", &swapped, &long, "ada.\u{0}"] {
            assert_eq!(tokens.verify(wrong).await, None, "{wrong}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_told_with_its_number() {
        let line = new_token("ada", Scope::Read).unwrap().line;
        for (text, told) in [
            (String::new(), "no token in it"),
            ("ada read".to_owned(), "line 1: write NAME SCOPE HASH"),
            (format!("#\n{}", line.replace(" read ", " root ")), "line 2: scope `root`: there are read"),
            (format!("{line}\n{line}"), "line 2: the name is there twice"),
            ("ada read plain".to_owned(), "none of argon2"),
            (line.replacen("ada", "a.b", 1), "token `a.b`"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(new_token("a b", Scope::Read).is_err());
    }
}
