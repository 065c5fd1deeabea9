//! Every service's jobs, in GraphQL to look at (`{ jobs { jobs { … } } }`), and in REST, under `/v1/jobs/<service>`: the list, one with
//! its log, cancel, retry, and what it made ([`rest`]); schedules, queues, batches.
//!
//! It is no domain: it looks at the jobs of every service of the process through their [`Jobs`]. What one may see and do hangs
//! on that service's own permissions `<service>:job:read` and `<service>:job:write`. Jobs are asked for by the domains' operations;
//! those of kinds that are offered ([`jobs::Kind::offered`]) also by name, in schedules and batches.

mod batches;
mod file;
mod graphql;
mod parameters;
mod queues;
mod rest;
mod schedules;
mod shown;

use std::sync::Arc;

pub use graphql::JobsQuery;
use jobs::Jobs;
use kernel::Refusal;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, Tags};

/// The operations on jobs.
pub type Rest = (rest::Rest, schedules::Schedules, queues::Queues, batches::Batches);

/// All operations over the jobs of the services of this process.
pub fn rest(services: Vec<Jobs>) -> Rest {
    let services = Services(services.into());
    (
        rest::Rest::new(services.clone()),
        schedules::Schedules::new(services.clone()),
        queues::Queues::new(services.clone()),
        batches::Batches::new(services),
    )
}

/// What the contract says of them, without a running service.
pub fn describe(registry: &mut Registry) -> Vec<MetaApi> {
    Rest::register(registry);
    Rest::meta()
}

/// Those of each service.
#[derive(Clone)]
struct Services(Arc<[Jobs]>);

impl Services {
    fn of(&self, service: &str) -> Result<&Jobs, Refusal> {
        let found = self.0.iter().find(|jobs| jobs.service().name() == service);
        found.ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|jobs| jobs.service().name()).collect();
            Refusal::not_found(
                "not_found",
                format!("there is no service {service:?} with jobs here; allowed: {}", names.join(", ")),
            )
            .with("resource", "service")
        })
    }
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// What is done while nobody waits for the answer.
    Jobs,
}
