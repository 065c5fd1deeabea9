//! Organizations in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Fetching, Node, int, page};
use juniper::{FieldResult, graphql_object};
use kernel::{Service, TenantId};
use sqlx::PgConnection;
use user_aggregates::OrganizationId;
use user_projections::organizations::{self, OrganizationFilter, OrganizationRow};
use user_projections::people::PersonFilter;
use uuid::Uuid;

use super::user::{self, UserConnection};
use crate::SERVICE;

/// What one needs to see organizations.
pub(crate) const READ: &str = "user:organization:read";

/// A part of a tenant.
#[derive(Clone, Debug)]
pub struct Organization(OrganizationRow);

/// A part of a tenant.
#[graphql_object(context = Context)]
impl Organization {
    /// The organization's id.
    fn id(&self) -> Uuid {
        self.0.organization_id
    }

    /// The organization's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Its name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it is no more.
    fn closed(&self) -> bool {
        self.0.closed
    }

    /// When it was made.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// The organization that it is a part of.
    async fn parent(&self, context: &Context) -> FieldResult<Option<Self>> {
        Self::of(context, self.0.parent_id).await
    }

    /// Who belongs to it, by name.
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
    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn find<'a>(tables: &'a mut PgConnection, tenant: TenantId, ids: &'a [Uuid]) -> Fetching<'a, Uuid, Self> {
        Box::pin(async move {
            let rows = organizations::find::<OrganizationRow>(tables, tenant, ids).await?;
            Ok(rows.into_iter().map(|row| (row.organization_id, Self(row))).collect())
        })
    }
}

impl Organization {
    /// The organizations of ids that another object names; closed ones are left out.
    pub(crate) async fn all(context: &Context, ids: impl Iterator<Item = Uuid>) -> FieldResult<Vec<Self>> {
        context.require(READ)?;
        let found = ids.map(|id| Self::of(context, Some(id)));
        let organizations = futures::future::try_join_all(found).await?;
        Ok(organizations.into_iter().flatten().filter(|one| !one.0.closed).collect())
    }
}
