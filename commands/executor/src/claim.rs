//! Claims: what may stand only once in a tenant, taken in the same append as the events that need it.

/// A kind of claim, and what it means when one is in the way.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimKind {
    /// Its name in the log, for example `crm.contact.email`.
    pub name: &'static str,
    /// The refusal's stable code when the claim is in the way, for example `contact_email_taken`.
    pub code: &'static str,
    /// What was wrong and what is allowed, for people.
    pub detail: &'static str,
}
