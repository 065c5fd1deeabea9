//! SAML connections in GraphQL.

use auth_projections::saml_connections::{self, SamlConnectionRow};
use chrono::{DateTime, Utc};
use face::graphql::{Context, few, int, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see them.
const READ: &str = "auth:saml_connection:read";

/// An identity provider that signs people in.
#[derive(Clone, Debug)]
pub struct SamlConnection(SamlConnectionRow);

#[graphql_object(context = Context)]
impl SamlConnection {
    /// The connection's id.
    fn id(&self) -> Uuid {
        self.0.connection_id
    }

    /// The connection's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What people are shown.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The entity id of its provider.
    fn entity_id(&self) -> &str {
        &self.0.entity_id
    }

    /// The e-mail domains of the people whom it signs in.
    fn domains(&self) -> &[String] {
        &self.0.domains.0
    }

    /// Whether it signs people in.
    fn active(&self) -> bool {
        self.0.active
    }

    /// When it was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When anything last happened to it.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }
}

/// The connections of the tenant, oldest first.
pub(crate) async fn list(
    context: &Context,
    first: Option<i32>,
    after: Option<Uuid>,
) -> FieldResult<Vec<SamlConnection>> {
    context.require(READ)?;
    let first = few(first, 20, 100)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = saml_connections::list(&mut tables, context.caller().tenant(), after, first.into()).await;
    Ok(rows.map_err(unreadable)?.into_iter().map(SamlConnection).collect())
}
