//! Several nats-servers in one cluster.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::wait::free_port;
use crate::{TestServer, TestkitError};

/// Servers `s0`, `s1`, … in one cluster, each with its store; killed and removed on drop.
#[derive(Debug)]
pub struct TestCluster {
    /// The servers, in the order of their names.
    pub servers: Vec<TestServer>,
}

impl TestCluster {
    /// Starts `count` servers and waits until each of them answers for JetStream.
    ///
    /// # Errors
    /// As [`TestServer::start`].
    pub async fn start(count: usize) -> Result<Self, TestkitError> {
        Self::start_each(count, |_| String::new()).await
    }

    /// The same, with extra lines in the configuration of each, by its number.
    ///
    /// # Errors
    /// As [`TestServer::start`].
    pub async fn start_each(count: usize, lines: impl Fn(usize) -> String) -> Result<Self, TestkitError> {
        let port = || free_port().map_err(|e| TestkitError::Start(format!("no port: {e}")));
        let ports = (0..count).map(|_| port()).collect::<Result<Vec<u16>, _>>()?;
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut starting = tokio::task::JoinSet::new();
        for (number, port) in ports.iter().enumerate() {
            let extra = format!(
                "server_name: s{number}\nhttp: \"127.0.0.1:-1\"\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", \
                 routes: [{}] }}\n{}",
                routes.join(", "),
                lines(number)
            );
            // None answers before the others are there.
            starting.spawn(async move { (number, TestServer::start_with(&extra).await) });
        }
        let mut servers = Vec::new();
        while let Some(started) = starting.join_next().await {
            let (number, server) = started.map_err(|e| TestkitError::Start(e.to_string()))?;
            servers.push((number, server?));
        }
        servers.sort_by_key(|(number, _)| *number);
        Ok(Self { servers: servers.into_iter().map(|(_, server)| server).collect() })
    }

    /// Which of the servers, by its name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        name.strip_prefix('s')?.parse().ok().filter(|index| *index < self.servers.len())
    }

    /// Which of the servers leads the cluster: makes and places streams. None while none does.
    pub fn meta_leader(&self) -> Option<usize> {
        self.servers.iter().filter(|server| server.pid().is_some()).find_map(|server| {
            let answer = get(&server.monitoring()?, "/jsz").ok()?;
            let (_, body) = answer.split_once("\r\n\r\n")?;
            let body: serde_json::Value = serde_json::from_str(body).ok()?;
            self.index_of(body.get("meta_cluster")?.get("leader")?.as_str()?)
        })
    }

    /// The addresses of all, with commas.
    pub fn url(&self) -> String {
        self.servers.iter().map(TestServer::url).collect::<Vec<_>>().join(",")
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
