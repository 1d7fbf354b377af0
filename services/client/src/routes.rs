//! The routes that a session goes by, and their changes while it offers load.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nuncius_engine::plan::Routing;
use nuncius_engine::{PlanError, TargetPolicy};
use nuncius_schemas::node::Reroute;
use nuncius_schemas::route::Route;

/// The routes of a session, and all of it that goes by them.
#[derive(Debug)]
pub(crate) struct Routes(Mutex<Held>);

#[derive(Debug)]
struct Held {
    routes: Vec<Route>,
    /// How often they have changed.
    number: u32,
    followers: Vec<Routing>,
}

/// What every route is held against: whom this node may be aimed at, and what its variables are.
pub(crate) type Bounds<'a> = (&'a TargetPolicy, &'a dyn Fn(&str) -> Option<String>);

impl Routes {
    /// As they stood when the run was planned.
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        Self(Mutex::new(Held { routes, number: 0, followers: Vec::new() }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they stand now.
    pub(crate) fn now(&self) -> Vec<Route> {
        self.held().routes.clone()
    }

    /// What was planned goes by the routes from now on. Blocks where a name has to be looked up.
    ///
    /// # Errors
    /// They have changed since it was planned, and it cannot go by them.
    pub(crate) fn follow(&self, planned: Vec<Routing>, bounds: Bounds<'_>) -> Result<(), PlanError> {
        let mut held = self.held();
        if held.number > 0 {
            reroute(&planned, &held.routes, bounds)?;
        }
        held.followers.extend(planned);
        Ok(())
    }

    /// They have changed. Blocks where a name has to be looked up.
    ///
    /// # Errors
    /// Not all can go by them.
    pub(crate) fn change(&self, change: &Reroute, bounds: Bounds<'_>) -> Result<(), PlanError> {
        let mut held = self.held();
        if change.number <= held.number {
            return Ok(());
        }
        reroute(&held.followers, &change.routes, bounds)?;
        (held.number, held.routes) = (change.number, change.routes.clone());
        Ok(())
    }
}

fn reroute(followers: &[Routing], routes: &[Route], (policy, environment): Bounds<'_>) -> Result<(), PlanError> {
    followers
        .iter()
        .flat_map(|follower| routes.iter().map(move |route| (follower, route)))
        .try_for_each(|(follower, route)| follower.reroute(route, policy, environment))
}
