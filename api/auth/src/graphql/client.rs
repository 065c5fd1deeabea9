//! Applications in GraphQL.

use auth_projections::clients::{self, ClientRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, int, page, unreadable};
use juniper::{FieldResult, GraphQLInputObject, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see them.
const READ: &str = "auth:client:read";

/// An application that signs people in.
#[derive(Clone, Debug)]
pub struct Client(ClientRow);

/// An application that signs people in. Nothing of its secret is kept.
#[graphql_object(context = Context)]
impl Client {
    /// Its id: its `client_id`.
    fn id(&self) -> Uuid {
        self.0.client_id
    }

    /// The application's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What people are shown.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it can keep a secret.
    fn confidential(&self) -> bool {
        self.0.confidential
    }

    /// Whether people are not asked what it may.
    fn trusted(&self) -> bool {
        self.0.trusted
    }

    /// Where people are sent back to.
    fn redirect_uris(&self) -> &[String] {
        &self.0.redirect_uris.0
    }

    /// Whether it has a secret.
    fn has_secret(&self) -> bool {
        self.0.has_secret
    }

    /// How many keys it signs with.
    fn keys(&self) -> i32 {
        int(self.0.keys)
    }

    /// Whether it may sign people in.
    fn active(&self) -> bool {
        self.0.active
    }

    /// When it was registered.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When anything last happened to it.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }
}

/// Which applications; what is left out does not matter.
#[derive(Clone, Copy, Debug, Default, GraphQLInputObject)]
pub struct ClientFilter {
    /// Whether they may sign people in.
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

impl Client {
    pub(crate) async fn of(context: &Context, id: Uuid) -> FieldResult<Option<Self>> {
        context.require(READ)?;
        let mut tables = context.reader(SERVICE).await?;
        let rows = clients::find::<ClientRow>(&mut tables, context.caller().tenant(), &[id]).await;
        Ok(rows.map_err(unreadable)?.pop().map(Client))
    }
}
