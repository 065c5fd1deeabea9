//! The API of jobs (background work), for all services.
//!
//! REST, under `/v1/jobs/<service>`, lists jobs, shows one with its log, cancels, retries, and returns a job's output ([`rest`]); it
//! also manages schedules, queues and batches. GraphQL (`{ jobs { jobs { … } } }`) is read-only.
//!
//! This is not a domain: it works on the jobs of each service in the process, through their [`Jobs`]. Callers need the
//! service's own permissions `<service>:job:read` and `<service>:job:write`. Jobs are requested by the operations of domains;
//! kinds that are offered ([`jobs::Kind::offered`]) can also be requested by name, in schedules and in batches.

mod batches;
mod file;
mod graphql;
mod parameters;
mod queues;
mod responses;
mod rest;
mod schedules;

use std::sync::Arc;

pub use graphql::JobsQuery;
use jobs::Jobs;
use kernel::Refusal;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, Tags};

/// The operations on jobs.
pub type Rest = (rest::Rest, schedules::Schedules, queues::Queues, batches::Batches);

/// All operations on the jobs of this process's services.
pub fn rest(services: Vec<Jobs>) -> Rest {
    let services = Services(services.into());
    (
        rest::Rest::new(services.clone()),
        schedules::Schedules::new(services.clone()),
        queues::Queues::new(services.clone()),
        batches::Batches::new(services),
    )
}

/// The operations for the contract, without a running service.
pub fn describe(registry: &mut Registry) -> Vec<MetaApi> {
    Rest::register(registry);
    Rest::meta()
}

/// The jobs of each service.
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

/// The tag under which the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Background jobs, with their schedules, queues and batches.
    Jobs,
}
