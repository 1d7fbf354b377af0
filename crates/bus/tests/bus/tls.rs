use std::path::{Path, PathBuf};

use nuncius_bus::{Bus, BusError, ConnectOptions, Credentials, Tls, connect};
use nuncius_testkit::{TempDir, TestServer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};

use super::support::soon;

/// An authority, with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = directory.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A certificate for these names, valid until the end of a year; files of it and of its key.
    fn signs(&self, directory: &Path, common_name: &str, names: &[&str], year: i32) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_after = date_time_ymd(year, 12, 31);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let stem = format!("{common_name}-{:08x}", fastrand::u32(..));
        let (certificate, secret) = (directory.join(format!("{stem}.pem")), directory.join(format!("{stem}.key.pem")));
        std::fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (certificate, secret)
    }
}

struct Scene {
    directory: TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new("tls").unwrap();
        let authority = Authority::new(directory.path(), "authority");
        Self { directory, authority }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A server whose certificate is for these names and valid until the end of a year.
    async fn server(&self, names: &[&str], year: i32, more: &str) -> TestServer {
        let (certificate, key) = self.authority.signs(self.path(), "server", names, year);
        let config = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, {more} }}");
        TestServer::start_with(&config).await.unwrap()
    }

    fn trusting(&self) -> Tls {
        Tls { ca_file: Some(self.authority.file.clone()), ..Tls::default() }
    }
}

async fn connect_with(server: &TestServer, tls: Tls) -> Result<Bus, BusError> {
    let urls = vec![format!("tls://localhost:{}", server.port())];
    let bus = connect(ConnectOptions { urls, tls, ..ConnectOptions::default() }).await?;
    bus.round_trip().await?;
    Ok(bus)
}

/// Why there is no connection.
async fn problem(server: &TestServer, tls: Tls) -> String {
    let error = soon(connect_with(server, tls)).await.unwrap_err();
    assert!(matches!(error, BusError::Connect { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_its_name_and_its_date() {
    let scene = Scene::new();
    let good = scene.server(&["localhost"], 2099, "").await;
    connect_with(&good, scene.trusting()).await.unwrap();
    let unknown = problem(&good, Tls::default()).await;
    assert!(unknown.contains("--nats-ca"), "{unknown}");
    let stranger = Authority::new(scene.path(), "stranger");
    let unknown = problem(&good, Tls { ca_file: Some(stranger.file), ..Tls::default() }).await;
    assert!(unknown.contains("--nats-ca"), "{unknown}");
    let elsewhere = scene.server(&["elsewhere.test"], 2099, "").await;
    let named = problem(&elsewhere, scene.trusting()).await;
    assert!(named.contains("other names"), "{named}");
    let old = scene.server(&["localhost"], 2001, "").await;
    let expired = problem(&old, scene.trusting()).await;
    assert!(expired.contains("has expired"), "{expired}");
    let plain = TestServer::start().await.unwrap();
    let refused = problem(&plain, scene.trusting()).await;
    assert!(refused.contains("TLS"), "tls:// must not talk without it: {refused}");
}

#[tokio::test]
async fn a_server_that_wants_certificates_of_clients_is_shown_one() {
    let scene = Scene::new();
    let clients = Authority::new(scene.path(), "clients");
    let verify = format!("ca_file: {:?}, verify: true", clients.file);
    let server = scene.server(&["localhost"], 2099, &verify).await;
    let with = |authority: &Authority| {
        let client_certificate = Some(authority.signs(scene.path(), "worker", &["worker.test"], 2099));
        Tls { client_certificate, ..scene.trusting() }
    };
    connect_with(&server, with(&clients)).await.unwrap();
    let none = problem(&server, scene.trusting()).await;
    assert!(none.contains("--nats-cert"), "{none}");
    let foreign = problem(&server, with(&scene.authority)).await;
    assert!(foreign.contains("--nats-cert"), "{foreign}");
}

#[tokio::test]
async fn a_certificate_can_be_the_user() {
    let scene = Scene::new();
    let (certificate, key) = scene.authority.signs(scene.path(), "server", &["localhost"], 2099);
    let config = format!(
        "tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {:?}, verify_and_map: true }}\n\
         accounts {{ N {{ jetstream: enabled, users: [ {{ user: \"CN=worker\", permissions: {{ publish: {{ allow: [\
         \"$JS.API.INFO\"] }}, subscribe: {{ allow: [\"_INBOX.>\"] }} }} }} ] }} }}",
        scene.authority.file
    );
    let server = TestServer::start_with(&config).await.unwrap();
    let as_client = |name: &str| {
        let client_certificate = Some(scene.authority.signs(scene.path(), name, &[], 2099));
        Tls { client_certificate, ..scene.trusting() }
    };
    let worker = connect_with(&server, as_client("worker")).await.unwrap();
    let refused = worker.kv("any").await.unwrap_err();
    assert!(matches!(refused, BusError::NotPermitted { .. }), "{refused:?}");
    let nobody = problem(&server, as_client("somebody")).await;
    assert!(nobody.contains("credentials"), "{nobody}");
}

#[tokio::test]
async fn a_server_that_begins_with_tls_is_begun_with_tls() {
    let scene = Scene::new();
    let server = scene.server(&["localhost"], 2099, "handshake_first: true").await;
    connect_with(&server, Tls { first: true, ..scene.trusting() }).await.unwrap();
    let late = problem(&server, scene.trusting()).await;
    assert!(late.contains("--nats-tls-first"), "{late}");
    let usual = scene.server(&["localhost"], 2099, "").await;
    let early = problem(&usual, Tls { first: true, ..scene.trusting() }).await;
    assert!(early.contains("--nats-tls-first"), "{early}");
}

#[tokio::test]
async fn files_of_keys_that_are_none_are_named() {
    let scene = Scene::new();
    let server = TestServer::start().await.unwrap();
    let file = scene.path().join("worker.nk");
    for text in ["", "# nothing\n", "SUANOTASEED\n"] {
        std::fs::write(&file, text).unwrap();
        let credentials = Credentials::NkeyFile(file.clone());
        let options = ConnectOptions { urls: vec![server.url()], credentials, ..ConnectOptions::default() };
        let error = connect(options).await.unwrap_err();
        assert!(matches!(error, BusError::Options(_)) && error.to_string().contains("worker.nk"), "{error}");
    }
}
