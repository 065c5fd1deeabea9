//! SAML connections in GraphQL.

use auth_projections::saml_connections::{self, SamlConnectionRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, int, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// The permission to see SAML connections.
const READ: &str = "auth:saml_connection:read";

/// An identity provider that signs users in by SAML.
#[derive(Clone, Debug)]
pub struct SamlConnection(SamlConnectionRow);

/// An identity provider that signs users in by SAML.
#[graphql_object(context = Context)]
impl SamlConnection {
    /// Id of the connection.
    fn id(&self) -> Uuid {
        self.0.connection_id
    }

    /// Version of the connection, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Name shown to users.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Entity id of the identity provider.
    fn entity_id(&self) -> &str {
        &self.0.entity_id
    }

    /// E-mail domains of the users whom the provider signs in.
    fn domains(&self) -> &[String] {
        &self.0.domains.0
    }

    /// Whether the connection is active and signs users in.
    fn active(&self) -> bool {
        self.0.active
    }

    /// When the connection was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the connection was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }
}

connection! {
    /// A page of SAML connections.
    pub struct SamlConnectionConnection of SamlConnection by SamlConnectionEdge in SERVICE, counted by saml_connections::count where ()
}

/// Lists the tenant's connections, first created first.
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
