//! References in a body to other aggregates of the tenant.

use executor::Work;
use kernel::{FieldError, Refusal};
use user_aggregates::{Group, GroupId, Organization, OrganizationId};

/// Refuses a group that does not exist or is dissolved. Another tenant's does not exist.
pub(crate) async fn existing_group(work: &mut Work<'_>, group: GroupId, pointer: &str) -> Result<(), Refusal> {
    match work.rely::<Group>(group).await? {
        Some(found) if !found.dissolved => Ok(()),
        _ => Err(unknown(pointer, "not_found", format!("there is no group {group}"))),
    }
}

/// Refuses an organization that does not exist or is closed. Another tenant's does not exist.
pub(crate) async fn existing_organization(
    work: &mut Work<'_>,
    organization: OrganizationId,
    pointer: &str,
) -> Result<(), Refusal> {
    match work.rely::<Organization>(organization).await? {
        Some(found) if !found.closed => Ok(()),
        _ => Err(unknown(pointer, "not_found", format!("there is no organization {organization}"))),
    }
}

/// The refusal of a reference that does not exist. It is not a validation error: the body is well-formed, and the target may have existed.
pub(crate) fn unknown(pointer: &str, code: &'static str, detail: String) -> Refusal {
    Refusal::references(vec![FieldError { pointer: pointer.to_owned(), code, detail }])
}
