//! Groups in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Node, int, page};
use juniper::{FieldResult, graphql_object};
use kernel::Service;
use user_aggregates::GroupId;
use user_projections::groups::{self, GroupFilter, GroupRow};
use user_projections::people::PersonFilter;
use uuid::Uuid;

use super::user::{self, UserConnection};
use crate::SERVICE;

/// The permission to see groups.
pub(crate) const READ: &str = "user:group:read";

/// A group of users that get roles together.
#[derive(Clone, Debug)]
pub struct Group(GroupRow);

/// A group of users that get roles together.
#[graphql_object(name = "UserGroup", context = Context)]
impl Group {
    /// Id of the group.
    fn id(&self) -> Uuid {
        self.0.group_id
    }

    /// Version of the group, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Name of the group.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Roles that members of the group get in addition to their own.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// Whether the group was dissolved.
    fn dissolved(&self) -> bool {
        self.0.dissolved
    }

    /// When the group was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Members of the group, by name.
    async fn members(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<UserConnection> {
        let filter = PersonFilter { group: Some(GroupId::new(self.0.group_id)), ..PersonFilter::default() };
        user::list(context, filter, None, first, after).await
    }
}

connection! {
    /// A page of groups.
    pub struct UserGroupConnection of Group by UserGroupEdge in SERVICE, counted by groups::count where GroupFilter
}

pub(crate) async fn list(
    context: &Context,
    name: Option<String>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<UserGroupConnection> {
    context.require(READ)?;
    let filter = GroupFilter { name, ..GroupFilter::default() };
    let rows = page(context, SERVICE, &filter, (groups::ByName, "GROUPS_NAME"), first, after).await?;
    Ok(UserGroupConnection::new(rows.map(Group), filter))
}

impl Node for Group {
    type Row = GroupRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: GroupRow) -> Self {
        Self(row)
    }
}

impl Group {
    /// The groups with these ids, to which another object refers. Dissolved ones are left out.
    pub(crate) async fn all(context: &Context, ids: impl Iterator<Item = Uuid>) -> FieldResult<Vec<Self>> {
        context.require(READ)?;
        let found = ids.map(|id| Self::of(context, Some(id)));
        let groups = futures::future::try_join_all(found).await?;
        Ok(groups.into_iter().flatten().filter(|group| !group.0.dissolved).collect())
    }
}
