//! Applications in GraphQL.

use auth_projections::clients::{self, ClientRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Node, int, page};
use juniper::{FieldResult, GraphQLInputObject, graphql_object};
use kernel::Service;
use uuid::Uuid;

use crate::SERVICE;

/// The permission to see clients.
const READ: &str = "auth:client:read";

/// An application that signs users in.
#[derive(Clone, Debug)]
pub struct Client(ClientRow);

/// An application that signs users in. Its secret is not stored.
#[graphql_object(context = Context)]
impl Client {
    /// Id of the application (`client_id`).
    fn id(&self) -> Uuid {
        self.0.client_id
    }

    /// Version of the application, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Name shown to users.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the application can keep a secret.
    fn confidential(&self) -> bool {
        self.0.confidential
    }

    /// Whether users are not asked for consent.
    fn trusted(&self) -> bool {
        self.0.trusted
    }

    /// URIs to which users may be redirected after sign-in.
    fn redirect_uris(&self) -> &[String] {
        &self.0.redirect_uris.0
    }

    /// Whether the application has a secret.
    fn has_secret(&self) -> bool {
        self.0.has_secret
    }

    /// Number of public keys of the application.
    fn keys(&self) -> i32 {
        int(self.0.keys)
    }

    /// Whether the application may sign users in.
    fn active(&self) -> bool {
        self.0.active
    }

    /// When the application was registered.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the application was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }
}

/// Conditions that applications must meet; fields that are left out do not restrict.
#[derive(Clone, Copy, Debug, Default, GraphQLInputObject)]
pub struct ClientFilter {
    /// Whether they may sign users in.
    active: Option<bool>,
}

connection! {
    /// A page of applications.
    pub struct ClientConnection of Client by ClientEdge in SERVICE, counted by clients::count where clients::ClientFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<ClientFilter>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<ClientConnection> {
    context.require(READ)?;
    let filter = clients::ClientFilter { active: filter.unwrap_or_default().active };
    let rows = page(context, SERVICE, &filter, (clients::ByName, "CLIENTS_NAME"), first, after).await?;
    Ok(ClientConnection::new(rows.map(Client), filter))
}

impl Node for Client {
    type Row = ClientRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: ClientRow) -> Self {
        Self(row)
    }
}
