//! The API of dead letters (events that a consumer could not process), for all services.
//!
//! REST, under `/v1/dead-letters/<service>`, lists letters, shows one with its event, errors, attempts and decisions, and
//! redrives (one or all), previews, edits and discards. GraphQL (`{ deadLetters { letters { … } } }`) is read-only.
//!
//! This is not a domain: it works on the dead letters of each service in the process, through that service's [`DeadLetters`] (crate
//! `deadletters`). Callers need the service's own permissions `<service>:dead_letter:read` and `<service>:dead_letter:write`.

mod commands;
mod graphql;
mod parameters;
mod queries;
mod responses;

use deadletters::DeadLetters;
use face::ByService;
pub use graphql::DeadLettersQuery;
use poem_openapi::{OpenApi, Tags};

/// The operations on dead letters.
pub type Rest = (queries::Queries, commands::Commands);

/// All operations on the dead letters of this process's services.
pub fn rest(services: Vec<DeadLetters>) -> Rest {
    let services = ByService::new("dead letters", services, DeadLetters::service);
    (queries::Queries::new(services.clone()), commands::Commands::new(services))
}

/// The operations for the contract, without a running service.
pub fn describe(registry: &mut poem_openapi::registry::Registry) -> Vec<poem_openapi::registry::MetaApi> {
    Rest::register(registry);
    Rest::meta()
}

/// The tag under which the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Events that a read model, a saga or a webhook could not process.
    #[oai(rename = "Dead letters")]
    DeadLetters,
}
