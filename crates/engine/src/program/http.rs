//! From a request of a step to an action: everything that can be known before the load is worked out here.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use nuncius_scenario::TemplateError;
use nuncius_scenario::capture::Capture;
use nuncius_scenario::check::{Check, Test};
use nuncius_scenario::compile_error::CompileError;
use nuncius_scenario::json_template::JsonTemplate;
use nuncius_scenario::names::Names;
use nuncius_scenario::template::Template;
use nuncius_schemas::flow::template::has_template;
use nuncius_schemas::flow::{
    self, CaptureFrom, Condition, HttpStep, HttpVerb, OnCheckFailure, Op, Part, Payload, Step, Subject,
};
use nuncius_schemas::spec::{BODY_LIMIT_DEFAULT_BYTES, Connections, Group, Method};
use nuncius_script::{Exports, FunctionId};

use super::action::{Action, CallPlan};
use super::amqp::Brokers;
use super::auth::{AuthPlan, Identities};
use super::compile::Sender;
use super::message::ChannelNames;
use super::nats::NatsServers;
use super::render::{as_http, split_url};
use super::request::{Address, BodyPlan, HttpAction, PartContent, PartPlan};
use super::taking::{CheckPlan, Taking};
use super::target::Targets;
use super::text::{Text, push_parameter, push_path};
use crate::error::PlanError;
use crate::http::decode;
use crate::http::outgoing::{is_reserved, is_token};
use crate::http::received::Wanted;
use crate::plan::request::{StatusSet, USER_AGENT};

/// Largest file that is sent, in bytes. It is kept in memory once for each node.
pub(crate) const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What actions of a group are compiled with.
pub(crate) struct Workshop<'a> {
    /// Path of the group.
    pub(crate) path: &'a str,
    pub(crate) group: &'a Group,
    /// The path of the group's target, without a slash at its end, and its query.
    pub(crate) base: (&'a str, &'a str),
    pub(crate) names: &'a mut Names,
    pub(crate) targets: &'a mut Targets,
    pub(crate) identities: &'a mut Identities,
    pub(crate) channels: &'a mut ChannelNames,
    pub(crate) nats_servers: &'a mut NatsServers,
    pub(crate) brokers: &'a mut Brokers,
    /// Of the group itself.
    pub(crate) auth: AuthPlan,
    /// Functions of the script, and its name.
    pub(crate) exports: Option<&'a Exports>,
    /// Where files are.
    pub(crate) bundle: Option<&'a Path>,
}

impl Workshop<'_> {
    pub(super) fn refuse(&self, field: &str, problem: impl Into<String>) -> PlanError {
        PlanError::Field { field: format!("{}.{field}", self.path), problem: problem.into() }
    }

    pub(super) fn template(&mut self, field: &str, text: &str) -> Result<Template, PlanError> {
        Template::parse(text, self.names).map_err(|error| self.of_template(field, &error))
    }

    pub(super) fn text(&mut self, field: &str, text: &str) -> Result<Text, PlanError> {
        Text::parse(text, self.names).map_err(|error| self.of_template(field, &error))
    }

    pub(super) fn of_template(&self, field: &str, error: &TemplateError) -> PlanError {
        self.refuse(field, error.to_string())
    }

    fn of_compile(&self, field: &str, error: &CompileError) -> PlanError {
        self.refuse(field, error.to_string())
    }

    /// The action of a step that sends something.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn action(&mut self, sender: &Sender<'_>) -> Result<Action, PlanError> {
        let (number, path) = (sender.number, &sender.path);
        let at = |verb: &str| format!("{path}.{verb}");
        match &sender.step.op {
            Some(Op::Ws(step)) => Ok(Action::Ws(Box::new(self.ws(number, &at("ws"), step)?))),
            Some(Op::SocketIo(step)) => Ok(Action::SocketIo(Box::new(self.socketio(number, &at("socketio"), step)?))),
            Some(Op::Nats(step)) => Ok(Action::Nats(Box::new(self.nats(number, &at("nats"), step)?))),
            None
            | Some(
                Op::Http(..)
                | Op::Think(_)
                | Op::Set(_)
                | Op::Loop(_)
                | Op::If(_)
                | Op::Parallel(_)
                | Op::Call(_)
                | Op::Log(_),
            ) => {
                let Step { publish, consume, job, .. } = sender.step;
                if let Some(publish) = publish {
                    return Ok(Action::Amqp(Box::new(self.publish(number, &at("publish"), publish)?)));
                }
                if let Some(consume) = consume {
                    return Ok(Action::Amqp(Box::new(self.consume(number, &at("consume"), consume)?)));
                }
                if let Some(job) = job {
                    return Ok(Action::Job(Box::new(self.job(number, &at("job"), job)?)));
                }
                let Some((verb, request)) = sender.step.request() else {
                    return Err(self.refuse(path, "belongs to another engine than `engine: http`"));
                };
                // Requests of version 1 have no verb, and their URL is a path.
                let (at, url_field) = match &sender.step.op {
                    Some(_) => (at(verb.name()), "url"),
                    None => (path.clone(), "path"),
                };
                Ok(Action::Http(Box::new(self.request(number, (&at, url_field), verb, request.as_ref())?)))
            }
        }
    }

    /// The action of a request whose path in the specification is `at`; `url_field` is what holds its URL there.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn request(
        &mut self,
        step: u16,
        (at, url_field): (&str, &str),
        verb: HttpVerb,
        request: &HttpStep,
    ) -> Result<HttpAction, PlanError> {
        let method = match verb {
            HttpVerb::Request => request.method.as_ref().map_or("GET", Method::name),
            HttpVerb::Get
            | HttpVerb::Post
            | HttpVerb::Put
            | HttpVerb::Patch
            | HttpVerb::Delete
            | HttpVerb::Head
            | HttpVerb::Options => verb.method().unwrap_or("GET"),
        };
        let timeout_ns = request.timeout.unwrap_or(self.group.timeout).0.max(1);
        let auth = match &request.auth {
            Some(auth) => self.auth(&format!("{at}.auth"), auth, timeout_ns)?,
            None => self.auth,
        };
        let (body, content_type) = self.body(at, request)?;
        let fields = self.fields(at, request, content_type, auth)?;
        let mut query = Vec::new();
        for (name, texts) in &request.query {
            let mut encoded = String::new();
            push_parameter(&mut encoded, name);
            for text in texts.as_slice() {
                query.push((encoded.as_str().into(), self.text(&format!("{at}.query.{name}"), text)?));
            }
        }
        let mut expected = StatusSet::default();
        match &request.expect {
            Some(expect) => expect.status.codes().for_each(|status| expected.insert(status)),
            None => (200..400).for_each(|status| expected.insert(status)),
        }
        let taking = self.taking(at, &request.capture, &request.checks, request.on_check_failure)?;
        let before = self.function(&format!("{at}.before_request"), request.before_request.as_deref())?;
        let after = self.function(&format!("{at}.after_response"), request.after_response.as_deref())?;
        let wants_fields = request.capture.values().any(|capture| matches!(capture.from, CaptureFrom::Header(_)))
            || request.checks.iter().any(|check| matches!(check.subject, Subject::Header(_)));
        let wants_body = taking.captures.iter().any(|(_, _, capture)| capture.needs_body())
            || taking.checks.iter().any(|check| check.check.needs_body());
        let limit = self.group.body_limit.map_or(BODY_LIMIT_DEFAULT_BYTES, |limit| limit.0);
        Ok(HttpAction {
            step,
            method: method.into(),
            address: self.address(&format!("{at}.{url_field}"), &request.url)?,
            query: query.into(),
            fields: fields.into(),
            body,
            auth,
            timeout_ns,
            redirects: request.redirects.unwrap_or(self.group.redirects),
            expected,
            taking,
            before,
            after,
            wanted: Wanted {
                fields: wants_fields || after.is_some(),
                body: wants_body || after.is_some(),
                body_max_bytes: usize::try_from(limit).unwrap_or(usize::MAX),
            },
        })
    }

    /// The call of a function.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn call(&mut self, sender: &Sender<'_>) -> Result<CallPlan, PlanError> {
        let name = match &sender.step.op {
            Some(Op::Call(name)) => Some(name.as_str()),
            None
            | Some(
                Op::Http(..)
                | Op::Ws(_)
                | Op::SocketIo(_)
                | Op::Nats(_)
                | Op::Think(_)
                | Op::Set(_)
                | Op::Loop(_)
                | Op::If(_)
                | Op::Parallel(_)
                | Op::Log(_),
            ) => None,
        };
        let field = format!("{}.call", sender.path);
        let function = self.function(&field, name)?.ok_or_else(|| self.refuse(&field, "names no function"))?;
        Ok(CallPlan {
            step: sender.number,
            function,
            timeout_ns: self.group.timeout.0.max(1),
            redirects: self.group.redirects,
        })
    }

    /// Who a request is sent as. `field` is below that of the group.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn auth(&mut self, field: &str, auth: &flow::Auth, timeout_ns: u64) -> Result<AuthPlan, PlanError> {
        let field = format!("{}.{field}", self.path);
        let Self { identities, names, targets, base, .. } = self;
        let (base_path, _) = *base;
        identities.plan(&field, auth, timeout_ns, names, |field, url| {
            let (target, path) = match split_url(url) {
                Some((origin, rest)) => (targets.number(field, origin)?, rest.to_owned()),
                None => (0, format!("{base_path}{url}")),
            };
            let mut encoded = String::new();
            push_path(&mut encoded, if path.is_empty() { "/" } else { &path });
            Ok((target, encoded.into()))
        })
    }

    /// A function of the script.
    ///
    /// # Errors
    /// There is no such function.
    pub(crate) fn function(&self, field: &str, name: Option<&str>) -> Result<Option<FunctionId>, PlanError> {
        let Some(name) = name else { return Ok(None) };
        let Some(exports) = self.exports else {
            return Err(self.refuse(field, "names a function, but the group has no `script`"));
        };
        match exports.get(name) {
            Some(function) => Ok(Some(function)),
            None => {
                let known: Vec<&str> = exports.names().collect();
                let problem = format!("the script exports no function `{name}`; it exports {}", known.join(", "));
                Err(self.refuse(field, problem))
            }
        }
    }

    fn address(&mut self, field: &str, url: &str) -> Result<Address, PlanError> {
        let (base_path, base_query) = self.base;
        if url.is_empty() {
            let path = if base_path.is_empty() { "/" } else { base_path };
            return Ok(Address::Constant(0, format!("{path}{base_query}").into()));
        }
        if url.starts_with('/') {
            let before = base_path.to_owned();
            return self.path(field, 0, before, url);
        }
        let url = as_http(url);
        let url = url.as_ref();
        match split_url(url) {
            Some((origin, rest)) if !has_template(origin) => {
                let target = self.targets.number(&format!("{}.{field}", self.path), origin)?;
                let before = if rest.starts_with('/') { "" } else { "/" };
                self.path(field, target, before.to_owned(), rest)
            }
            Some(_) | None => Ok(Address::Made(self.template(field, url)?)),
        }
    }

    /// A path behind one that is constant.
    fn path(&mut self, field: &str, target: u32, mut before: String, path: &str) -> Result<Address, PlanError> {
        let template = self.template(field, path)?;
        match template.constant() {
            Some(path) => {
                push_path(&mut before, path.split('#').next().unwrap_or_default());
                Ok(Address::Constant(target, before.into()))
            }
            None => Ok(Address::Path(target, before.into(), template)),
        }
    }

    fn fields(
        &mut self,
        at: &str,
        request: &HttpStep,
        content_type: Option<&str>,
        auth: AuthPlan,
    ) -> Result<Vec<(Box<str>, Text)>, PlanError> {
        let mut fields: Vec<(Box<str>, Text)> = vec![("User-Agent".into(), Text::Constant(USER_AGENT.into()))];
        if self.group.compression {
            fields.push(("Accept-Encoding".into(), Text::Constant(decode::ACCEPTED.into())));
        }
        fields.extend(content_type.map(|value| ("Content-Type".into(), Text::Constant(value.into()))));
        let group = self.group;
        let given = [("headers".to_owned(), &group.headers), (format!("{at}.headers"), &request.headers)];
        for (path, name, value) in given.iter().flat_map(|(path, map)| map.iter().map(move |(n, v)| (path, n, v))) {
            let field = format!("{path}.{name}");
            if !is_token(name) {
                return Err(self.refuse(&field, "is no name of a header"));
            }
            if is_reserved(name) {
                return Err(self.refuse(&field, "is the client's own affair: leave it out"));
            }
            let text = self.text(&field, value)?;
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            // Who a step is sent as goes before what the group has as a header.
            if !(name.eq_ignore_ascii_case("authorization") && auth != AuthPlan::None) {
                fields.push((name.as_str().into(), text));
            }
        }
        if group.connections == Connections::PerRequest {
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case("connection"));
        }
        Ok(fields)
    }

    /// The body, and its media type where that is not the step's to say.
    fn body(&mut self, at: &str, request: &HttpStep) -> Result<(BodyPlan, Option<&'static str>), PlanError> {
        Ok(match request.payload() {
            None => (BodyPlan::None, None),
            Some(Payload::Text(text)) => {
                let template = self.template(&format!("{at}.body"), text)?;
                let body = match template.constant() {
                    Some(constant) => BodyPlan::Constant(Bytes::copy_from_slice(constant.as_bytes())),
                    None => BodyPlan::Text(template),
                };
                (body, None)
            }
            Some(Payload::Json(value)) => {
                let template = JsonTemplate::parse(value, self.names);
                let template = template.map_err(|error| self.of_template(&format!("{at}.json"), &error))?;
                let body = match template.constant() {
                    Some(constant) => BodyPlan::Constant(Bytes::from(constant.to_string())),
                    None => BodyPlan::Json(template),
                };
                (body, Some("application/json"))
            }
            Some(Payload::Form(fields)) => {
                let mut made = Vec::new();
                for (name, texts) in fields {
                    for text in texts.as_slice() {
                        made.push((name.as_str().into(), self.text(&format!("{at}.form.{name}"), text)?));
                    }
                }
                (BodyPlan::Form(made.into()), Some("application/x-www-form-urlencoded"))
            }
            Some(Payload::Multipart(parts)) => {
                let numbered = parts.iter().enumerate();
                let parts: Result<Vec<PartPlan>, PlanError> =
                    numbered.map(|(index, part)| self.part(&format!("{at}.multipart[{index}]"), part)).collect();
                (BodyPlan::Multipart(parts?.into()), None)
            }
            Some(Payload::File(name)) => {
                let bytes = self.file(&format!("{at}.file"), name)?;
                (BodyPlan::Constant(bytes), Some("application/octet-stream"))
            }
        })
    }

    fn part(&mut self, field: &str, part: &Part) -> Result<PartPlan, PlanError> {
        let Part { name, value, file, media_type, filename } = part;
        let (content, told) = match (value, file) {
            (Some(value), _) => (PartContent::Text(self.text(&format!("{field}.value"), value)?), None),
            (None, Some(file)) => {
                let told = file.rsplit('/').next().unwrap_or(file);
                (PartContent::File(self.file(&format!("{field}.file"), file)?), Some(told))
            }
            (None, None) => return Err(self.refuse(field, "a part has either `value` or `file`")),
        };
        Ok(PartPlan {
            name: name.as_str().into(),
            file_name: filename.as_deref().or(told).map(Into::into),
            media_type: media_type.as_deref().map(Into::into),
            content,
        })
    }

    /// A file of the bundle, read once for all users.
    fn file(&self, field: &str, name: &str) -> Result<Bytes, PlanError> {
        let path = super::files::locate(self.bundle, name).map_err(|problem| self.refuse(field, problem))?;
        let bytes = super::files::read(&path, FILE_MAX_BYTES).map_err(|problem| self.refuse(field, problem))?;
        Ok(Bytes::from(bytes))
    }

    /// What is taken from something that a step receives, and asked of it. `at` is the path of the step with its verb.
    pub(super) fn taking(
        &mut self,
        at: &str,
        captures: &BTreeMap<String, flow::Capture>,
        checks: &[flow::Check],
        on_check_failure: OnCheckFailure,
    ) -> Result<Taking, PlanError> {
        Ok(Taking {
            captures: self.captures(at, captures)?.into(),
            checks: self.checks(&format!("{at}.checks"), checks)?.into(),
            fails_with_check: on_check_failure == OnCheckFailure::Fail,
        })
    }

    fn captures(
        &mut self,
        at: &str,
        written: &BTreeMap<String, flow::Capture>,
    ) -> Result<Vec<(u16, Box<str>, Capture)>, PlanError> {
        let mut captures = Vec::new();
        for (name, capture) in written {
            let field = format!("{at}.capture.{name}");
            let slot = self.names.slot(name).map_err(|error| self.of_template(&field, &error))?;
            let made = match &capture.from {
                CaptureFrom::Json(path) => Capture::json(path),
                CaptureFrom::Header(name) => Capture::header(name),
                CaptureFrom::Regex(regex) => Capture::regex(regex),
                CaptureFrom::Css { selector, attribute } => Capture::css(selector, attribute.as_deref()),
                CaptureFrom::Cookie(name) => Ok(Capture::cookie(name)),
                CaptureFrom::Status => Ok(Capture::status()),
                CaptureFrom::Body => Ok(Capture::body()),
            };
            let mut made = made.map_err(|error| self.of_compile(&field, &error))?;
            if capture.all {
                made = made.all();
            }
            if let Some(default) = &capture.default {
                made = made.or(default.clone());
            }
            captures.push((slot, name.as_str().into(), made));
        }
        Ok(captures)
    }

    /// Checks, each with what reports call it. `list` is the path of their list.
    pub(super) fn checks(&mut self, list: &str, written: &[flow::Check]) -> Result<Vec<CheckPlan>, PlanError> {
        let mut checks = Vec::new();
        for (index, check) in written.iter().enumerate() {
            let field = format!("{list}[{index}]");
            let made = match (&check.subject, &check.condition) {
                (_, Condition::OneOf(statuses)) => Check::status(&statuses.codes().collect::<Vec<_>>()),
                (Subject::Status, _) => Check::status(&[]),
                (Subject::Header(name), condition) => Check::header(name, self.test(&field, condition)?),
                (Subject::Cookie(name), condition) => Check::cookie(name, self.test(&field, condition)?),
                (Subject::Json(path), condition) => Check::json(path, self.test(&field, condition)?),
                (Subject::Body, condition) => Check::body(self.test(&field, condition)?),
                (Subject::Size, condition) => Check::size(self.test(&field, condition)?),
                (Subject::Time, condition) => Check::time(self.test(&field, condition)?),
            };
            let check = CheckPlan {
                label: check.label().into(),
                check: made.map_err(|error| self.of_compile(&field, &error))?,
            };
            checks.push(check);
        }
        Ok(checks)
    }

    fn test(&mut self, field: &str, condition: &Condition) -> Result<Test, PlanError> {
        Ok(match condition {
            // Of a status alone, which has no other.
            Condition::OneOf(_) => Test::Exists(true),
            Condition::Equals(value) => {
                let template = JsonTemplate::parse(value, self.names);
                Test::Equals(template.map_err(|error| self.of_template(&format!("{field}.equals"), &error))?)
            }
            Condition::Matches(regex) => Test::Matches(regex.clone()),
            Condition::Exists(wanted) => Test::Exists(*wanted),
            Condition::Above(bound) => Test::Above(number(bound)),
            Condition::Below(bound) => Test::Below(number(bound)),
        })
    }
}

/// A limit as the number that it is compared with: bytes, or nanoseconds.
fn number(bound: &flow::Bound) -> f64 {
    match bound {
        flow::Bound::Number(number) => *number,
        // Sizes and times are far below 2^53.
        flow::Bound::Bytes(bytes) => bytes.0 as f64,
        flow::Bound::Duration(duration) => duration.0 as f64,
    }
}
