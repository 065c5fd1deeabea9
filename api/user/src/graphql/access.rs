//! The permissions of users and machines, in GraphQL.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use face::graphql::{Context, Cursor, Fetch, Fetching, Node, PageRequest, Session, forward, load, unreadable};
use juniper::{FieldResult, graphql_object};
use kernel::UserId;
use sqlx::PgConnection;
use user_projections::AsOf;
use user_projections::access::{self, AccessChanges, Policy};
use uuid::Uuid;

use super::user::User;
use crate::SERVICE;

/// The permission to see the permissions of other users.
const READ: &str = "user:access:read";
const ORDER: &str = "ACCESS_CHANGES";

/// The roles and permissions of a user at one point in time.
#[derive(Clone, Debug)]
pub struct Access(access::Access);

/// The roles and permissions of a user at one point in time.
#[graphql_object(name = "UserAccess", context = Context)]
impl Access {
    /// Roles of the user, including those of their groups.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// Permissions that these roles grant.
    fn permissions(&self) -> Vec<Permission> {
        let permissions = self.0.permissions.iter();
        permissions
            .map(|(name, roles)| Permission { name: name.clone(), by: roles.iter().cloned().collect() })
            .collect()
    }
}

/// A permission, and the roles that grant it.
#[derive(Clone, Debug, juniper::GraphQLObject)]
#[graphql(name = "UserPermission", context = Context)]
pub struct Permission {
    /// Name of the permission: `service:resource:action`.
    name: String,
    /// Roles that grant it to the user.
    by: Vec<String>,
}

/// How the permissions of a user or a machine differ between two points in time.
#[derive(Clone, Debug)]
pub struct AccessChange(access::AccessChange);

/// How the permissions of a user or a machine differ between two points in time.
#[graphql_object(context = Context)]
impl AccessChange {
    /// Id of the user or machine.
    fn user_id(&self) -> Uuid {
        self.0.user.uuid()
    }

    /// The user; `null` for a machine.
    async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
        User::of(context, Some(self.0.user.uuid())).await
    }

    /// Permissions that they have at the later time only.
    fn gained(&self) -> Vec<String> {
        self.0.gained.iter().cloned().collect()
    }

    /// Permissions that they had at the earlier time only.
    fn lost(&self) -> Vec<String> {
        self.0.lost.iter().cloned().collect()
    }
}

/// A page of changes of access.
pub struct AccessChangePage(AccessChanges);

/// A page of changes of access.
#[graphql_object(context = Context)]
impl AccessChangePage {
    /// Users and machines whose permissions differ, ordered by id.
    fn changes(&self) -> Vec<AccessChange> {
        self.0.changes.iter().cloned().map(AccessChange).collect()
    }

    /// Pass it as `after` to get the next page; `null` if all users and machines were examined. A page may contain no changes and still
    /// have a cursor: the number of users examined for one page is limited, and there are more.
    fn end_cursor(&self) -> Option<String> {
        self.0.more_after.map(|user| Cursor::new(ORDER, &user).into_string())
    }
}

/// Refuses callers who may not see this user's permissions. All users may see their own.
fn permitted(context: &Context, user: UserId) -> FieldResult<()> {
    if context.caller().subject() == user.to_string() { Ok(()) } else { context.require(READ) }
}

/// Loads the current permissions of several users.
struct Today;

impl Fetch for Today {
    type Key = Uuid;
    type Value = Access;

    fn fetch<'a>(session: &'a Session, tables: &'a mut PgConnection, keys: &'a [Uuid]) -> Fetching<'a, Uuid, Access> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let found = access::accesses(tables, tenant, keys, session.grants(), AsOf::TODAY).await?;
            Ok(found.into_iter().map(|(user, access)| (user, Access(access))).collect())
        })
    }
}

/// The permissions of a user today.
pub(crate) async fn of_user(context: &Context, user: UserId) -> FieldResult<Option<Access>> {
    permitted(context, user)?;
    load::<Today>(context, SERVICE, user.uuid()).await
}

/// The permissions of a user or a machine at a point in time.
pub(crate) async fn of(context: &Context, user: UserId, as_of: AsOf) -> FieldResult<Option<Access>> {
    permitted(context, user)?;
    let (tenant, grants) = (context.caller().tenant(), context.grants());
    let mut tables = context.reader(SERVICE).await?;
    let found = access::access(&mut tables, tenant, user, grants, as_of).await.map_err(unreadable)?;
    drop(tables);
    if found.is_some() {
        return Ok(found.map(Access));
    }
    // There is no such user. It may be a machine: the service in which it is registered has its roles.
    let role_periods = context.role_periods(&[user.uuid()]).await?;
    let Some(role_period) = role_periods.into_iter().find(|role_period| role_period.held(as_of)) else {
        return Ok(None);
    };
    let mut tables = context.reader(SERVICE).await?;
    let policy = Policy::at(&mut tables, tenant, grants, &BTreeSet::new(), as_of).await.map_err(unreadable)?;
    Ok(Some(Access(policy.access_by(role_period.roles))))
}

pub(crate) async fn changes(
    context: &Context,
    from: DateTime<Utc>,
    to: AsOf,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<AccessChangePage> {
    context.require(READ)?;
    forward(("from", Some(from)), ("to", to.at))?;
    let request = PageRequest::<UserId>::new(first, after.as_deref(), ORDER)?;
    let times = (AsOf { at: Some(from), ..to }, to);
    let (tenant, grants) = (context.caller().tenant(), context.grants());
    let after = request.after.map_or(Uuid::nil(), UserId::uuid);
    let machines = context.subjects(after, access::MOST_LOOKED_AT).await?;
    let role_periods = context.role_periods(&machines).await?;
    let mut tables = context.reader(SERVICE).await?;
    let limit = request.first as usize;
    let found = access::changes(&mut tables, tenant, grants, times, &role_periods, request.after, limit).await;
    Ok(AccessChangePage(found.map_err(unreadable)?))
}
