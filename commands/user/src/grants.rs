//! The permission table of the user service: the only place that says which role may do what.

use kernel::Grant;
use kernel::Role::{Admin, Auditor, Manager, Member, Viewer};

const EVERYBODY: &[kernel::Role] = &[Admin, Manager, Member, Viewer, Auditor];
const LEADERS: &[kernel::Role] = &[Admin, Manager];
const OVERSEERS: &[kernel::Role] = &[Admin, Manager, Auditor];

/// The permission of every user who may sign in, whatever their roles: to see and change their own data.
pub const SELF: &str = "user:self:write";

const fn grant(permission: &'static str, roles: &'static [kernel::Role], meaning: &'static str) -> Grant {
    Grant { permission, roles, meaning }
}

/// The user service's permissions, the roles that have them, and their descriptions.
pub const GRANTS: &[Grant] = &[
    grant(SELF, EVERYBODY, "Change one's own profile, and verify one's own e-mail address and telephone number"),
    grant("user:user:read", EVERYBODY, "See users"),
    grant("user:user:write", LEADERS, "Create, change, lock, deactivate and remove users"),
    grant("user:user:erase", &[Admin], "Erase the personal data of users"),
    grant("user:invitation:read", OVERSEERS, "See invitations"),
    grant("user:invitation:write", LEADERS, "Send, resend and revoke invitations"),
    grant("user:invitation:accept", &[], "Accept an invitation with its link"),
    grant("user:registration:request", &[], "Register on the registration page of a tenant that allows it"),
    grant("user:registration_policy:read", OVERSEERS, "See the registration policy"),
    grant(
        "user:registration_policy:write",
        &[Admin],
        "Change the registration policy: who may register without an invitation, and which roles they get",
    ),
    grant("user:user:admit", &[], "Create a user who signs in through a connected identity provider"),
    grant("user:email:verify", &[], "Verify an e-mail address with a link"),
    grant("user:import:read", OVERSEERS, "See imports of users"),
    grant(
        "user:import:write",
        LEADERS,
        "Import users from a file; also needs the permission to create or invite them one by one",
    ),
    grant("user:tenant:operate", &[], "Create, suspend, resume and delete tenants, as an operator of the platform"),
    grant("user:role:read", EVERYBODY, "See roles and their permissions"),
    grant("user:role:write", &[Admin], "Define, change and retire roles"),
    grant("user:role:grant", LEADERS, "Grant and revoke roles that allow no more than the caller's own permissions"),
    grant("user:group:read", EVERYBODY, "See groups and their members"),
    grant("user:group:write", LEADERS, "Create groups and change their members"),
    grant("user:organization:read", EVERYBODY, "See organizations and their members"),
    grant("user:organization:write", LEADERS, "Create organizations and change their members"),
    grant("user:domain:read", OVERSEERS, "See claimed and verified domains"),
    grant("user:domain:write", &[Admin], "Claim, verify and release domains"),
    grant("user:preference:read", EVERYBODY, "See the tenant's default preferences"),
    grant("user:preference:write", &[Admin], "Change the tenant's default preferences"),
    grant(
        "user:access:read",
        OVERSEERS,
        "See what users may do now, what they could do earlier, and what changed; test a change of roles on the services whose history one may read",
    ),
    grant("user:saga:read", OVERSEERS, "See sagas and their results"),
    grant("user:saga:write", LEADERS, "Resume stuck sagas, and cancel sagas"),
    grant("user:job:read", OVERSEERS, "See jobs, such as imports, and their results"),
    grant("user:job:write", LEADERS, "Cancel and retry jobs"),
    grant(
        "user:dead_letter:read",
        &[Admin, Auditor],
        "See events that a read model, saga or webhook could not process, with their payloads",
    ),
    grant("user:dead_letter:write", &[Admin], "Redrive, edit and discard events that could not be processed"),
    // Only for administrators of the operators' tenant, whatever their role is called.
    grant("user:projection:rebuild", &[Admin], "Rebuild read models, as an operator of the installation"),
    grant("user:history:read", OVERSEERS, "See the history of users, and who made each change"),
    grant("user:history:backdate", &[Admin], "Record that something happened earlier than now"),
];
