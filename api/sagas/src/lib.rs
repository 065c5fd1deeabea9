//! The REST API of sagas, for all services, under `/v1/sagas/<service>`: list instances, show one, resume and cancel.
//!
//! This is not a domain: it works on the sagas of each service in the process, through that service's [`Instances`]. Callers need
//! the service's own permissions `<service>:saga:read` and `<service>:saga:write`.

mod responses;
mod rest;

use coordinator::Instances;
use poem_openapi::Tags;

pub use rest::Rest;

/// All operations on the sagas of this process's services.
pub fn rest(services: Vec<Instances>) -> Rest {
    Rest::new(services)
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Sagas: background processes of several steps that can be undone.
    Sagas,
}
