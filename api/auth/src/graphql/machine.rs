//! Machines in GraphQL.

use auth_aggregates::ApiKeyRefusal;
use auth_projections::api_keys::{self, ApiKeyRow};
use auth_projections::machines::{self, MachineRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Fetch, Fetching, Page, PageRequest, Session, int, load, page, unreadable};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see machines and their keys.
pub(crate) const READ: &str = "auth:machine:read";

/// A sensor or an integration.
#[derive(Clone, Debug)]
pub struct Machine(MachineRow);

/// A sensor or an integration.
#[graphql_object(context = Context)]
impl Machine {
    /// The machine's id.
    fn id(&self) -> Uuid {
        self.0.machine_id
    }

    /// The machine's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Unique in the tenant.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is in the tenant, by name.
    fn roles(&self) -> &[String] {
        &self.0.roles.0
    }

    /// Whether it has a secret.
    fn has_secret(&self) -> bool {
        self.0.has_secret
    }

    /// How many keys it signs with.
    fn keys(&self) -> i32 {
        int(self.0.keys)
    }

    /// Whether it may have tokens.
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

    /// Its API keys, last issued first; revoked ones too.
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

/// Why somebody was refused who came with an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLEnum)]
#[graphql(name = "ApiKeyRefusal")]
pub enum Refused {
    /// They know its id and not its secret.
    SecretWrong,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// The machine whose it is was deactivated.
    MachineInactive,
}

impl Refused {
    /// The one of this name in events.
    fn named(name: &str) -> Option<Self> {
        let all = [
            (ApiKeyRefusal::SecretWrong, Self::SecretWrong),
            (ApiKeyRefusal::Expired, Self::Expired),
            (ApiKeyRefusal::Revoked, Self::Revoked),
            (ApiKeyRefusal::MachineInactive, Self::MachineInactive),
        ];
        all.into_iter().find(|(event, _)| event.as_str() == name).map(|(_, refused)| refused)
    }
}

/// A key with which a machine calls the API. Nothing of its secret is kept.
#[derive(Clone, Debug)]
pub struct ApiKey(ApiKeyRow);

/// A key with which a machine calls the API. Nothing of its secret is kept.
#[graphql_object(context = Context)]
impl ApiKey {
    /// The key's id.
    fn id(&self) -> Uuid {
        self.0.api_key_id
    }

    /// What it is for.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The permissions to which it is limited; none: it is not.
    fn scopes(&self) -> &[String] {
        &self.0.scopes.0
    }

    /// When it was issued.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it ends.
    fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was last used, to about an hour.
    fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When somebody was last refused who came with it, to about an hour.
    fn last_refused_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_refused_at
    }

    /// Why they were.
    fn last_refusal(&self) -> Option<Refused> {
        self.0.last_refusal.as_deref().and_then(Refused::named)
    }

    /// When it was revoked.
    fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

connection! {
    /// A page of a machine's API keys.
    pub struct ApiKeyConnection of ApiKey by ApiKeyEdge, counted by count where Uuid
}

/// The API keys of machines: of each before which one, and how many.
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
            let lists = lists.into_iter().map(|rows| rows.into_iter().map(ApiKey).collect());
            Ok(keys.iter().copied().zip(lists).collect())
        })
    }
}

/// How many API keys machines have.
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

/// Which machines; what is left out does not matter.
#[derive(Clone, Copy, Debug, Default, GraphQLInputObject)]
pub struct MachineFilter {
    /// Whether they may have tokens.
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

impl Machine {
    pub(crate) async fn of(context: &Context, id: Uuid) -> FieldResult<Option<Self>> {
        context.require(READ)?;
        let mut tables = context.reader(SERVICE).await?;
        let rows = machines::find::<MachineRow>(&mut tables, context.caller().tenant(), &[id]).await;
        Ok(rows.map_err(unreadable)?.pop().map(Machine))
    }
}
