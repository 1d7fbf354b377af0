//! A request over HTTP, compiled.

use std::sync::Arc;

use bytes::Bytes;
use nuncius_scenario::json_template::JsonTemplate;
use nuncius_scenario::template::Template;
use nuncius_script::FunctionId;

use super::auth::AuthPlan;
use super::taking::Taking;
use super::text::Text;
use crate::http::received::Wanted;
use crate::plan::request::StatusSet;

/// A request over HTTP, and what becomes of its answer.
#[derive(Debug)]
pub(crate) struct HttpAction {
    /// Number of the step in the table.
    pub(crate) step: u16,
    pub(crate) method: Box<str>,
    pub(crate) address: Address,
    /// Names, encoded, and values of what is put into the query.
    pub(crate) query: Box<[(Box<str>, Text)]>,
    /// Header fields, those of the group and of the client itself among them.
    pub(crate) fields: Box<[(Box<str>, Text)]>,
    pub(crate) body: BodyPlan,
    pub(crate) auth: AuthPlan,
    pub(crate) timeout_ns: u64,
    /// Most redirects that are followed.
    pub(crate) redirects: u32,
    /// Statuses of success.
    pub(crate) expected: StatusSet,
    pub(crate) taking: Taking,
    pub(crate) before: Option<FunctionId>,
    pub(crate) after: Option<FunctionId>,
    /// What of the answer is kept for all of these.
    pub(crate) wanted: Wanted,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Address {
    /// A target of the table, with a path that is always the same.
    Constant(u32, Box<str>),
    /// A target of the table, with a path that is made; what stands before it is constant.
    Path(u32, Box<str>, Template),
    /// A path at the group's target or a whole URL, as the template says.
    Made(Template),
}

/// The body of a request.
#[derive(Debug)]
pub(crate) enum BodyPlan {
    None,
    /// The same for all.
    Constant(Bytes),
    Text(Template),
    Json(JsonTemplate),
    /// Names, encoded, and values of a form.
    Form(Box<[(Box<str>, Text)]>),
    Multipart(Arc<[PartPlan]>),
}

/// A part of a `multipart/form-data` body.
#[derive(Debug)]
pub(crate) struct PartPlan {
    pub(crate) name: Box<str>,
    pub(crate) file_name: Option<Box<str>>,
    pub(crate) media_type: Option<Box<str>>,
    pub(crate) content: PartContent,
}

/// What a part holds.
#[derive(Debug)]
pub(crate) enum PartContent {
    Text(Text),
    /// A file of the bundle.
    File(Bytes),
}
