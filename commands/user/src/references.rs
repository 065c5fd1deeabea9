//! References in a body to other aggregates of the tenant.

use executor::Work;
use kernel::Refusal;
use user_aggregates::{Group, GroupId, Organization, OrganizationId};

/// Refuses a group that does not exist or is dissolved. Another tenant's does not exist.
pub(crate) async fn existing_group(work: &mut Work<'_>, group: GroupId, pointer: &str) -> Result<(), Refusal> {
    match work.rely::<Group>(group).await? {
        Some(found) if !found.dissolved => Ok(()),
        _ => Err(Refusal::reference(pointer, "not_found", format!("there is no group {group}"))),
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
        _ => Err(Refusal::reference(pointer, "not_found", format!("there is no organization {organization}"))),
    }
}
