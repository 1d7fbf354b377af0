//! The small site that the stub is beside all else: what scenarios need to log in, browse, buy and be sent on. It keeps
//! nothing: what it answers is a function of the request, its number and the seed, so that a million users cost no
//! memory.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::counters::Kind;

/// Items that there are, numbered from 1.
pub(crate) const ITEMS: u32 = 1_000;
/// Items of the list.
pub(crate) const ITEMS_LISTED: u32 = 10;
/// Most redirects that a path may ask for, one after the other.
const REDIRECTS_MAX: u32 = 100;

/// A path of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Login,
    Logout,
    Account,
    Private,
    Session,
    Items,
    /// 0 where there is no such item.
    Item(u32),
    Cart,
    AddToCart,
    Orders,
    Buy,
    /// 0 where there is no such order.
    Order(u64),
    Token,
    /// How many follow.
    Redirect(u32),
    Page(u32),
    Form,
}

impl Place {
    /// What a request is for, if it is for something of the site.
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        // Most requests of most loads.
        if path.len() <= 1 {
            return None;
        }
        if method == Method::POST {
            return match path {
                "/login" => Some(Self::Login),
                "/logout" => Some(Self::Logout),
                "/cart" => Some(Self::AddToCart),
                "/orders" => Some(Self::Buy),
                "/oauth/token" | "/oauth2/token" => Some(Self::Token),
                "/form" => Some(Self::Form),
                _ => None,
            };
        }
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        match path {
            "/account" => return Some(Self::Account),
            "/private" => return Some(Self::Private),
            "/session" => return Some(Self::Session),
            "/items" => return Some(Self::Items),
            "/cart" => return Some(Self::Cart),
            "/orders" => return Some(Self::Orders),
            "/page" => return Some(Self::Page(1)),
            _ => {}
        }
        if let Some(item) = path.strip_prefix("/items/") {
            return Some(Self::Item(item.parse().ok().filter(|item| *item <= ITEMS).unwrap_or(0)));
        }
        if let Some(order) = path.strip_prefix("/orders/") {
            return Some(Self::Order(order.parse().unwrap_or(0)));
        }
        if let Some(page) = path.strip_prefix("/page/") {
            return page.parse().ok().filter(|page| *page < u32::MAX).map(Self::Page);
        }
        let hops: u32 = path.strip_prefix("/redirect/")?.parse().ok()?;
        (1..=REDIRECTS_MAX).contains(&hops).then_some(Self::Redirect(hops))
    }

    /// What it counts as.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Login => Kind::Login,
            Self::Logout => Kind::Logout,
            Self::Account => Kind::Account,
            Self::Private => Kind::Private,
            Self::Session => Kind::Session,
            Self::Items => Kind::Items,
            Self::Item(_) => Kind::Item,
            Self::Cart => Kind::Cart,
            Self::AddToCart => Kind::CartAdded,
            Self::Orders => Kind::Orders,
            Self::Buy => Kind::OrderMade,
            Self::Order(_) => Kind::Order,
            Self::Token => Kind::Token,
            Self::Redirect(_) => Kind::Redirect,
            Self::Page(_) => Kind::Page,
            Self::Form => Kind::Form,
        }
    }

    /// Whether what is sent along decides about the answer.
    pub(crate) const fn wants_body(self) -> bool {
        match self {
            Self::Login | Self::Token | Self::Form => true,
            Self::Logout
            | Self::Account
            | Self::Private
            | Self::Session
            | Self::Items
            | Self::Item(_)
            | Self::Cart
            | Self::AddToCart
            | Self::Orders
            | Self::Buy
            | Self::Order(_)
            | Self::Redirect(_)
            | Self::Page(_) => false,
        }
    }
}

/// The token of a header `Authorization`, by the scheme `Bearer`.
pub(crate) fn bearer(head: &Parts) -> Option<&str> {
    let value = head.headers.get(hyper::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let fields = head.headers.get_all(hyper::header::COOKIE).iter();
    let mut pairs = fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(';'));
    pairs.find_map(|pair| pair.trim().split_once('=').filter(|(known, _)| *known == name)).map(|(_, value)| value)
}

/// The fields of a body, of a form or of JSON; only texts of the latter.
pub(crate) fn fields(body: &[u8]) -> Vec<(String, String)> {
    if body.first() == Some(&b'{') {
        let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(body) else { return Vec::new() };
        let text = |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.to_owned()));
        return map.into_iter().filter_map(text).collect();
    }
    form_urlencoded::parse(body).into_owned().collect()
}

/// The first field of this name.
pub(crate) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Why a token server gives no token, in the words of RFC 6749, section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Request,
    Client,
    Grant,
    GrantType,
}

impl Denied {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Client => StatusCode::UNAUTHORIZED,
            Self::Request | Self::Grant | Self::GrantType => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Request => "invalid_request",
            Self::Client => "invalid_client",
            Self::Grant => "invalid_grant",
            Self::GrantType => "unsupported_grant_type",
        }
    }
}

/// Whether a token server gives a token: to any client with any secret, and to any user whose password is not `wrong`.
pub(crate) fn may_have_token(head: &Parts, fields: &[(String, String)]) -> Result<(), Denied> {
    let of_header = head.headers.get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let has_header = of_header.is_some_and(|value| value.get(..6).is_some_and(|s| s.eq_ignore_ascii_case("basic ")));
    if !has_header && field(fields, "client_id").is_none_or(str::is_empty) {
        return Err(Denied::Client);
    }
    match field(fields, "grant_type") {
        Some("client_credentials") => Ok(()),
        Some("password") => match (field(fields, "username"), field(fields, "password")) {
            (Some(_), Some(WRONG)) => Err(Denied::Grant),
            (Some(_), Some(_)) => Ok(()),
            (None, _) | (_, None) => Err(Denied::Request),
        },
        Some(_) => Err(Denied::GrantType),
        None => Err(Denied::Request),
    }
}

/// The one password that nobody has.
pub(crate) const WRONG: &str = "wrong";

/// How long a token of the token server holds, in seconds, where the query of its path does not say (`?expires_in=2`).
pub(crate) const TOKEN_LIFE_S: u32 = 3_600;

/// What the query says of the life of a token, in seconds.
pub(crate) fn life_s(query: Option<&str>) -> u32 {
    let asked = query.and_then(|query| query.strip_prefix("expires_in=")).and_then(|seconds| seconds.parse().ok());
    asked.unwrap_or(TOKEN_LIFE_S)
}

/// A page with a link to the next, and a form with a hidden field that the form wants back.
pub(crate) fn html(page: u32, hidden: &str) -> String {
    let next = page.saturating_add(1);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Page {page}</title></head>\n<body>\n\
         <h1>Page {page}</h1>\n<p><a class=\"next\" href=\"/page/{next}\">next</a></p>\n\
         <form action=\"/form\" method=\"post\">\n<input type=\"hidden\" name=\"csrf\" value=\"{hidden}\">\n\
         <input name=\"text\"><button>send</button>\n</form>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn paths_of_the_site_are_told_from_all_others() {
        for (method, path, place) in [
            (Method::POST, "/login", Some(Place::Login)),
            (Method::GET, "/login", None),
            (Method::GET, "/", None),
            (Method::GET, "", None),
            (Method::GET, "/item", None),
            (Method::GET, "/items", Some(Place::Items)),
            (Method::HEAD, "/items/7", Some(Place::Item(7))),
            (Method::GET, "/items/1001", Some(Place::Item(0))),
            (Method::GET, "/items/x", Some(Place::Item(0))),
            (Method::DELETE, "/items/7", None),
            (Method::POST, "/oauth/token", Some(Place::Token)),
            (Method::POST, "/oauth2/token", Some(Place::Token)),
            (Method::GET, "/redirect/2", Some(Place::Redirect(2))),
            (Method::GET, "/redirect/0", None),
            (Method::GET, "/redirect/101", None),
            (Method::GET, "/page", Some(Place::Page(1))),
            (Method::GET, "/page/9", Some(Place::Page(9))),
            (Method::GET, "/page/4294967295", None),
            (Method::GET, "/orders/12", Some(Place::Order(12))),
        ] {
            assert_eq!(Place::of(&method, path), place, "{method} {path}");
        }
    }

    fn head(fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn tokens_and_cookies_are_found_among_others() {
        assert_eq!(bearer(&head(&[("authorization", "bearer  abc")])), Some("abc"));
        assert_eq!(bearer(&head(&[("authorization", "Basic abc")])), None);
        assert_eq!(bearer(&head(&[])), None);
        let head = head(&[("cookie", "a=1; sid=x.y"), ("cookie", "b=2")]);
        assert_eq!((cookie(&head, "sid"), cookie(&head, "b"), cookie(&head, "si")), (Some("x.y"), Some("2"), None));
    }

    #[test]
    fn a_token_is_given_as_the_protocol_says() {
        let given = |fields: &str, authorization: &[(&str, &str)]| {
            may_have_token(&head(authorization), &super::fields(fields.as_bytes()))
        };
        assert_eq!(given("grant_type=client_credentials&client_id=a", &[]), Ok(()));
        assert_eq!(given("grant_type=client_credentials", &[("authorization", "Basic YTpi")]), Ok(()));
        assert_eq!(given("grant_type=client_credentials", &[]), Err(Denied::Client));
        assert_eq!(given("grant_type=password&client_id=a&username=u&password=p%20q", &[]), Ok(()));
        assert_eq!(given("grant_type=password&client_id=a&username=u&password=wrong", &[]), Err(Denied::Grant));
        assert_eq!(given("grant_type=password&client_id=a&username=u", &[]), Err(Denied::Request));
        assert_eq!(given("grant_type=device_code&client_id=a", &[]), Err(Denied::GrantType));
        assert_eq!(given("client_id=a", &[]), Err(Denied::Request));
    }

    #[test]
    fn fields_are_read_from_forms_and_from_json() {
        assert_eq!(field(&fields(b"a=1&b=x+y"), "b"), Some("x y"));
        assert_eq!(field(&fields(br#"{"a": 1, "b": "x y"}"#), "b"), Some("x y"));
        assert!(fields(b"{broken").is_empty());
        assert_eq!((life_s(Some("expires_in=2")), life_s(Some("x=1")), life_s(None)), (2, 3_600, 3_600));
    }
}
