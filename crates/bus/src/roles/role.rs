//! The users of nats-server.

use nuncius_schemas::subjects::Namespace;

/// A user of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserRole {
    /// Runs experiments; makes their streams.
    Experimentd,
    /// Offers load.
    Client,
    /// Keeps queues; makes their streams.
    Frontend,
    /// Runs jobs.
    Worker,
    /// Submits jobs for as long as it runs, and waits for their results.
    QueueClient,
    /// Is a system under test.
    Emulator,
    /// Samples a machine, and does nothing else.
    Telemetry,
    /// A person, or a pipeline, that publishes experiments and waits for their verdicts.
    Submitter,
    /// A person who types commands: experiments, queues, routes, resources.
    Operator,
    /// Looks on, and changes nothing.
    Observer,
    /// Hands telemetry on to collectors, and shows metrics.
    Gateway,
    /// Hands messages of AMQP queues on as jobs and experiments.
    Bridge,
}

impl UserRole {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Experimentd,
        Self::Client,
        Self::Frontend,
        Self::Worker,
        Self::QueueClient,
        Self::Emulator,
        Self::Telemetry,
        Self::Submitter,
        Self::Operator,
        Self::Observer,
        Self::Gateway,
        Self::Bridge,
    ];

    /// Its name, a token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Experimentd => "experimentd",
            Self::Client => "client",
            Self::Frontend => "frontend",
            Self::Worker => "worker",
            Self::QueueClient => "queue-client",
            Self::Emulator => "emulator",
            Self::Telemetry => "telemetry",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Observer => "observer",
            Self::Gateway => "gateway",
            Self::Bridge => "bridge",
        }
    }

    /// What it is for, in a sentence.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Experimentd => "runs experiments, and makes their streams and buckets",
            Self::Client => "offers load",
            Self::Frontend => "keeps queues and their books, and makes their streams",
            Self::Worker => "runs jobs",
            Self::QueueClient => "submits jobs for as long as it runs, and waits for their results",
            Self::Emulator => "is a system under test: OCO backends, resources, devices",
            Self::Telemetry => "samples a machine, and does nothing else",
            Self::Submitter => "publishes experiments, waits for their verdicts, cancels",
            Self::Operator => "a person who types commands: experiments, queues, routes, resources",
            Self::Observer => "looks on, and changes nothing",
            Self::Gateway => "hands telemetry on to collectors, and shows metrics",
            Self::Bridge => "hands messages of AMQP queues on as jobs and experiments, and their results back",
        }
    }
}

impl std::fmt::Display for UserRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for UserRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("there is no role `{text}`: roles are {}", names.join(", "))
        })
    }
}

/// What reply subjects of a role begin with: no other role hears them.
pub fn inbox_prefix(namespace: &Namespace, role: UserRole) -> String {
    format!("_INBOX.{}.{}", namespace.as_str(), role.name())
}
