//! SAML connections in GraphQL.

use auth_projections::saml_connections::{self, SamlConnectionRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, int, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see them.
const READ: &str = "auth:saml_connection:read";

/// An identity provider that signs people in.
#[derive(Clone, Debug)]
pub struct SamlConnection(SamlConnectionRow);

/// An identity provider that signs people in.
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

connection! {
    /// A page of SAML connections.
    pub struct SamlConnectionConnection of SamlConnection by SamlConnectionEdge in SERVICE, counted by saml_connections::count where ()
}

/// The connections of the tenant, first created first.
pub(crate) async fn list(
    context: &Context,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<SamlConnectionConnection> {
    const ORDER: &str = "SAML_CONNECTIONS_OLDEST";
    context.require(READ)?;
    let request = PageRequest::new(first, after.as_deref(), ORDER)?;
    let mut tables = context.reader(SERVICE).await?;
    let tenant = context.caller().tenant();
    let rows = saml_connections::list(&mut tables, tenant, request.after, request.limit()).await;
    let rows = rows.map_err(unreadable)?.into_iter().map(SamlConnection).collect();
    Ok(SamlConnectionConnection::new(Page::new(&request, ORDER, rows, SamlConnection::id), ()))
}
