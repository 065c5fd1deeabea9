//! Signing in, in REST, under `/v1/auth/`: one file an aggregate.

mod api_key;
mod machine;
mod secret;

use face::Runtime;
use poem_openapi::Tags;

/// All operations.
pub type Rest = (machine::Machines, api_key::ApiKeys);

/// All operations over a running service.
pub fn rest(runtime: Runtime) -> Rest {
    (machine::Machines::new(runtime.clone()), api_key::ApiKeys::new(runtime))
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Sensors and integrations: what they are, their secrets and keys.
    Machines,
}
