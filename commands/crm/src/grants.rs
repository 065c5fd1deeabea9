//! The permission table of CRM: the only place that says which role may do what.

use kernel::Grant;
use kernel::Role::{Admin, Auditor, Manager, Member, Viewer};

const EVERYBODY: &[kernel::Role] = &[Admin, Manager, Member, Viewer, Auditor];
const WORKERS: &[kernel::Role] = &[Admin, Manager, Member];
const LEADERS: &[kernel::Role] = &[Admin, Manager];

const fn grant(permission: &'static str, roles: &'static [kernel::Role], meaning: &'static str) -> Grant {
    Grant { permission, roles, meaning }
}

/// CRM's permissions, the roles that have them, and their descriptions.
pub const GRANTS: &[Grant] = &[
    grant("crm:lead:read", EVERYBODY, "See leads"),
    grant("crm:lead:write", WORKERS, "Capture, work on, qualify and convert leads"),
    grant("crm:contact:read", EVERYBODY, "See contacts"),
    grant("crm:contact:write", WORKERS, "Add and change contacts"),
    grant("crm:contact:erase", &[Admin], "Erase the personal data of leads and contacts"),
    grant("crm:account:read", EVERYBODY, "See accounts"),
    grant("crm:account:write", WORKERS, "Add and change accounts"),
    grant("crm:opportunity:read", EVERYBODY, "See opportunities and the pipeline board"),
    grant("crm:opportunity:write", WORKERS, "Open, move, win, lose and reopen opportunities"),
    grant("crm:pipeline:read", EVERYBODY, "See pipelines and their stages"),
    grant("crm:pipeline:write", LEADERS, "Set up pipelines and their stages"),
    grant("crm:currency:read", EVERYBODY, "See the base currency and exchange rates"),
    grant("crm:currency:write", LEADERS, "Choose the base currency and set exchange rates"),
    grant("crm:import:write", LEADERS, "Import leads from files, and revert an import"),
    grant("crm:import:read", EVERYBODY, "See imports and their results"),
    grant("crm:lead:export", LEADERS, "Export leads as a file"),
    grant("crm:follow_up:read", EVERYBODY, "See the follow-up policy for inactive leads"),
    grant("crm:follow_up:write", LEADERS, "Set the follow-up policy for inactive leads"),
    grant("crm:saga:read", &[Admin, Manager, Auditor], "See sagas and their results"),
    grant("crm:saga:write", LEADERS, "Resume stuck sagas and cancel sagas"),
    grant("crm:job:read", &[Admin, Manager, Auditor], "See jobs, such as exports, and their results"),
    grant("crm:job:write", LEADERS, "Cancel and retry jobs"),
    grant(
        "crm:dead_letter:read",
        &[Admin, Auditor],
        "See events that a read model, saga or webhook could not process, with their payloads",
    ),
    grant("crm:dead_letter:write", &[Admin], "Redrive, edit and discard events that could not be processed"),
    // Only for administrators of the operators' tenant, whatever their role is called.
    grant("crm:projection:rebuild", &[Admin], "Rebuild read models, as an operator of the installation"),
    grant(
        "crm:history:read",
        &[Admin, Manager, Auditor],
        "See the history of leads, contacts, accounts and opportunities, and who made each change",
    ),
    grant("crm:history:backdate", &[Admin], "Backdate changes: state that something happened earlier than now"),
];
