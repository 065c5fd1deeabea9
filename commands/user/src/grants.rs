//! The permission table of the user service: the only place that says which role may do what.

use kernel::Grant;
use kernel::Role::{Admin, Auditor, Manager, Member, Viewer};

const EVERYBODY: &[kernel::Role] = &[Admin, Manager, Member, Viewer, Auditor];
const LEADERS: &[kernel::Role] = &[Admin, Manager];
const OVERSEERS: &[kernel::Role] = &[Admin, Manager, Auditor];

const fn grant(permission: &'static str, roles: &'static [kernel::Role], meaning: &'static str) -> Grant {
    Grant { permission, roles, meaning }
}

/// The user service's permissions, the roles that have them, and what they allow.
pub const GRANTS: &[Grant] = &[
    grant(
        "user:self:write",
        EVERYBODY,
        "Change one's own profile, and verify one's own e-mail address and telephone number",
    ),
    grant("user:user:read", EVERYBODY, "See users"),
    grant("user:user:write", LEADERS, "Add users, change them, lock, deactivate and remove them"),
    grant("user:user:erase", &[Admin], "Erase all that tells who a user was"),
    grant("user:invitation:read", OVERSEERS, "See invitations"),
    grant("user:invitation:write", LEADERS, "Invite, send invitations again, and take them back"),
    grant("user:invitation:accept", &[], "Accept an invitation: whoever has its link"),
    grant("user:registration:request", &[], "Ask for an account: whoever opens the page of a tenant that lets them"),
    grant("user:registration_policy:read", OVERSEERS, "See who may register by themselves"),
    grant("user:registration_policy:write", &[Admin], "Say who may register by themselves, and what they get"),
    grant("user:user:admit", &[], "Let somebody in for whom a connected identity provider vouches"),
    grant("user:email:verify", &[], "Verify an e-mail address: whoever has the link"),
    grant("user:import:read", OVERSEERS, "See imports of users"),
    grant("user:import:write", LEADERS, "Import users from a file, as far as one may add or invite them one by one"),
    grant("user:tenant:operate", &[], "Make, suspend, resume and delete tenants: whoever operates the platform"),
    grant("user:role:read", EVERYBODY, "See roles and what they allow"),
    grant("user:role:write", &[Admin], "Define, change and retire roles"),
    grant("user:role:grant", LEADERS, "Grant and revoke roles that allow no more than one's own"),
    grant("user:group:read", EVERYBODY, "See groups and who is in them"),
    grant("user:group:write", LEADERS, "Make groups and say who is in them"),
    grant("user:organization:read", EVERYBODY, "See organizations and who belongs to them"),
    grant("user:organization:write", LEADERS, "Make organizations and say who belongs to them"),
    grant("user:domain:read", OVERSEERS, "See which domains are claimed, and which are shown to be the tenant's"),
    grant("user:domain:write", &[Admin], "Claim domains, have their records looked for, and release them"),
    grant("user:preference:read", EVERYBODY, "See what users get who prefer nothing"),
    grant("user:preference:write", &[Admin], "Say what users get who prefer nothing"),
    grant("user:access:read", OVERSEERS, "See what users may do now, might do at any time, and what changed between"),
    grant("user:saga:read", OVERSEERS, "See what runs by itself, and what became of it"),
    grant("user:saga:write", LEADERS, "Resume what is stuck, and cancel what runs by itself"),
    grant("user:job:read", OVERSEERS, "See jobs, such as imports, and what became of them"),
    grant("user:job:write", LEADERS, "Cancel and retry jobs"),
    grant(
        "user:dead_letter:read",
        &[Admin, Auditor],
        "See events that a read model, saga or webhook could not take, with their payloads",
    ),
    grant("user:dead_letter:write", &[Admin], "Redrive, edit and discard such events"),
    // For administrators of the operators' tenant only, whatever their role is called.
    grant("user:projection:rebuild", &[Admin], "Build read models anew, as an operator of the installation"),
    grant("user:history:read", OVERSEERS, "See what happened to users, and who did it"),
    grant("user:history:backdate", &[Admin], "Say that something happened earlier than now"),
];
