//! JSONPath (RFC 9535, crate `serde_json_path`), with a bound on what a query may cost.
//!
//! The library has no bound of its own, and `$..*..*` of a deep body gives far more values than the body has. So the
//! text of a query is looked at before it is read, and what it can cost on a body is estimated from above before it is
//! asked.

use serde_json::Value;
use serde_json_path::JsonPath;

use crate::body::{Body, Extent, JsonError};
use crate::compile_error::{CompileError, JSON_PATH_MAX_BYTES};
use crate::error::shown;

mod shape;

use shape::Shape;

/// Most values that a query may give or pass on, as estimated from above.
pub const JSON_PATH_RESULTS_MAX: u64 = 1_000_000;
/// Most values that a query may look at, as estimated from above.
pub const JSON_PATH_VISITS_MAX: u64 = 100_000_000;

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The body is no JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It would cost too much.
    #[error(
        "the JSONPath may look at more than {JSON_PATH_VISITS_MAX} values of this body, or give more than \
         {JSON_PATH_RESULTS_MAX}; use `..`, `$` in filters, match() and search() less often in it"
    )]
    TooCostly,
}

/// A query, read once.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    path: JsonPath,
    shape: Shape,
}

impl Query {
    /// Reads a query.
    pub(crate) fn compile(text: &str) -> Result<Self, CompileError> {
        let wrong = |reason: String| CompileError::JsonPath { path: shown(text), reason };
        if text.len() > JSON_PATH_MAX_BYTES {
            return Err(wrong(format!("{} bytes long, at most {JSON_PATH_MAX_BYTES}", text.len())));
        }
        if !text.starts_with('$') {
            return Err(wrong("it begins with $, as in $.token".to_owned()));
        }
        let shape = Shape::of(text).map_err(wrong)?;
        let path = JsonPath::parse(text)
            .map_err(|error| wrong(format!("{} at column {}", error.message(), error.position() + 1)))?;
        Ok(Self { path, shape })
    }

    /// The values that it gives, in their order.
    pub(crate) fn values<'b>(&self, body: &'b Body<'_>) -> Result<Vec<&'b Value>, QueryError> {
        let json = body.json()?;
        // Only what can multiply needs the body to be measured.
        if !self.shape.is_plain() {
            self.admit(body.extent())?;
        }
        Ok(self.path.query(json).all())
    }

    fn admit(&self, extent: Extent) -> Result<(), QueryError> {
        let cost = self.shape.cost(extent);
        let fits = cost.results <= JSON_PATH_RESULTS_MAX && cost.visits <= JSON_PATH_VISITS_MAX;
        if fits { Ok(()) } else { Err(QueryError::TooCostly) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn asked(path: &str, body: &str) -> Result<Vec<Value>, String> {
        let query = Query::compile(path).map_err(|error| error.to_string())?;
        let body = Body::new(body.as_bytes());
        let values = query.values(&body).map_err(|error| error.to_string())?;
        Ok(values.into_iter().cloned().collect())
    }

    #[test]
    fn queries_give_what_the_standard_says() {
        // The store of RFC 9535, section 1.5, shortened.
        let store = r#"{"store": {"book": [{"author": "Rees", "price": 8.95}, {"author": "Waugh", "price": 12.99},
            {"author": "Melville", "isbn": "0-553", "price": 8.99}], "bicycle": {"color": "red", "price": 399}}}"#;
        for (path, expected) in [
            ("$.store.book[0].author", json!(["Rees"])),
            ("$.store.book[*].author", json!(["Rees", "Waugh", "Melville"])),
            ("$..author", json!(["Rees", "Waugh", "Melville"])),
            ("$.store.book[-1].isbn", json!(["0-553"])),
            ("$.store.book[0,1].price", json!([8.95, 12.99])),
            ("$.store.book[:2].author", json!(["Rees", "Waugh"])),
            ("$.store.book[?@.isbn].author", json!(["Melville"])),
            ("$.store.book[?@.price < 9 && @.author != 'Rees'].author", json!(["Melville"])),
            ("$.store.book[?match(@.author, 'W.*')].price", json!([12.99])),
            ("$.store.book[?search(@.author, 'el|ee')].price", json!([8.95, 8.99])),
            ("$.store.book[?@.price < $.store.bicycle.price].price", json!([8.95, 12.99, 8.99])),
            ("$['store']['bicycle'][\"color\"]", json!(["red"])),
            ("$.nope", json!([])),
            ("$.store.book[?length(@.author) == 4].author", json!(["Rees"])),
            ("$.store.book[?count(@.*) > 2].author", json!(["Melville"])),
        ] {
            assert_eq!(asked(path, store).map(Value::Array), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused_in_words() {
        let long = format!("${}", ".a".repeat(JSON_PATH_MAX_BYTES));
        for (path, words) in [
            ("", "it begins with $"),
            ("token", "it begins with $"),
            ("$.", "is not a JSONPath (RFC 9535): "),
            ("$[?@.a", "is not a JSONPath"),
            ("$[?nope(@.a)]", "is not a JSONPath"),
            (&long, "2049 bytes long, at most 1024"),
            (&format!("$[?{}@.a{}]", "(".repeat(500), ")".repeat(500)), "nested deeper than 8"),
            (&format!("$[?{}@.a{}]", "length(".repeat(100), ")".repeat(100)), "nested deeper than 8"),
            ("$[?match(@.a, @.b)]", "a pattern of match() and search() is written out"),
            ("$[?search(@.a, '((a{1000}){1000}){1000}')]", "repeat less"),
        ] {
            let error = asked(path, "{}").unwrap_err();
            assert!(error.contains(words), "{path}: {error}");
        }
    }

    #[test]
    fn a_query_that_would_multiply_is_refused_before_it_is_asked() {
        let deep = format!("{}{}{}", "[".repeat(120), vec!["1"; 20_000].join(","), "]".repeat(120));
        for path in [
            "$..*..*",
            "$..*..*..*..*",
            "$[?$..*]..*",
            "$..[?@..[?@..*]]",
            "$..[?match(@, '.*')]",
            "$..[?search(@, 'a')]",
        ] {
            let error = asked(path, &deep).unwrap_err();
            assert!(error.contains("100000000 values") && error.contains("1000000"), "{path}: {error}");
        }
        let many = format!("${}", "[*,*,*,*]".repeat(12));
        let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert!(asked(&many, &nested).is_err());
        assert_eq!(asked("$..*", &deep).unwrap().len(), 20_119);
        assert_eq!(asked("$..*..*", "[[[1]]]").unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_of_whatever_nothing_panics(
            path in "\\$(\\.|\\[|\\]|\\*|\\?|@|a|b|'|\"|,|:|-|[0-9]|\\(|\\)|<|==|&&|!|length|match|value|\\$| ){0,30}",
            body in "(\\{\"a\":|\\[|1|\\]|\\}|\"b\"|,|null){0,20}",
        ) {
            drop(asked(&path, &body));
            drop(asked(&path, "{\"a\": [1, {\"b\": [\"c\", null]}], \"b\": {\"a\": 2}}"));
        }

        #[test]
        fn a_plain_path_finds_what_was_put_there(
            keys in proptest::collection::vec("[a-z]{1,5}", 1..6), value in any::<i64>(),
        ) {
            let mut body = json!(value);
            for key in keys.iter().rev() {
                body = json!({key.as_str(): [body]});
            }
            let path = keys.iter().fold("$".to_owned(), |path, key| format!("{path}.{key}[0]"));
            prop_assert_eq!(asked(&path, &body.to_string()), Ok(vec![json!(value)]));
        }
    }
}
