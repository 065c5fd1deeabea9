//! Organizations in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Node, int, page};
use juniper::{FieldResult, graphql_object};
use kernel::Service;
use user_aggregates::OrganizationId;
use user_projections::organizations::{self, OrganizationFilter, OrganizationRow};
use user_projections::people::PersonFilter;
use uuid::Uuid;

use super::user::{self, UserConnection};
use crate::SERVICE;

/// The permission to see organizations.
pub(crate) const READ: &str = "user:organization:read";

/// An organizational unit of a tenant.
#[derive(Clone, Debug)]
pub struct Organization(OrganizationRow);

/// An organizational unit of a tenant.
#[graphql_object(context = Context)]
impl Organization {
    /// Id of the organization.
    fn id(&self) -> Uuid {
        self.0.organization_id
    }

    /// Version of the organization, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Name of the organization.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the organization was closed.
    fn closed(&self) -> bool {
        self.0.closed
    }

    /// When the organization was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Parent organization.
    async fn parent(&self, context: &Context) -> FieldResult<Option<Self>> {
        Self::of(context, self.0.parent_id).await
    }

    /// Members of the organization, by name.
    async fn members(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<UserConnection> {
        let organization = Some(OrganizationId::new(self.0.organization_id));
        user::list(context, PersonFilter { organization, ..PersonFilter::default() }, None, first, after).await
    }
}

connection! {
    /// A page of organizations.
    pub struct OrganizationConnection of Organization by OrganizationEdge in SERVICE,
        counted by organizations::count where OrganizationFilter
}

pub(crate) async fn list(
    context: &Context,
    parent: Option<Uuid>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<OrganizationConnection> {
    context.require(READ)?;
    let filter = OrganizationFilter { parent: parent.map(OrganizationId::new) };
    let rows = page(context, SERVICE, &filter, (organizations::ByName, "ORGANIZATIONS_NAME"), first, after).await?;
    Ok(OrganizationConnection::new(rows.map(Organization), filter))
}

impl Node for Organization {
    type Row = OrganizationRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: OrganizationRow) -> Self {
        Self(row)
    }
}

impl Organization {
    /// The organizations with these ids, to which another object refers. Closed ones are left out.
    pub(crate) async fn all(context: &Context, ids: impl Iterator<Item = Uuid>) -> FieldResult<Vec<Self>> {
        context.require(READ)?;
        let found = ids.map(|id| Self::of(context, Some(id)));
        let organizations = futures::future::try_join_all(found).await?;
        Ok(organizations.into_iter().flatten().filter(|one| !one.0.closed).collect())
    }
}
