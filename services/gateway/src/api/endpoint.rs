//! A path with a method: what it takes and gives, who may ask, and its handler.

use axum::Extension;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::asked::{check_query, peer_of};
use super::parameter::Parameter;
use super::state::ApiState;
use crate::access::Scope;

/// Where the interface is.
pub(crate) const PREFIX: &str = "/api/v1";

/// Makes the schema of a body.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request or an answer carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) types: &'static [&'static str],
    pub(crate) schema: Option<SchemaOf>,
}

impl Content {
    /// JSON of this type.
    pub(crate) fn json<T: JsonSchema>() -> Self {
        Self { types: &["application/json"], schema: Some(schema_of::<T>) }
    }

    /// Something else.
    pub(crate) const fn of(types: &'static [&'static str]) -> Self {
        Self { types, schema: None }
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A path with a method.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) scope: Scope,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: Option<Content>,
    /// Without a body it makes no sense.
    pub(crate) needs_body: bool,
    pub(crate) answers: Vec<(StatusCode, Option<Content>)>,
    handler: MethodRouter<ApiState>,
}

impl Endpoint {
    pub(crate) fn new<T: 'static>(
        method: Method,
        path: &'static str,
        id: &'static str,
        about: &'static str,
        handler: impl Handler<T, ApiState>,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let scope = if method == Method::GET { Scope::Read } else { Scope::Control };
        Self {
            method,
            path,
            id,
            about,
            scope,
            parameters: &[],
            headers: &[],
            body: None,
            needs_body: false,
            answers: Vec::new(),
            handler: on(filter, handler),
        }
    }

    /// Who may ask.
    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// What may stand after the `?`.
    pub(crate) fn parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Headers that mean something here, each with what.
    pub(crate) fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    /// What the request carries.
    pub(crate) fn takes(mut self, content: Content) -> Self {
        self.needs_body = true;
        self.may_take(content)
    }

    /// What the request may carry.
    pub(crate) fn may_take(mut self, content: Content) -> Self {
        self.body = Some(content);
        self
    }

    /// What is answered when all is well.
    pub(crate) fn gives(mut self, status: StatusCode, content: Option<Content>) -> Self {
        self.answers.push((status, content));
        self
    }

    /// JSON of a type, with 200.
    pub(crate) fn gives_json<T: JsonSchema>(self) -> Self {
        self.gives(StatusCode::OK, Some(Content::json::<T>()))
    }

    /// Its handler behind its door.
    pub(crate) fn guarded(self, state: &ApiState) -> MethodRouter<ApiState> {
        let door = Door { api: state.clone(), scope: self.scope, parameters: self.parameters };
        self.handler.layer(from_fn_with_state(door, guard))
    }
}

#[derive(Debug, Clone)]
struct Door {
    api: ApiState,
    scope: Scope,
    parameters: &'static [Parameter],
}

async fn guard(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let peer = peer_of(&request).ip();
    let who = match door.api.access().admit(request.headers(), peer, door.scope).await {
        Ok(who) => who,
        Err(problem) => return problem.into_response(),
    };
    if let Err(problem) = check_query(request.uri().query(), door.parameters) {
        return problem.into_response();
    }
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// A handler that only hands out what it was made with.
pub(crate) fn constant<T: Clone + Send + Sync + 'static>(endpoint: Endpoint, value: T) -> Endpoint {
    Endpoint { handler: endpoint.handler.layer(Extension(value)), ..endpoint }
}
