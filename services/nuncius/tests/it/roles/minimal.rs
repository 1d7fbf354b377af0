//! No grant is superfluous: each is taken away in turn, on a real server, and what the role does is refused.
//!
//! One server has a user for each grant of each role, who has all of the role's grants but that one; so nothing is
//! reloaded, and the cases run side by side.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::roles::{Grant, Place, UserRole, grants, in_server_words};
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Bus, ConnectOptions, Credentials, Namespace, connect};
use nuncius_testkit::TestServer;
use tokio::sync::Semaphore;

use super::work::{Scene, work};

/// How many cases run at a time.
const AT_ONCE: usize = 8;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a refusal may take to be told, after everything is done.
const LATE: Duration = Duration::from_secs(2);

struct Case {
    role: UserRole,
    user: String,
    place: Place,
    removed: Option<Grant>,
}

/// Every role with all of its grants, and without each of them.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in UserRole::ALL {
        let all = grants(&Place::default(), role).len();
        for removed in std::iter::once(None).chain((0..all).map(Some)) {
            let user = format!("{role}-{}", removed.map_or_else(|| "whole".to_owned(), |at| at.to_string()));
            // Who makes streams or consumers makes its own.
            let namespace = match role {
                UserRole::Experimentd | UserRole::Frontend | UserRole::Emulator | UserRole::Gateway => {
                    Namespace::new(&user).unwrap()
                }
                UserRole::Client
                | UserRole::Worker
                | UserRole::QueueClient
                | UserRole::Telemetry
                | UserRole::Submitter
                | UserRole::Operator
                | UserRole::Observer
                | UserRole::Bridge => Namespace::default(),
            };
            let place = Place { namespace, ..Place::default() };
            let removed = removed.map(|at| grants(&place, role)[at].clone());
            cases.push(Case { role, user, place, removed });
        }
    }
    cases
}

/// The accounts of all cases, and of one who may do everything.
fn accounts(cases: &[Case]) -> String {
    let mut text = String::from("accounts { N { jetstream: enabled, users: [\n{ user: admin, password: admin }\n");
    for Case { role, user, place, removed } in cases {
        let mut left = grants(place, *role);
        left.retain(|grant| Some(grant) != removed.as_ref());
        let _ = writeln!(text, "{{ user: {user}, password: secret, permissions: {} }}", in_server_words(&left));
    }
    text.push_str("] } }\n");
    text
}

async fn bus(server: &TestServer, user: &str, password: &str, place: &Place, role: Option<UserRole>) -> Bus {
    let options = ConnectOptions {
        urls: vec![server.url()],
        namespace: place.namespace.clone(),
        name: user.to_owned(),
        credentials: Credentials::Password { user: user.to_owned(), password: password.to_owned() },
        role,
        ..ConnectOptions::default()
    };
    connect(options).await.unwrap()
}

/// What is wrong with a case, if anything is.
async fn problem(server: &TestServer, case: &Case) -> Option<String> {
    let admin = bus(server, "admin", "admin", &case.place, None).await;
    let own = bus(server, &case.user, "secret", &case.place, Some(case.role)).await;
    let scene = Scene { bus: own.clone(), admin, who: case.user.clone() };
    let working = tokio::time::timeout(PATIENCE, work(case.role, &scene));
    let Some(removed) = &case.removed else {
        let outcome = working.await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = own.refusals();
        let is_fine = matches!(outcome, Ok(Ok(()))) && refused.is_empty();
        return (!is_fine).then(|| format!("{} with all of its grants: {outcome:?}, {refused:?}", case.role));
    };
    let refused = own.refused(|refusal| removed.allows(refusal.access, &refusal.subject));
    tokio::pin!(refused);
    let outcome = tokio::select! {
        biased;
        _ = &mut refused => return None,
        outcome = working => outcome,
    };
    if tokio::time::timeout(LATE, refused).await.is_ok() {
        return None;
    }
    let Grant { right, subject, purpose } = removed;
    let others = own.refusals();
    Some(format!("{} does not need {right:?} {subject} ({purpose}): {outcome:?}, {others:?}", case.role))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_needs_every_one_of_its_grants_and_no_other() {
    let _turn = super::super::harness::beside_others().await;
    let cases = cases();
    let server = Arc::new(TestServer::start_with(&accounts(&cases)).await.unwrap());
    ensure_streams(&bus(&server, "admin", "admin", &Place::default(), None).await).await.unwrap();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        let (server, turns) = (Arc::clone(&server), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            problem(&server, &case).await
        });
    }
    let mut problems: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    problems.sort();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
