//! Users in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{
    Context, Fetch, Fetching, Node, Page, PageRequest, PostalAddress, Session, Stretch, int, load, unlistable,
    unreadable,
};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::{Service, TenantId, UserId, picture_address};
use sqlx::PgConnection;
use user_aggregates as domain;
use user_projections::people::{self, Behind, Body, PersonHistoryRow, PersonRow};
use user_projections::{ListError, Seek, SeekKey};
use uuid::Uuid;

use super::access::{self, Access};
use super::group::Group;
use super::organization::Organization;
use crate::SERVICE;

/// What one needs to see users.
pub(crate) const READ: &str = "user:user:read";
/// What one needs, beside that, to see what happened to them.
const HISTORY: &str = "user:history:read";

/// Whether a user may sign in, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLEnum)]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// May not, because something is wrong.
    Locked,
    /// May not, because they do not work here for now.
    Deactivated,
    /// Is no user any more.
    Removed,
    /// Nothing of them is kept.
    Erased,
}

impl From<domain::UserStatus> for UserStatus {
    fn from(status: domain::UserStatus) -> Self {
        match status {
            domain::UserStatus::Active => Self::Active,
            domain::UserStatus::Locked => Self::Locked,
            domain::UserStatus::Deactivated => Self::Deactivated,
            domain::UserStatus::Removed => Self::Removed,
            domain::UserStatus::Erased => Self::Erased,
        }
    }
}

impl From<UserStatus> for domain::UserStatus {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::Active => Self::Active,
            UserStatus::Locked => Self::Locked,
            UserStatus::Deactivated => Self::Deactivated,
            UserStatus::Removed => Self::Removed,
            UserStatus::Erased => Self::Erased,
        }
    }
}

/// A person who uses the platform.
#[derive(Clone, Debug)]
pub struct User(PersonRow);

/// A person who uses the platform.
#[graphql_object(context = Context)]
impl User {
    /// The user's id, the subject of their tokens.
    fn id(&self) -> Uuid {
        self.0.user_id
    }

    /// The user's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Whether they may sign in, and why not.
    fn status(&self) -> UserStatus {
        self.0.status.0.into()
    }

    /// Full name; empty when they are erased.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Given name.
    fn given_name(&self) -> Option<&str> {
        self.0.given_name.as_deref()
    }

    /// Family name.
    fn family_name(&self) -> Option<&str> {
        self.0.family_name.as_deref()
    }

    /// What they do.
    fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// E-mail address, lower case.
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// Whether they have shown that the address is theirs.
    fn email_verified(&self) -> bool {
        self.0.email_verified
    }

    /// The name that they sign in with.
    fn user_name(&self) -> Option<&str> {
        self.0.user_name.as_deref()
    }

    /// Telephone number, E.164.
    fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    /// Whether they have shown that the number is theirs.
    fn phone_verified(&self) -> bool {
        self.0.phone_verified
    }

    /// Where post reaches them.
    fn address(&self) -> Option<PostalAddress> {
        self.0.address.as_deref().map(Into::into)
    }

    /// Where a picture of them is: one that they uploaded, or one elsewhere.
    fn picture(&self, context: &Context) -> Option<String> {
        let uploaded = self.0.uploaded_picture.as_ref();
        let here = uploaded.map(|picture| picture_address(context.public_url(), context.caller().tenant(), picture));
        here.or_else(|| self.0.picture.clone())
    }

    /// The language that they want, BCP 47.
    fn locale(&self) -> Option<&str> {
        self.0.locale.as_deref()
    }

    /// Where their day is, by its name in the IANA time zone database.
    fn time_zone(&self) -> Option<&str> {
        self.0.time_zone.as_deref()
    }

    /// Their own roles; those of their groups come on top.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// When they became a user.
    fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }

    /// When anything last happened to them.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// Their groups.
    async fn groups(&self, context: &Context) -> FieldResult<Vec<Group>> {
        Group::all(context, self.0.groups.iter().copied()).await
    }

    /// Their organizations.
    async fn organizations(&self, context: &Context) -> FieldResult<Vec<Organization>> {
        Organization::all(context, self.0.organizations.iter().copied()).await
    }

    /// What they may do.
    async fn access(&self, context: &Context) -> FieldResult<Option<Access>> {
        access::of_user(context, UserId::new(self.0.user_id)).await
    }
}

/// Something that happened to a user, and how they stood then.
#[derive(Clone, Debug)]
pub struct UserChange(PersonHistoryRow);

/// Something that happened to a user, and how they stood then.
#[graphql_object(context = Context)]
impl UserChange {
    /// The user's version after it.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What happened, such as `role_granted`.
    fn change(&self) -> &str {
        &self.0.change
    }

    /// In whose name, by the subject of their token.
    fn actor(&self) -> &str {
        &self.0.actor
    }

    /// Whether they might sign in then.
    fn status(&self) -> UserStatus {
        self.0.status.0.into()
    }

    /// Their own roles then.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// From when to when it was so.
    fn valid(&self) -> Stretch {
        Stretch { from: self.0.valid_from, to: self.0.valid_to.0 }
    }

    /// From when to when the log knew no more than that.
    fn known(&self) -> Stretch {
        Stretch { from: self.0.known_from, to: self.0.known_to.0 }
    }
}

/// Which users; what is left out does not matter.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct UserFilter {
    /// Each of these words begins a word of name, e-mail address, user name or telephone number, in any case.
    search: Option<String>,
    /// The e-mail address, in any case.
    email: Option<String>,
    /// The name that they sign in with, in any case.
    user_name: Option<String>,
    /// In one of these states; left out: who is a user, be they locked or deactivated.
    status: Option<Vec<UserStatus>>,
    /// With this role of their own.
    role: Option<String>,
    /// In this group.
    group_id: Option<Uuid>,
    /// In this organization.
    organization_id: Option<Uuid>,
}

impl From<UserFilter> for people::PersonFilter {
    fn from(filter: UserFilter) -> Self {
        Self {
            search: filter.search,
            email: filter.email,
            user_name: filter.user_name,
            status: filter.status.map(|status| status.into_iter().map(Into::into).collect()),
            role: filter.role,
            group: filter.group_id.map(domain::GroupId::new),
            organization: filter.organization_id.map(domain::OrganizationId::new),
        }
    }
}

/// In which order users are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum UserOrder {
    /// By name, in the order of code points.
    Name,
    /// Last registered first.
    Newest,
    /// First registered first.
    Oldest,
}

impl UserOrder {
    const fn key(self) -> (people::PersonOrder, &'static str) {
        match self {
            Self::Name => (people::PersonOrder::Name, "USERS_NAME"),
            Self::Newest => (people::PersonOrder::Newest, "USERS_NEWEST"),
            Self::Oldest => (people::PersonOrder::Oldest, "USERS_OLDEST"),
        }
    }
}

connection! {
    /// A page of users.
    pub struct UserConnection of User by UserEdge, counted by count where people::PersonFilter
}

/// Who belongs to groups and organizations: of each from where on, and how many.
struct Members;

impl Fetch for Members {
    type Key = (Body, Option<Behind>, i64);
    type Value = Vec<User>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = people::members(tables, tenant, keys).await?;
            let lists = lists.into_iter().map(|rows| rows.into_iter().map(User).collect());
            Ok(keys.iter().cloned().zip(lists).collect())
        })
    }
}

/// How many belong to groups and organizations.
struct MemberCounts;

impl Fetch for MemberCounts {
    type Key = Body;
    type Value = i64;

    fn fetch<'a>(session: &'a Session, tables: &'a mut PgConnection, keys: &'a [Body]) -> Fetching<'a, Body, i64> {
        let tenant = session.caller().tenant();
        Box::pin(async move { Ok(people::count_members(tables, tenant, keys).await?.into_iter().collect()) })
    }
}

async fn count(context: &Context, filter: &people::PersonFilter) -> FieldResult<i64> {
    if let Some(body) = filter.body() {
        return Ok(load::<MemberCounts>(context, SERVICE, body).await?.unwrap_or_default());
    }
    let mut tables = context.reader(SERVICE).await?;
    people::count(&mut tables, context.caller().tenant(), filter).await.map_err(unreadable)
}

/// A page of those whom the filter lets through. Who belongs to something is read for all that are asked for at once.
async fn rows(
    context: &Context,
    filter: &people::PersonFilter,
    order: people::PersonOrder,
    after: Option<Seek>,
    limit: i64,
) -> FieldResult<Vec<User>> {
    if let (Some(body), people::PersonOrder::Name) = (filter.body(), order) {
        let behind = match after {
            None => None,
            Some(Seek { key: SeekKey::Text(name), id }) => Some((name, id)),
            Some(_) => return Err(unlistable(ListError::Cursor)),
        };
        return Ok(load::<Members>(context, SERVICE, (body, behind, limit)).await?.unwrap_or_default());
    }
    let mut tables = context.reader(SERVICE).await?;
    let rows = people::list(&mut tables, context.caller().tenant(), filter, order, after, limit).await;
    Ok(rows.map_err(unlistable)?.into_iter().map(User).collect())
}

pub(crate) async fn list(
    context: &Context,
    filter: people::PersonFilter,
    order: Option<UserOrder>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<UserConnection> {
    context.require(READ)?;
    let (order, name) = order.unwrap_or(UserOrder::Name).key();
    let mut request = PageRequest::new(first, after.as_deref(), name)?;
    let rows = rows(context, &filter, order, request.after.take(), request.limit()).await?;
    Ok(UserConnection::new(Page::new(&request, name, rows, |row: &User| order.seek(&row.0)), filter))
}

pub(crate) async fn history(context: &Context, user: UserId, after: i64, first: i64) -> FieldResult<Vec<UserChange>> {
    context.require(READ)?;
    context.require(HISTORY)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = people::history(&mut tables, context.caller().tenant(), user, after, first).await;
    Ok(rows.map_err(unreadable)?.into_iter().map(UserChange).collect())
}

impl Node for User {
    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn find<'a>(tables: &'a mut PgConnection, tenant: TenantId, ids: &'a [Uuid]) -> Fetching<'a, Uuid, Self> {
        Box::pin(async move {
            let rows = people::find(tables, tenant, ids).await?;
            Ok(rows.into_iter().map(|row| (row.user_id, Self(row))).collect())
        })
    }
}
