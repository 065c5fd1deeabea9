//! What the histories of all objects have in common.

use crm_projections::{Version, versions};
use face::graphql::{Context, unreadable};
use juniper::FieldResult;
use uuid::Uuid;

use crate::SERVICE;

/// The permission to read the history of an object, needed in addition to the permission to read the object.
pub(crate) const READ: &str = "crm:history:read";

/// The changes of an object of a kind that is read with the permission `read`: those after a version, up to a number.
pub(crate) async fn changes<V: Version>(
    context: &Context,
    read: &'static str,
    id: Uuid,
    (after, first): (i64, i64),
) -> FieldResult<Vec<V>> {
    context.require(read)?;
    context.require(READ)?;
    let mut tables = context.reader(SERVICE).await?;
    versions(&mut tables, context.caller().tenant(), id, after, first).await.map_err(unreadable)
}
