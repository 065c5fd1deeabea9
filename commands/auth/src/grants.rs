//! The permission table of the auth service: the only place that says which role may do what.

use kernel::Role::{Admin, Auditor, Manager};
use kernel::{Caller, Grant, TenantId};

const fn grant(permission: &'static str, roles: &'static [kernel::Role], meaning: &'static str) -> Grant {
    Grant { permission, roles, meaning }
}

/// The permissions of the auth service, the roles that have them, and their descriptions.
pub const GRANTS: &[Grant] = &[
    grant("auth:machine:read", &[Admin, Manager, Auditor], "See machines and their API keys"),
    grant(
        "auth:machine:write",
        &[Admin],
        "Register, change and deactivate machines that may do no more than the caller, and manage their secrets and API keys",
    ),
    grant("auth:client:read", &[Admin, Manager, Auditor], "See applications that sign users in"),
    grant("auth:client:write", &[Admin], "Register, change and deactivate applications, and manage their secrets"),
    grant("auth:saml_connection:read", &[Admin, Manager, Auditor], "See SAML connections to identity providers"),
    // Whoever chooses the trusted identity provider decides who signs in as whom, administrators included.
    grant(
        "auth:saml_connection:write",
        &[Admin],
        "Create, change and deactivate SAML connections to identity providers",
    ),
    grant("auth:session:write", &[Admin], "Revoke sessions of users"),
    grant("auth:account:write", &[Admin], "Send links to set passwords, reset second factors, and close accounts"),
    grant("auth:policy:read", &[Admin, Manager, Auditor], "See the sign-in policy"),
    grant("auth:policy:write", &[Admin], "Change the sign-in policy"),
    grant("auth:branding:read", &[Admin, Manager, Auditor], "See the branding of the sign-in pages"),
    grant("auth:branding:write", &[Admin], "Change the branding of the sign-in pages"),
    grant("auth:key:read", &[Admin, Auditor], "See the keys that sign tokens"),
    grant("auth:key:write", &[Admin], "Rotate and retire the keys that sign tokens"),
    grant("auth:grant:read", &[Admin, Auditor], "See what people let applications do"),
    grant("auth:grant:write", &[Admin], "End what was granted to applications, and withdraw what people let them do"),
    grant("auth:job:read", &[Admin, Auditor], "See jobs of the auth service"),
    grant("auth:job:write", &[Admin], "Cancel and retry jobs of the auth service"),
    grant("auth:saga:read", &[Admin, Auditor], "See sagas and their results"),
    grant("auth:saga:write", &[Admin], "Resume stuck sagas, and cancel sagas"),
    grant(
        "auth:dead_letter:read",
        &[Admin, Auditor],
        "See events that a read model, saga or webhook could not process, with their payloads",
    ),
    grant("auth:dead_letter:write", &[Admin], "Redrive, edit and discard events that could not be processed"),
    // Only for administrators of the operators' tenant, whatever their role is called.
    grant("auth:projection:rebuild", &[Admin], "Rebuild read models, as an operator of the installation"),
    grant("auth:history:read", &[Admin, Auditor], "See who signed in, when, from where and how"),
    grant("auth:history:backdate", &[], "Nobody: what happened here happened when it was written"),
];

/// The permission for steps of the protocols. No role has it.
pub(crate) const PROTOCOL: &str = "auth:protocol:run";

/// A caller with the permission `auth:protocol:run`: the auth service itself, acting in a tenant for `subject`, a client or user whom it
/// has identified.
pub fn protocol(tenant: TenantId, subject: &str) -> Caller {
    Caller::new(tenant, subject, &[Admin], &[grant(PROTOCOL, &[Admin], "Carry out the sign-in protocols")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_may_act_as_the_protocol() {
        assert!(GRANTS.iter().all(|grant| grant.permission != PROTOCOL));
    }
}
