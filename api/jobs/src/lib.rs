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

use face::ByService;
pub use graphql::JobsQuery;
use jobs::Jobs;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, Tags};

/// The operations on jobs.
pub type Rest = (rest::Rest, schedules::Schedules, queues::Queues, batches::Batches);

/// All operations on the jobs of this process's services.
pub fn rest(services: Vec<Jobs>) -> Rest {
    let services = ByService::new("jobs", services, Jobs::service);
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

/// The tag under which the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Background jobs, with their schedules, queues and batches.
    Jobs,
}
