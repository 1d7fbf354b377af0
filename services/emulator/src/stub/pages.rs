//! What the paths of the site are answered.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::Stub;
use super::site::{self, Denied, ITEMS_LISTED, Place};
use super::token;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Of what never runs out.
const NEVER_NS: u64 = u64::MAX;
/// The cookie of a session.
const SESSION: &str = "sid";

impl Stub {
    /// The answer of the site to request `number`.
    pub(crate) fn answer_of(&self, place: Place, number: u64, head: &Parts, sent: &[u8]) -> Response<Bytes> {
        match place {
            Place::Login => self.login(number, sent),
            Place::Logout => self.for_bearer(head, |_| json!({"ok": true})),
            Place::Account => self.for_bearer(head, |_| json!({"name": "somebody", "currency": "EUR"})),
            Place::Private => self.for_bearer(head, |_| json!({"secret": 42})),
            Place::Session => match site::cookie(head, SESSION).filter(|sid| self.is_good(sid)) {
                Some(_) => json_of(StatusCode::OK, &json!({"session": true})),
                None => json_of(StatusCode::UNAUTHORIZED, &json!({"error": "no cookie `sid` of a session"})),
            },
            Place::Items => {
                let items: Vec<Value> = (1..=ITEMS_LISTED).map(item).collect();
                json_of(StatusCode::OK, &json!({"items": items, "total": site::ITEMS, "ok": true}))
            }
            Place::Item(0) => json_of(StatusCode::NOT_FOUND, &json!({"error": "no such item"})),
            Place::Item(id) => json_of(StatusCode::OK, &item(id)),
            Place::Cart => json_of(StatusCode::OK, &json!({"items": [], "total_cents": 0})),
            Place::AddToCart => with(json_of(StatusCode::CREATED, &json!({"items": 1})), LOCATION, "/cart"),
            Place::Orders => json_of(StatusCode::OK, &json!({"orders": []})),
            Place::Buy => {
                // Numbers of requests begin at 0, those of orders at 1.
                let id = number.saturating_add(1);
                with(json_of(StatusCode::CREATED, &json!({"id": id})), LOCATION, &format!("/orders/{id}"))
            }
            Place::Order(0) => json_of(StatusCode::NOT_FOUND, &json!({"error": "no such order"})),
            Place::Order(id) => json_of(StatusCode::OK, &json!({"id": id, "state": "paid"})),
            Place::Token => self.token(number, head, sent),
            Place::Redirect(hops) => {
                let next = format!("/redirect/{}", hops.saturating_sub(1));
                with(plain(StatusCode::FOUND, "text/plain", String::new()), LOCATION, &next)
            }
            Place::Page(page) => {
                let hidden = token::make(self.config.seed, number, NEVER_NS);
                plain(StatusCode::OK, "text/html; charset=utf-8", site::html(page, &hidden))
            }
            Place::Form => {
                let fields = site::fields(sent);
                match site::field(&fields, "csrf").filter(|hidden| self.is_good(hidden)) {
                    Some(_) => json_of(StatusCode::OK, &json!({"ok": true})),
                    None => json_of(StatusCode::FORBIDDEN, &json!({"error": "the hidden field `csrf` is missing"})),
                }
            }
        }
    }

    fn is_good(&self, token: &str) -> bool {
        token::is_good(self.config.seed, token, self.wall.now_ns())
    }

    fn for_bearer(&self, head: &Parts, answer: impl FnOnce(&str) -> Value) -> Response<Bytes> {
        match site::bearer(head).filter(|token| self.is_good(token)) {
            Some(token) => json_of(StatusCode::OK, &answer(token)),
            None => {
                let error = json!({"error": "a bearer token of this server is wanted"});
                with(json_of(StatusCode::UNAUTHORIZED, &error), WWW_AUTHENTICATE, "Bearer realm=\"stub\"")
            }
        }
    }

    /// Anybody may log in whose password is not `wrong`.
    fn login(&self, number: u64, sent: &[u8]) -> Response<Bytes> {
        let fields = site::fields(sent);
        if site::field(&fields, "password") == Some(site::WRONG) {
            return json_of(StatusCode::UNAUTHORIZED, &json!({"error": "wrong password"}));
        }
        let given = token::make(self.config.seed, number, NEVER_NS);
        let user = site::field(&fields, "user").or_else(|| site::field(&fields, "email"));
        let answer = json_of(StatusCode::OK, &json!({"token": given, "user": user}));
        with(answer, SET_COOKIE, &format!("{SESSION}={given}; Path=/; HttpOnly"))
    }

    /// As RFC 6749, sections 4.3 and 4.4, has it.
    fn token(&self, number: u64, head: &Parts, sent: &[u8]) -> Response<Bytes> {
        let fields = site::fields(sent);
        if let Err(denied) = site::may_have_token(head, &fields) {
            let answer = json_of(denied.status(), &json!({"error": denied.name()}));
            return match denied {
                Denied::Client => with(answer, WWW_AUTHENTICATE, "Basic realm=\"stub\""),
                Denied::Request | Denied::Grant | Denied::GrantType => answer,
            };
        }
        let life_s = site::life_s(head.uri.query());
        let until_ns = self.wall.now_ns().saturating_add(u64::from(life_s).saturating_mul(SECOND_NS));
        let given = token::make(self.config.seed, number, until_ns);
        let mut answer = json!({"access_token": given, "token_type": "Bearer", "expires_in": life_s});
        if let (Some(scope), Some(map)) = (site::field(&fields, "scope"), answer.as_object_mut()) {
            map.insert("scope".to_owned(), scope.into());
        }
        with(json_of(StatusCode::OK, &answer), hyper::header::CACHE_CONTROL, "no-store")
    }
}

fn item(id: u32) -> Value {
    json!({"id": id, "name": format!("item {id}"), "price_cents": id * 100 - 1})
}

fn json_of(status: StatusCode, value: &Value) -> Response<Bytes> {
    plain(status, "application/json", value.to_string())
}

fn plain(status: StatusCode, media_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn with(mut response: Response<Bytes>, name: HeaderName, value: &str) -> Response<Bytes> {
    // Made of digits and of what we write ourselves.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
