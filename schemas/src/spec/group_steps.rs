//! What the steps of a group come to: their names, whether they are the same for all, and whom they are sent to.

use super::{Connections, EngineKind, Group};
use crate::flow::plain::{Reading, plain};
use crate::flow::template::has_template;
use crate::flow::walk::{MeasuredStep, Place, measured, walk};
use crate::flow::{Auth, HttpVersion, Op, Step};
use crate::servo::SERVO_STEPS;

impl Group {
    /// The steps that reports have a line of, in the order of the table; none where the group does what it does
    /// without any being written. Those of `before` and `after` are not among them.
    pub fn measured_steps(&self) -> Vec<MeasuredStep<'_>> {
        measured(&self.steps, &self.scenarios)
    }

    /// Names of the steps, as reports show them.
    pub fn step_names(&self) -> Vec<String> {
        if self.engine == EngineKind::Servo {
            return SERVO_STEPS.map(str::to_owned).to_vec();
        }
        if self.steps.is_empty() && self.scenarios.is_empty() {
            return vec![if self.engine == EngineKind::Queue { "job" } else { "get" }.to_owned()];
        }
        self.measured_steps().into_iter().map(|step| step.name).collect()
    }

    /// Every step that is written, with those in blocks, `before` and `after`; paths are below that of the group.
    pub fn all_steps(&self) -> Vec<Place<'_>> {
        let mut places = walk("before", &self.before);
        places.extend(walk("steps", &self.steps));
        for (index, scenario) in self.scenarios.iter().enumerate() {
            places.extend(walk(&format!("scenarios[{index}].steps"), &scenario.steps));
        }
        places.extend(walk("after", &self.after));
        places
    }

    /// The requests of an iteration as version 1 has them, where they are the same for every user and every time: such
    /// a group has no sessions, and can be run without them. `None` of any other group.
    pub fn static_steps(&self) -> Option<Vec<Step>> {
        self.static_steps_as(Reading::Written)
    }

    /// The same of a group that is static as it is written, once its variables are filled in: what looks like a
    /// template now is a text.
    pub fn filled_static_steps(&self) -> Option<Vec<Step>> {
        self.static_steps_as(Reading::FilledIn)
    }

    fn static_steps_as(&self, reading: Reading) -> Option<Vec<Step>> {
        let Self {
            name: _,
            engine,
            target,
            nodes: _,
            steps,
            headers,
            rate: _,
            stages: _,
            rate_per_node: _,
            arrivals: _,
            pattern: _,
            clients: _,
            users: _,
            think_time: _,
            backoff: _,
            duration: _,
            iterations: _,
            max_in_flight: _,
            max_users: _,
            timeout: _,
            connections,
            tls: _,
            servo: _,
            http,
            max_connections,
            redirects,
            cookies,
            compression,
            // Nothing of a body is kept.
            body_limit: _,
            auth,
            // What begins in it is sent as all other is.
            warm_up: _,
            // Without a template nobody reads them.
            variables: _,
            feeders,
            script,
            // Without a script nobody adds to them.
            meters: _,
            before,
            after,
            scenarios,
        } = self;
        let has_session = *connections == Connections::User
            || *http == Some(HttpVersion::Http2)
            || max_connections.is_some()
            || *redirects > 0
            || *cookies == Some(true)
            || *compression
            || auth.as_ref().is_some_and(|auth| *auth != Auth::None)
            || !feeders.is_empty()
            || script.is_some()
            || !before.is_empty()
            || !after.is_empty();
        if *engine != EngineKind::Http
            || has_session
            || reading == Reading::Written
                && (has_template(target) || headers.values().any(|value| has_template(value)))
        {
            return None;
        }
        match scenarios.as_slice() {
            [] => steps,
            [only] => &only.steps,
            [_, ..] => return None,
        }
        .iter()
        .map(|step| plain(step, reading))
        .collect()
    }

    /// Whether the group needs no sessions; see [`Group::static_steps`].
    pub fn is_static(&self) -> bool {
        self.static_steps().is_some()
    }

    /// Whether its users keep cookies: they do in sessions, unless the group says otherwise.
    pub fn keeps_cookies(&self) -> bool {
        self.cookies.unwrap_or_else(|| !self.is_static())
    }

    /// Every URL whose host is known before the load: the target, and whole URLs of steps and token servers.
    pub fn urls(&self) -> Vec<&str> {
        let places = self.all_steps();
        let in_steps = places.iter().filter_map(|place| match &place.step.op {
            Some(Op::Http(_, request)) => Some((Some(request.url.as_str()), request.auth.as_ref())),
            Some(Op::Ws(step)) => Some((step.connect.as_deref(), None)),
            Some(Op::SocketIo(step)) => Some((step.connect.as_deref(), None)),
            Some(Op::Nats(step)) => Some((step.server.as_deref(), None)),
            None => {
                let Step { publish, consume, .. } = place.step;
                let of_publish = publish.as_ref().and_then(|publish| publish.broker.as_deref());
                Some((of_publish.or(consume.as_ref().and_then(|consume| consume.broker.as_deref())), None))
            }
            Some(Op::Think(_) | Op::Set(_) | Op::Loop(_) | Op::If(_) | Op::Parallel(_) | Op::Call(_) | Op::Log(_)) => {
                None
            }
        });
        let mut urls = vec![self.target.as_str()];
        for (url, auth) in std::iter::once((None, self.auth.as_ref())).chain(in_steps) {
            for url in url.into_iter().chain(auth.and_then(Auth::token_url)) {
                let host = url.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
                if host.is_some_and(|host| !has_template(host)) && !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
        urls
    }
}
