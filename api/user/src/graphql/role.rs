//! Roles in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{Context, int, unreadable};
use juniper::{FieldResult, graphql_object};
use user_projections::roles::{self, RoleRow};

use crate::SERVICE;

/// The permission to see roles.
const READ: &str = "user:role:read";

/// A role defined by the tenant.
#[derive(Clone, Debug)]
pub struct Role(RoleRow);

/// A role defined by the tenant.
#[graphql_object(context = Context)]
impl Role {
    /// Name in tokens and events.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Display name.
    fn title(&self) -> &str {
        &self.0.title
    }

    /// Version of the role, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Permissions of the role itself, without those of included roles.
    fn permissions(&self) -> Vec<String> {
        self.0.permissions.iter().cloned().collect()
    }

    /// Roles whose permissions are included.
    fn includes(&self) -> Vec<String> {
        self.0.includes.iter().cloned().collect()
    }

    /// Whether the role was retired: it grants nothing any more.
    fn retired(&self) -> bool {
        self.0.retired
    }

    /// When the role was defined.
    fn defined_at(&self) -> DateTime<Utc> {
        self.0.defined_at
    }

    /// When the role was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }
}

pub(crate) async fn list(context: &Context) -> FieldResult<Vec<Role>> {
    context.require(READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = roles::list(&mut tables, context.caller().tenant()).await.map_err(unreadable)?;
    Ok(rows.into_iter().map(Role).collect())
}
