//! Every service's sagas in REST, under `/v1/sagas/<service>`: the list, one instance, resume and cancel.
//!
//! It is no domain: it looks at the sagas of every service of the process through its [`Instances`]. What one may see and do
//! hangs on that service's own permissions `<service>:saga:read` and `<service>:saga:write`.

mod rest;
mod shown;

use coordinator::Instances;
use poem_openapi::Tags;

pub use rest::Rest;

/// All operations over the sagas of the services of this process.
pub fn rest(services: Vec<Instances>) -> Rest {
    Rest::new(services)
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// What runs by itself in several steps, and can be taken back.
    Sagas,
}
