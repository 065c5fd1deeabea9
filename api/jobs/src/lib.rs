//! Every service's jobs in REST, under `/v1/jobs/<service>`: the list, one with its log, cancel, retry, and what it made.
//!
//! It is no domain: it looks at the jobs of every service of the process through their [`Jobs`]. What one may see and do hangs
//! on that service's own permissions `<service>:job:read` and `<service>:job:write`. Jobs are asked for by the domains' operations.

mod file;
mod rest;
mod shown;

use jobs::Jobs;
use poem_openapi::Tags;

pub use rest::Rest;

/// All operations over the jobs of the services of this process.
pub fn rest(services: Vec<Jobs>) -> Rest {
    Rest::new(services)
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// What is done while nobody waits for the answer.
    Jobs,
}
