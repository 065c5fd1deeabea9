//! Roles in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{Context, int, unreadable};
use juniper::{FieldResult, graphql_object};
use user_projections::roles::{self, RoleRow};

use crate::SERVICE;

/// What one needs to see roles.
const READ: &str = "user:role:read";

/// A role that the tenant defined.
#[derive(Clone, Debug)]
pub struct Role(RoleRow);

/// A role that the tenant defined.
#[graphql_object(context = Context)]
impl Role {
    /// Its name in tokens and events.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name for people.
    fn title(&self) -> &str {
        &self.0.title
    }

    /// The role's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What it allows by itself.
    fn permissions(&self) -> Vec<String> {
        self.0.permissions.iter().cloned().collect()
    }

    /// The roles whose permissions it has besides.
    fn includes(&self) -> Vec<String> {
        self.0.includes.iter().cloned().collect()
    }

    /// Whether it allows nothing any more.
    fn retired(&self) -> bool {
        self.0.retired
    }

    /// When it was defined.
    fn defined_at(&self) -> DateTime<Utc> {
        self.0.defined_at
    }

    /// When it was last changed.
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
