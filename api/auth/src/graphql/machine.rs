//! Machines in GraphQL.

use auth_projections::api_keys::{self, ApiKeyRow};
use auth_projections::machines::{self, MachineRow};
use chrono::{DateTime, Utc};
use face::graphql::{Context, Fetch, Fetching, Node, Page, PageRequest, Session, int, keyed, load, page};
use face::{connection, mirror};
use juniper::{FieldResult, GraphQLInputObject, graphql_object};
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::SERVICE;

/// The permission to see machines and their keys.
pub(crate) const READ: &str = "auth:machine:read";

/// A sensor or an integration.
#[derive(Clone, Debug)]
pub struct Machine(MachineRow);

/// A sensor or an integration.
#[graphql_object(context = Context)]
impl Machine {
    /// Id of the machine.
    fn id(&self) -> Uuid {
        self.0.machine_id
    }

    /// Version of the machine, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Name, unique in the tenant.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Roles of the machine, by name.
    fn roles(&self) -> &[String] {
        &self.0.roles.0
    }

    /// Whether the machine has a secret.
    fn has_secret(&self) -> bool {
        self.0.has_secret
    }

    /// Number of public keys of the machine.
    fn keys(&self) -> i32 {
        int(self.0.keys)
    }

    /// Whether the machine is active and may get tokens.
    fn active(&self) -> bool {
        self.0.active
    }

    /// When the machine was registered.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the machine was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// API keys of the machine, most recently issued first, including revoked ones.
    async fn api_keys(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<ApiKeyConnection> {
        const ORDER: &str = "API_KEYS_NEWEST";
        let request = PageRequest::new(first, after.as_deref(), ORDER)?;
        let machine = self.0.machine_id;
        let rows = load::<ApiKeys>(context, SERVICE, (machine, request.after, request.limit())).await?;
        Ok(ApiKeyConnection::new(Page::new(&request, ORDER, rows.unwrap_or_default(), ApiKey::id), machine))
    }
}

mirror! {
    /// Why a request with an API key was refused.
    pub enum ApiKeyRefusal of auth_aggregates::ApiKeyRefusal {
        /// The key's id is known, but the secret is wrong.
        SecretWrong,
        /// The key has expired.
        Expired,
        /// The key was revoked.
        Revoked,
        /// The key's machine was deactivated.
        MachineInactive,
    }
}

/// A key with which a machine calls the API. Its secret is not stored.
#[derive(Clone, Debug)]
pub struct ApiKey(ApiKeyRow);

/// A key with which a machine calls the API. Its secret is not stored.
#[graphql_object(context = Context)]
impl ApiKey {
    /// Id of the key.
    fn id(&self) -> Uuid {
        self.0.api_key_id
    }

    /// Display name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Permissions to which the key is limited; empty: no limit.
    fn scopes(&self) -> &[String] {
        &self.0.scopes.0
    }

    /// When the key was issued.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the key expires.
    fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When the key was last used, accurate to about an hour.
    fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When a request with this key was last refused, accurate to about an hour.
    fn last_refused_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_refused_at
    }

    /// Reason of the last refusal.
    fn last_refusal(&self) -> Option<ApiKeyRefusal> {
        self.0.last_refusal.map(|reason| reason.0.into())
    }

    /// When the key was revoked.
    fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

connection! {
    /// A page of a machine's API keys.
    pub struct ApiKeyConnection of ApiKey by ApiKeyEdge, counted by count where Uuid
}

/// Loads the API keys of several machines at once. Each is requested by the machine, the id of the key before which the page starts, and
/// the limit.
struct ApiKeys;

impl Fetch for ApiKeys {
    type Key = (Uuid, Option<Uuid>, i64);
    type Value = Vec<ApiKey>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = api_keys::of_machines(tables, tenant, keys).await?;
            Ok(keyed(keys, lists, ApiKey))
        })
    }
}

/// Loads the number of API keys of several machines at once.
struct ApiKeyCounts;

impl Fetch for ApiKeyCounts {
    type Key = Uuid;
    type Value = i64;

    fn fetch<'a>(session: &'a Session, tables: &'a mut PgConnection, keys: &'a [Uuid]) -> Fetching<'a, Uuid, i64> {
        let tenant = session.caller().tenant();
        Box::pin(async move { Ok(api_keys::counts(tables, tenant, keys).await?.into_iter().collect()) })
    }
}

async fn count(context: &Context, machine: &Uuid) -> FieldResult<i64> {
    Ok(load::<ApiKeyCounts>(context, SERVICE, *machine).await?.unwrap_or_default())
}

/// Conditions that machines must meet; fields that are left out do not restrict.
#[derive(Clone, Copy, Debug, Default, GraphQLInputObject)]
pub struct MachineFilter {
    /// Whether they are active and may get tokens.
    active: Option<bool>,
}

connection! {
    /// A page of machines.
    pub struct MachineConnection of Machine by MachineEdge in SERVICE, counted by machines::count where machines::MachineFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<MachineFilter>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<MachineConnection> {
    context.require(READ)?;
    let filter = machines::MachineFilter { active: filter.unwrap_or_default().active };
    let rows = page(context, SERVICE, &filter, (machines::ByName, "MACHINES_NAME"), first, after).await?;
    Ok(MachineConnection::new(rows.map(Machine), filter))
}

impl Node for Machine {
    type Row = MachineRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: MachineRow) -> Self {
        Self(row)
    }
}
