//! The layers of the architecture (“stations”), by folder.

/// The layer of a crate. Domains are named as their folders, for example `crm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Station {
    /// kernel/
    Kernel,
    /// aggregates/<domain>
    Aggregates(String),
    /// keys/: encryption of stored secrets
    Keys,
    /// mailer/: sending of mail
    Mailer,
    /// texting/: sending of text messages
    Texting,
    /// vault/: secrets and the master key from Vault
    Vault,
    /// saml/: the protocol of a SAML service provider
    Saml,
    /// nats/
    Nats,
    /// eventstore/
    EventStore,
    /// commands/executor
    Executor,
    /// commands/importing: the common parts of all domains' imports
    Importing,
    /// commands/<domain>
    Commands(String),
    /// projections/projector
    Projector,
    /// projections/folding: the common parts of all domains' read models
    Folding,
    /// projections/<domain>
    Projections(String),
    /// jobs/queue
    JobQueue,
    /// jobs/importing: the common parts of jobs that import files
    ImportJobs,
    /// jobs/<domain>: background jobs
    Jobs(String),
    /// sagas/coordinator
    Coordinator,
    /// sagas/mailing: the common parts of sagas that send mail
    Mailing,
    /// sagas/ and sagas/<domain>: sagas, also across domains
    Sagas,
    /// api/face: the building blocks of every domain's API
    Face,
    /// api/<domain>
    Api(String),
    /// api/gateway: the composition root
    Gateway,
    /// webhooks/: delivery of events to other systems
    Webhooks,
    /// config/: settings
    Config,
    /// directory/: the list of tenants
    Directory,
    /// deadletters/: events that a consumer can't process
    DeadLetters,
    /// edge-agent/
    EdgeAgent,
    /// cli/
    Cli,
    /// tests/testbed and tests/sagabed: real servers and a harness for sagas, for tests
    Testbed,
    /// tests/* and bench: they may use everything, and nothing uses them
    Harness,
}

impl Station {
    /// The station of a crate in `folder`, relative to the workspace.
    pub fn of(folder: &str) -> Option<Self> {
        let domain = |rest: &str| (!rest.contains('/')).then(|| rest.to_owned());
        Some(match folder {
            "kernel" => Self::Kernel,
            "keys" => Self::Keys,
            "mailer" => Self::Mailer,
            "texting" => Self::Texting,
            "vault" => Self::Vault,
            "saml" => Self::Saml,
            "nats" => Self::Nats,
            "eventstore" => Self::EventStore,
            "commands/executor" => Self::Executor,
            "commands/importing" => Self::Importing,
            "projections/projector" => Self::Projector,
            "projections/folding" => Self::Folding,
            "jobs/queue" => Self::JobQueue,
            "jobs/importing" => Self::ImportJobs,
            "sagas/coordinator" => Self::Coordinator,
            "sagas/mailing" => Self::Mailing,
            "sagas" => Self::Sagas,
            "api/face" => Self::Face,
            "api/gateway" => Self::Gateway,
            "webhooks" => Self::Webhooks,
            "config" => Self::Config,
            "directory" => Self::Directory,
            "deadletters" => Self::DeadLetters,
            "edge-agent" => Self::EdgeAgent,
            "cli" => Self::Cli,
            "tests/testbed" | "tests/sagabed" => Self::Testbed,
            "bench" => Self::Harness,
            _ => match folder.split_once('/')? {
                ("aggregates", rest) => Self::Aggregates(domain(rest)?),
                ("commands", rest) => Self::Commands(domain(rest)?),
                ("projections", rest) => Self::Projections(domain(rest)?),
                ("jobs", rest) => Self::Jobs(domain(rest)?),
                ("sagas", rest) => domain(rest).map(|_| Self::Sagas)?,
                ("api", rest) => Self::Api(domain(rest)?),
                ("tests", rest) => domain(rest).map(|_| Self::Harness)?,
                _ => return None,
            },
        })
    }

    /// Whether the diagram allows a dependency of this layer on `to`.
    #[expect(clippy::match_same_arms, reason = "the table is read line by line, a station each")]
    pub fn may_use(&self, to: &Self) -> bool {
        use Station as S;
        match (self, to) {
            // The harnesses may use everything. Nothing uses the harnesses or the binary; only tests use the testbeds (see `tests_may_use`).
            (S::Harness, _) => true,
            (S::Testbed, S::Testbed | S::Executor | S::Coordinator | S::DeadLetters) => true,
            (_, S::Harness | S::Testbed | S::Cli) => false,
            (S::Kernel, _) => false,
            (_, S::Kernel) => true,
            (S::Cli, _) => true,
            (S::Aggregates(_) | S::Commands(_) | S::EventStore | S::Executor | S::Projector | S::Api(_), S::Keys) => {
                true
            }
            (S::Saml | S::Vault | S::Config | S::Directory, S::Keys) => true,
            (S::Commands(_) | S::Api(_), S::Saml) => true,
            (_, S::Gateway) => false,
            (S::Gateway, _) => true,
            (S::EventStore | S::EdgeAgent, S::Nats) => true,
            (S::Executor | S::Projector | S::Webhooks | S::JobQueue | S::DeadLetters, S::Nats | S::EventStore) => true,
            (S::Projector | S::Coordinator | S::Webhooks, S::DeadLetters) => true,
            (S::Coordinator, S::Nats | S::EventStore | S::Executor) => true,
            (S::Commands(own), S::Aggregates(other)) => own == other,
            (S::Commands(_), S::EventStore | S::Executor | S::Importing) => true,
            (S::Importing, S::Executor) => true,
            (S::Projections(own), S::Aggregates(other)) => own == other,
            (S::Folding, S::Projector) => true,
            (S::Projections(_), S::Projector | S::Folding) => true,
            (S::Jobs(own), S::Aggregates(other) | S::Commands(other) | S::Projections(other)) => own == other,
            (S::Jobs(_), S::JobQueue | S::Executor | S::Projector | S::ImportJobs) => true,
            (S::ImportJobs, S::JobQueue | S::Executor | S::Projector | S::Importing) => true,
            (S::Sagas | S::Mailing | S::Api(_), S::Mailer) => true,
            (S::Sagas, S::Texting) => true,
            (S::Mailing, S::Coordinator) => true,
            (S::Sagas, S::Mailing) => true,
            (S::Sagas, S::Coordinator | S::Executor | S::Aggregates(_) | S::Commands(_)) => true,
            (S::Face, S::Nats | S::EventStore | S::Executor | S::Projector | S::Folding | S::JobQueue) => true,
            (S::Face, S::Importing | S::ImportJobs) => true,
            (S::Api(own), S::Aggregates(other) | S::Commands(other) | S::Projections(other) | S::Jobs(other)) => {
                own == other
            }
            (S::Api(_), S::Face | S::Nats | S::EventStore | S::Executor | S::Projector) => true,
            (S::Api(_), S::Coordinator | S::Webhooks | S::JobQueue | S::DeadLetters) => true,
            (S::Config, S::Nats | S::EventStore | S::Projector | S::Vault | S::Webhooks) => true,
            (S::Directory, S::Config | S::Nats | S::EventStore | S::Executor | S::Projector | S::Coordinator) => true,
            (S::Directory, S::DeadLetters | S::Sagas | S::Aggregates(_) | S::Commands(_)) => true,
            (S::Testbed, S::Nats | S::EventStore) => true,
            _ => false,
        }
    }

    /// What a crate's tests may use in addition: the testbed, and NATS and the log, which are below every runtime.
    #[expect(clippy::match_same_arms, reason = "the table is read line by line, a station each")]
    pub fn tests_may_use(&self, to: &Self) -> bool {
        use Station as S;
        match (self, to) {
            (S::Kernel | S::Aggregates(_), _) => false,
            (_, S::Testbed) => true,
            (S::Commands(_) | S::Projections(_) | S::Folding, S::Nats | S::EventStore) => true,
            // Commands create jobs in their append, which needs the jobs' tables.
            (S::Commands(_), S::JobQueue) => true,
            // A saga reverts imports, so its tests begin some.
            (S::Sagas, S::DeadLetters | S::EventStore | S::Nats | S::Importing) => true,
            _ => false,
        }
    }

    /// Whether the crate must not do I/O.
    pub fn is_pure(&self) -> bool {
        matches!(self, Self::Kernel | Self::Keys | Self::Saml | Self::Aggregates(_))
    }
}
