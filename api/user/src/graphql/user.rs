//! Users in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{
    Context, Fetch, Fetching, Node, Page, PageRequest, PostalAddress, Session, int, keyed, load, unlistable, unreadable,
};
use face::{change_object, connection, mirror};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::{Service, UserId, picture_address};
use sqlx::PgConnection;
use user_aggregates as domain;
use user_projections::people::{self, MemberCursor, MembersOf, PersonHistoryRow, PersonRow};
use user_projections::{ListError, Seek, SeekKey};
use uuid::Uuid;

use super::access::{self, Access};
use super::group::Group;
use super::organization::Organization;
use crate::SERVICE;

/// The permission to see users.
pub(crate) const READ: &str = "user:user:read";
/// The permission that is needed in addition to see the history of users.
const HISTORY: &str = "user:history:read";

mirror! {
    /// State of a user: whether they may sign in, and if not, why.
    pub enum UserStatus of domain::UserStatus {
        /// May sign in.
        Active,
        /// Can't sign in because something is wrong.
        Locked,
        /// Can't sign in because they do not work here for now.
        Deactivated,
        /// No longer a user.
        Removed,
        /// All personal data is erased.
        Erased,
    }
}

/// A user of the tenant.
#[derive(Clone, Debug)]
pub struct User(PersonRow);

/// A user of the tenant.
#[graphql_object(context = Context)]
impl User {
    /// Id of the user, which is the subject of their tokens.
    fn id(&self) -> Uuid {
        self.0.user_id
    }

    /// Version of the user, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// State of the user: whether they may sign in, and if not, why.
    fn status(&self) -> UserStatus {
        self.0.status.0.into()
    }

    /// Full name; empty for an erased user.
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

    /// Job title.
    fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// E-mail address, in lower case.
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// Whether the e-mail address is verified.
    fn email_verified(&self) -> bool {
        self.0.email_verified
    }

    /// User name for signing in.
    fn user_name(&self) -> Option<&str> {
        self.0.user_name.as_deref()
    }

    /// Telephone number (E.164).
    fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    /// Whether the telephone number is verified.
    fn phone_verified(&self) -> bool {
        self.0.phone_verified
    }

    /// Postal address.
    fn address(&self) -> Option<PostalAddress> {
        self.0.address.as_deref().map(Into::into)
    }

    /// URL of the user's picture, uploaded or external.
    fn picture(&self, context: &Context) -> Option<String> {
        let uploaded = self.0.uploaded_picture.as_ref();
        let here = uploaded.map(|picture| picture_address(context.public_url(), context.caller().tenant(), picture));
        here.or_else(|| self.0.picture.clone())
    }

    /// Preferred language (BCP 47).
    fn locale(&self) -> Option<&str> {
        self.0.locale.as_deref()
    }

    /// Time zone (IANA time zone database).
    fn time_zone(&self) -> Option<&str> {
        self.0.time_zone.as_deref()
    }

    /// The user's own roles, without those of their groups.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// When they became a user.
    fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }

    /// When the user was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// Groups of the user.
    async fn groups(&self, context: &Context) -> FieldResult<Vec<Group>> {
        Group::all(context, self.0.groups.iter().copied()).await
    }

    /// Organizations of the user.
    async fn organizations(&self, context: &Context) -> FieldResult<Vec<Organization>> {
        Organization::all(context, self.0.organizations.iter().copied()).await
    }

    /// What the user may do.
    async fn access(&self, context: &Context) -> FieldResult<Option<Access>> {
        access::of_user(context, UserId::new(self.0.user_id)).await
    }
}

change_object! {
    /// A change of a user, and their state after it.
    pub struct UserChange(PersonHistoryRow) {
        /// Subject of the caller who made the change.
        fn actor(&self) -> &str {
            &self.0.actor
        }

        /// State of the user after the change.
        fn status(&self) -> UserStatus {
            self.0.status.0.into()
        }

        /// The user's own roles after the change.
        fn roles(&self) -> Vec<String> {
            self.0.roles.iter().cloned().collect()
        }
    }
}

/// Conditions that users must meet, all of them; fields that are left out do not restrict.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct UserFilter {
    /// Words, each of which has to begin a word of the name, e-mail address, user name or telephone number, ignoring case.
    search: Option<String>,
    /// E-mail address, ignoring case.
    email: Option<String>,
    /// User name for signing in, ignoring case.
    user_name: Option<String>,
    /// Users in one of these states; by default active, locked and deactivated ones.
    status: Option<Vec<UserStatus>>,
    /// Users who have this role of their own.
    role: Option<String>,
    /// Members of this group.
    group_id: Option<Uuid>,
    /// Members of this organization.
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

/// Order of a list of users.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum UserOrder {
    /// By name, in code point order.
    Name,
    /// Most recently registered first.
    Newest,
    /// Earliest registered first.
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

/// Loads members of several groups and organizations: for each, those after a given member, up to a number.
struct Members;

impl Fetch for Members {
    type Key = (MembersOf, Option<MemberCursor>, i64);
    type Value = Vec<User>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = people::members(tables, tenant, keys).await?;
            Ok(keyed(keys, lists, User))
        })
    }
}

/// Counts the members of several groups and organizations.
struct MemberCounts;

impl Fetch for MemberCounts {
    type Key = MembersOf;
    type Value = i64;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [MembersOf],
    ) -> Fetching<'a, MembersOf, i64> {
        let tenant = session.caller().tenant();
        Box::pin(async move { Ok(people::count_members(tables, tenant, keys).await?.into_iter().collect()) })
    }
}

async fn count(context: &Context, filter: &people::PersonFilter) -> FieldResult<i64> {
    if let Some(members_of) = filter.members_of() {
        return Ok(load::<MemberCounts>(context, SERVICE, members_of).await?.unwrap_or_default());
    }
    let mut tables = context.reader(SERVICE).await?;
    people::count(&mut tables, context.caller().tenant(), filter).await.map_err(unreadable)
}

/// A page of the users that match the filter. Members of groups and organizations are loaded in one batch for all groups and
/// organizations of the response.
async fn rows(
    context: &Context,
    filter: &people::PersonFilter,
    order: people::PersonOrder,
    after: Option<Seek>,
    limit: i64,
) -> FieldResult<Vec<User>> {
    if let (Some(members_of), people::PersonOrder::Name) = (filter.members_of(), order) {
        let cursor = match after {
            None => None,
            Some(Seek { key: SeekKey::Text(name), id }) => Some((name, id)),
            Some(_) => return Err(unlistable(ListError::Cursor)),
        };
        return Ok(load::<Members>(context, SERVICE, (members_of, cursor, limit)).await?.unwrap_or_default());
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
    type Row = PersonRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: PersonRow) -> Self {
        Self(row)
    }
}
