//! The stations of the road, by folder.

/// Where a crate stands. Domains are the folders' names, for example `crm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Station {
    /// kernel/
    Kernel,
    /// aggregates/<domain>
    Aggregates(String),
    /// keys/: secrets at rest, sealed
    Keys,
    /// mailer/: mail on its way out
    Mailer,
    /// texting/: text messages on their way out
    Texting,
    /// vault/: secrets and a master key in Vault
    Vault,
    /// saml/: the protocol of a SAML service provider
    Saml,
    /// nats/
    Nats,
    /// eventstore/
    EventStore,
    /// commands/executor
    Executor,
    /// commands/importing: what the imports of all domains have in common
    Importing,
    /// commands/<domain>
    Commands(String),
    /// projections/projector
    Projector,
    /// projections/folding: what the read models of all domains have in common
    Folding,
    /// projections/<domain>
    Projections(String),
    /// jobs/queue
    JobQueue,
    /// jobs/importing: what jobs that import files have in common
    ImportJobs,
    /// jobs/<domain>: what is done while nobody waits for the answer
    Jobs(String),
    /// sagas/coordinator
    Coordinator,
    /// sagas/mailing: what sagas that mail have in common
    Mailing,
    /// sagas/ and sagas/<domain>: processes of several steps, also across domains
    Sagas,
    /// api/face: what every domain's API is made of
    Face,
    /// api/<domain>
    Api(String),
    /// api/gateway: the composition root
    Gateway,
    /// webhooks/: events on their way out
    Webhooks,
    /// config/: what a program is told
    Config,
    /// directory/: the directory of tenants
    Directory,
    /// deadletters/: events that a consumer can't take
    DeadLetters,
    /// edge-agent/
    EdgeAgent,
    /// cli/
    Cli,
    /// tests/testbed and tests/sagabed: real servers, and what a saga has to bear, for tests
    Testbed,
    /// tests/* and bench: they may use everything, nothing uses them
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

    /// Whether the drawing has an arrow from here to `to`.
    #[expect(clippy::match_same_arms, reason = "the table is read line by line, a station each")]
    pub fn may_use(&self, to: &Self) -> bool {
        use Station as S;
        match (self, to) {
            // Nothing below and beside them uses the API, the binary or the harness.
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

    /// What tests of a crate may use besides: the testbed, and the bus and the log beneath every runtime.
    #[expect(clippy::match_same_arms, reason = "the table is read line by line, a station each")]
    pub fn tests_may_use(&self, to: &Self) -> bool {
        use Station as S;
        match (self, to) {
            (S::Kernel | S::Aggregates(_), _) => false,
            (_, S::Testbed) => true,
            (S::Commands(_) | S::Projections(_) | S::Folding, S::Nats | S::EventStore) => true,
            // Commands ask for jobs in their append, which needs the tables.
            (S::Commands(_), S::JobQueue) => true,
            (S::Sagas, S::DeadLetters | S::EventStore | S::Nats) => true,
            _ => false,
        }
    }

    /// Whether the crate may do no I/O.
    pub fn is_pure(&self) -> bool {
        matches!(self, Self::Kernel | Self::Keys | Self::Saml | Self::Aggregates(_))
    }
}
