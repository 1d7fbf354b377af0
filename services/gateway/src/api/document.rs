//! The OpenAPI document, made from the endpoints and the types.

use bytes::Bytes;
use hyper::Method;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use axum::Extension;
use axum::response::Response;

use super::asked::Asked;
use super::changes::HEADER_REASON;
use super::endpoint::PREFIX;
use super::endpoint::{Content, Endpoint, constant};
use crate::access::Scope;
use crate::answer;
use crate::problem::ProblemTold;

/// The document as it is served.
#[derive(Debug, Clone)]
pub(crate) struct Document(Bytes);

impl Document {
    pub(crate) fn new(endpoints: &[Endpoint], base_path: &str) -> Self {
        let document = describe(endpoints, base_path);
        Self(serde_json::to_vec(&document).unwrap_or_default().into())
    }
}

/// Where the document is.
pub(crate) fn endpoint(document: Document) -> Endpoint {
    let about = "This document.";
    let endpoint = Endpoint::new(Method::GET, "/openapi.json", "openapi", about, give);
    constant(endpoint.gives(hyper::StatusCode::OK, Some(Content::of(&["application/json"]))), document)
}

async fn give(Extension(document): Extension<Document>, asked: Asked) -> Response {
    answer::with_tag(&asked.headers, "application/json", document.0, None)
}

pub(super) fn describe(endpoints: &[Endpoint], base_path: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemTold>();
    let mut content = |content: &Content| {
        let schema = content.schema.map(|schema| schema(&mut generator));
        let media = schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
        content.types.iter().map(|kind| ((*kind).to_owned(), media.clone())).collect::<Map<String, Value>>()
    };
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let mut answers = Map::new();
        for (status, carried) in &endpoint.answers {
            let mut answer = json!({ "description": status.canonical_reason().unwrap_or("done") });
            if let (Some(carried), Some(object)) = (carried, answer.as_object_mut()) {
                object.insert("content".to_owned(), Value::Object(content(carried)));
            }
            answers.insert(status.as_str().to_owned(), answer);
        }
        answers.insert(
            "default".to_owned(),
            json!({ "description": "what is wrong", "content": { "application/problem+json": { "schema": problem } } }),
        );
        let in_path = words(endpoint.path).map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        });
        let in_query = endpoint.parameters.iter().map(super::parameter::Parameter::described);
        let in_head = endpoint.headers.iter().map(|(name, about)| {
            json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } })
        });
        let why = (endpoint.scope != Scope::Read).then(|| {
            let about = "Why, for the audit: at most 500 characters.";
            json!({ "name": HEADER_REASON, "in": "header", "description": about, "schema": { "type": "string" } })
        });
        let parameters: Vec<Value> = in_path.chain(in_query).chain(in_head).chain(why).collect();
        let mut operation = json!({
            "operationId": endpoint.id,
            "summary": endpoint.about,
            "tags": [endpoint.path.split('/').nth(1).unwrap_or_default()],
            "parameters": parameters,
            "responses": answers,
            "security": [{ "token": [] }, { "session": [] }, {}],
            "x-scope": endpoint.scope.name(),
        });
        if let (Some(body), Some(object)) = (&endpoint.body, operation.as_object_mut()) {
            let body = json!({ "required": endpoint.needs_body, "content": content(body) });
            object.insert("requestBody".to_owned(), body);
        }
        let path = paths.entry(format!("{PREFIX}{}", endpoint.path)).or_insert_with(|| json!({}));
        if let Some(object) = path.as_object_mut() {
            object.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let server = if base_path.is_empty() { "/" } else { base_path };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nuncius",
            "summary": "Distributed load experiments.",
            "description": "docs/rest.md tells of it with examples.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": server }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "NAME.SECRET of --token-file" },
                "session": { "type": "apiKey", "in": "cookie", "name": "nuncius_session" },
            },
        },
    })
}

/// The names between braces.
fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere_and_every_operation_has_its_own_name() {
        let endpoints = super::super::endpoints();
        let document = describe(&endpoints, "");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let reference = reference.split('"').next().unwrap();
            let name = reference.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{reference}"));
            assert!(schemas.contains_key(name), "{reference}");
        }
        let ids: BTreeSet<&str> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(ids.len(), endpoints.len());
        for endpoint in &endpoints {
            let path = &document["paths"][format!("{PREFIX}{}", endpoint.path)];
            let operation = &path[endpoint.method.as_str().to_ascii_lowercase()];
            assert_eq!(operation["operationId"], endpoint.id);
            assert!(!endpoint.answers.is_empty(), "{}", endpoint.id);
        }
    }
}
