//! The permission table of signing in: the only place that says which role may do what.

use kernel::Role::{Admin, Auditor, Manager};
use kernel::{Caller, Grant, TenantId};

const fn grant(permission: &'static str, roles: &'static [kernel::Role], meaning: &'static str) -> Grant {
    Grant { permission, roles, meaning }
}

/// The permissions of signing in, the roles that have them, and what they allow.
pub const GRANTS: &[Grant] = &[
    grant("auth:machine:read", &[Admin, Manager, Auditor], "See machines and their API keys"),
    grant(
        "auth:machine:write",
        &[Admin],
        "Register machines that may no more than oneself, change and deactivate them, their secrets and API keys",
    ),
    grant("auth:client:read", &[Admin, Manager, Auditor], "See the applications that sign people in"),
    grant("auth:client:write", &[Admin], "Register, change and deactivate applications, and their secrets"),
    grant("auth:saml_connection:read", &[Admin, Manager, Auditor], "See the identity providers that sign people in"),
    // Who says which identity provider is believed says who comes in as whom, be it as an administrator of its domains.
    grant(
        "auth:saml_connection:write",
        &[Admin],
        "Connect identity providers, change and deactivate what connects them",
    ),
    grant("auth:session:write", &[Admin], "End sessions of people"),
    grant("auth:account:write", &[Admin], "Have links mailed to set passwords, reset second factors, close accounts"),
    grant("auth:policy:read", &[Admin, Manager, Auditor], "See what is asked of those who sign in"),
    grant("auth:policy:write", &[Admin], "Say what is asked of those who sign in"),
    grant("auth:branding:read", &[Admin, Manager, Auditor], "See how the pages look where people sign in"),
    grant("auth:branding:write", &[Admin], "Say how the pages look where people sign in"),
    grant("auth:key:read", &[Admin, Auditor], "See which keys sign tokens"),
    grant("auth:key:write", &[Admin], "Rotate the keys that sign tokens"),
    grant("auth:grant:read", &[Admin, Auditor], "See what people let applications do"),
    grant("auth:grant:write", &[Admin], "End what was granted to applications, and withdraw what people let them do"),
    grant("auth:job:read", &[Admin, Auditor], "See jobs of signing in"),
    grant("auth:job:write", &[Admin], "Cancel and retry jobs of signing in"),
    grant("auth:saga:read", &[Admin, Auditor], "See what runs by itself, and what became of it"),
    grant("auth:saga:write", &[Admin], "Resume what is stuck, and cancel what runs by itself"),
    grant(
        "auth:dead_letter:read",
        &[Admin, Auditor],
        "See events that a read model, saga or webhook could not take, with their payloads",
    ),
    grant("auth:dead_letter:write", &[Admin], "Redrive, edit and discard such events"),
    // For administrators of the operators' tenant only, whatever their role is called.
    grant("auth:projection:rebuild", &[Admin], "Build read models anew, as an operator of the installation"),
    grant("auth:history:read", &[Admin, Auditor], "See who signed in, from where and how"),
    grant("auth:history:backdate", &[], "Nobody: what happened here happened when it was written"),
];

/// What the protocol does by itself. It stands in no table that roles are looked up in.
pub(crate) const PROTOCOL: &str = "auth:protocol:run";

/// The auth service itself, acting in a tenant for `subject`: a client or person whom it knows by now.
pub fn protocol(tenant: TenantId, subject: &str) -> Caller {
    Caller::new(tenant, subject, &[Admin], &[grant(PROTOCOL, &[Admin], "Carry out the protocols of signing in")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_may_act_as_the_protocol() {
        assert!(GRANTS.iter().all(|grant| grant.permission != PROTOCOL));
    }
}
