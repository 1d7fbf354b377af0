use std::fmt::Write as _;
use std::time::{Duration, Instant};

use nuncius_bus::roles::{Place, Right, UserRole, grants, in_server_words};
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Access, Bus, BusError, ConnectOptions, Credentials, connect};
use nuncius_testkit::TestServer;

use super::support::{bytes, none, soon};

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- end of table -->\n";

fn table() -> String {
    let place = Place::default();
    let mut text = String::new();
    for role in UserRole::ALL {
        let _ = write!(text, "\n### {role}\n\n{}.\n\n| may | subject | for |\n|---|---|---|\n", role.purpose());
        for grant in grants(&place, role) {
            let (may, subject) = match grant.right {
                Right::Publish => ("publish", format!("`{}`", grant.subject)),
                Right::Subscribe => ("subscribe", format!("`{}`", grant.subject)),
                Right::Answer => ("answer", "once, wherever the answer is wanted".to_owned()),
            };
            let _ = writeln!(text, "| {may} | {subject} | {} |", grant.purpose);
        }
    }
    text + "\n"
}

#[test]
fn the_documented_table_is_the_one_in_force() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/roles.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    let wanted = table();
    if std::env::var_os("NUNCIUS_UPDATE").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    assert!(found == wanted, "docs/roles.md: run NUNCIUS_UPDATE=1 cargo test -p nuncius-bus --test bus roles");
}

/// A server on which `user` may do what is allowed by these lines.
async fn server_with(permissions: &str) -> (TestServer, Bus) {
    let users = format!(
        "accounts {{ N {{ jetstream: enabled, users: [\n{{ user: admin, password: admin }}\n\
         {{ user: some, password: secret, permissions: {permissions} }}\n] }} }}"
    );
    let server = TestServer::start_with(&users).await.unwrap();
    ensure_streams(&as_user(&server, "admin", "admin", None).await).await.unwrap();
    let bus = as_user(&server, "some", "secret", Some(UserRole::Worker)).await;
    (server, bus)
}

async fn as_user(server: &TestServer, user: &str, password: &str, role: Option<UserRole>) -> Bus {
    let credentials = Credentials::Password { user: user.to_owned(), password: password.to_owned() };
    let options = ConnectOptions {
        urls: vec![server.url()],
        name: user.to_owned(),
        credentials,
        role,
        ..ConnectOptions::default()
    };
    connect(options).await.unwrap()
}

#[tokio::test]
async fn what_is_not_permitted_is_told_at_once_with_subject_and_role() {
    let place = Place::default();
    let worker = in_server_words(&grants(&place, UserRole::Worker));
    let (_server, bus) = server_with(&worker).await;
    let names = bus.namespace().clone();
    let since = Instant::now();
    let refused = |outcome: Result<(), BusError>, wanted: &str| match outcome.unwrap_err() {
        BusError::NotPermitted { access: Access::Publish, subject, who } => {
            assert_eq!((subject.as_str(), who.as_str()), (wanted, "role worker"));
        }
        other => panic!("{other:?}"),
    };
    refused(bus.request("elsewhere", &none(), bytes("x"), Duration::from_secs(60)).await.map(drop), "elsewhere");
    let submit = names.experiment_submit();
    refused(bus.publish_acked(&submit, &none(), bytes("x"), Some("id"), None).await.map(drop), &submit);
    let info = format!("$JS.API.STREAM.INFO.KV_{}", names.bucket_run());
    refused(bus.kv(&names.bucket_run()).await.map(drop), &info);
    let objects = bus.objects(&names.bucket_artifact()).await.map(drop);
    refused(objects, &format!("$JS.API.STREAM.INFO.OBJ_{}", names.bucket_artifact()));
    let mut heard = bus.subscribe(&submit).await.unwrap();
    let deaf = bus.refused(|refusal| refusal.access == Access::Subscribe);
    assert!(soon(heard.next()).await.is_none(), "a refused subscription ends");
    drop(deaf);
    assert!(since.elapsed() < Duration::from_secs(10), "no time-out was waited for");
}

#[tokio::test]
async fn a_connection_that_may_not_hear_its_answers_says_so_instead_of_waiting() {
    let (_server, bus) = server_with("{ publish: { allow: [\">\"] }, subscribe: { allow: [\"elsewhere\"] } }").await;
    for _ in 0..2 {
        let error = soon(bus.round_trip()).await.unwrap_err();
        match error {
            BusError::NotPermitted { access: Access::Subscribe, subject, .. } => {
                assert!(subject.starts_with("_INBOX.nuncius.worker."), "{subject}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_does_not_make_streams_waits_for_who_does() {
    let server = TestServer::start().await.unwrap();
    let options = |role| ConnectOptions { urls: vec![server.url()], role: Some(role), ..ConnectOptions::default() };
    let client = connect(options(UserRole::Client)).await.unwrap();
    let error = ensure_streams(&client).await.unwrap_err();
    assert!(matches!(error, BusError::NoStreamsYet { .. }) && error.is_transient(), "{error:?}");
    ensure_streams(&connect(options(UserRole::Frontend)).await.unwrap()).await.unwrap();
    ensure_streams(&client).await.unwrap();
    ensure_streams(&connect(options(UserRole::Experimentd)).await.unwrap()).await.unwrap();
}
