//! Signing in, in REST, under `/v1/auth/`: one file an aggregate.

mod api_key;
mod client;
mod machine;
mod secret;
mod session;
mod sign_in_policy;

use face::Runtime;
use poem_openapi::Tags;

/// All operations.
pub type Rest =
    (machine::Machines, api_key::ApiKeys, client::Clients, session::Sessions, sign_in_policy::SignInPolicies);

/// All operations over a running service.
pub fn rest(runtime: Runtime) -> Rest {
    (
        machine::Machines::new(runtime.clone()),
        api_key::ApiKeys::new(runtime.clone()),
        client::Clients::new(runtime.clone()),
        session::Sessions::new(runtime.clone()),
        sign_in_policy::SignInPolicies::new(runtime),
    )
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Sensors and integrations: what they are, their secrets and keys.
    Machines,
    /// Applications that sign people in.
    Clients,
    /// People who sign in: what is asked of them, their sessions, links to set their passwords.
    Sessions,
}
