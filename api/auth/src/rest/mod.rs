//! The REST API of the auth service, under `/v1/auth/`: one file per aggregate.

mod api_key;
mod branding;
mod client;
mod consent;
mod machine;
mod public_key;
mod saml_connection;
mod secret;
mod session;
mod sign_in_policy;
mod signing_key;

use auth_commands::Reach;
use face::{Addressee, Runtime};
use kernel::{Caller, Refusal, UserId};
use poem_openapi::Tags;

face::rest! {
    /// All operations over a running service.
    pub fn rest(runtime: Runtime) -> Rest of [
        machine::Machines,
        api_key::ApiKeys,
        client::Clients,
        saml_connection::SamlConnections,
        session::Sessions,
        sign_in_policy::SignInPolicies,
        branding::Brandings,
        signing_key::SigningKeys,
        consent::Consents,
    ]
}

/// Restricts a command to subjects whose permissions do not exceed the caller's own.
fn reach(runtime: &Runtime) -> Reach {
    Reach::Own { permissions: runtime.permissions.clone(), domains: runtime.names.clone() }
}

/// A user of the caller's tenant, as the user service knows them. A user who never signed in has no account here.
///
/// # Errors
/// `not_found`; or that the user service can't be queried now.
async fn addressee(runtime: &Runtime, caller: &Caller, user: UserId) -> Result<Addressee, Refusal> {
    let found = runtime.addressees.addressee(caller.tenant(), user).await?;
    found.ok_or_else(|| Refusal::absent(USER, user))
}

/// The aggregate type of users, which belongs to the user service.
const USER: &str = "user.user";

/// Groups of operations in the API reference.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Sensors and integrations, with their secrets and keys.
    Machines,
    /// Applications that sign users in.
    Clients,
    /// Identity providers that sign users in (SAML 2.0).
    #[oai(rename = "SAML connections")]
    SamlConnections,
    /// Sign-in policy, sessions, and links to set passwords.
    Sessions,
    /// Branding of the sign-in pages.
    Branding,
    /// Keys that sign the tenant's tokens.
    #[oai(rename = "Signing keys")]
    SigningKeys,
    /// Consents and grants of applications.
    Consents,
}
