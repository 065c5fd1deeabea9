//! The queries in the GraphQL namespace `user`.

use chrono::{DateTime, Utc};
use face::graphql::{Context, Node, window};
use juniper::{FieldResult, graphql_object};
use kernel::UserId;
use user_projections::AsOf;
use uuid::Uuid;

use super::access::{self, Access, AccessChangePage};
use super::domain::{self, DomainConnection};
use super::dry_run::{self, PolicyDryRun};
use super::group::{self, Group, UserGroupConnection};
use super::invitation::{self, InvitationConnection, InvitationStatus};
use super::organization::{self, Organization, OrganizationConnection};
use super::policy_change::PolicyChange;
use super::role::{self, Role};
use super::user::{self, User, UserChange, UserConnection, UserFilter, UserOrder};

/// Users, roles, groups, organizations and invitations; the permissions of users now and in the past; and dry runs of policies.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserQuery;

/// Users, roles, groups, organizations and invitations; the permissions of users now and in the past; and dry runs of policies.
#[graphql_object(context = Context)]
impl UserQuery {
    /// The caller's own user; `null` if the caller is a machine or uses a set-up token.
    async fn me(context: &Context) -> FieldResult<Option<User>> {
        User::of(context, context.caller().subject().parse().ok()).await
    }

    /// A user by id; `null` if unknown.
    async fn user(context: &Context, id: Uuid) -> FieldResult<Option<User>> {
        User::of(context, Some(id)).await
    }

    /// Users, by name unless `orderBy` says otherwise.
    async fn users(
        context: &Context,
        filter: Option<UserFilter>,
        order_by: Option<UserOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<UserConnection>> {
        user::list(context, filter.unwrap_or_default().into(), order_by, first, after).await.map(Some)
    }

    /// Changes of a user, oldest first; 50 unless `first` says otherwise. Empty for an unknown user.
    async fn user_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<UserChange>>> {
        let (after, first) = window(first, after_version)?;
        user::history(context, UserId::new(id), after, first).await.map(Some)
    }

    /// Roles defined by the tenant, by name, including retired ones.
    async fn roles(context: &Context) -> FieldResult<Option<Vec<Role>>> {
        role::list(context).await.map(Some)
    }

    /// A group by id; `null` if unknown.
    async fn group(context: &Context, id: Uuid) -> FieldResult<Option<Group>> {
        Group::of(context, Some(id)).await
    }

    /// Groups, by name.
    async fn groups(
        context: &Context,
        name: Option<String>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<UserGroupConnection>> {
        group::list(context, name, first, after).await.map(Some)
    }

    /// An organization by id; `null` if unknown.
    async fn organization(context: &Context, id: Uuid) -> FieldResult<Option<Organization>> {
        Organization::of(context, Some(id)).await
    }

    /// Organizations, by name; only children of `parentId`, if it is given.
    async fn organizations(
        context: &Context,
        parent_id: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<OrganizationConnection>> {
        organization::list(context, parent_id, first, after).await.map(Some)
    }

    /// Domains that the tenant claims, by name, without released ones.
    async fn domains(
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<DomainConnection>> {
        domain::list(context, first, after).await.map(Some)
    }

    /// Invitations, most recently sent first.
    async fn invitations(
        context: &Context,
        status: Option<InvitationStatus>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<InvitationConnection>> {
        invitation::list(context, status, first, after).await.map(Some)
    }

    /// Permissions of a user, or of a machine by its id, at `asOf` (now by default), as far as they were known at `knownAt`. The roles and
    /// groups of that time count, and what they granted then. `null` if the user or machine did not exist, or was not known, at that time.
    async fn access(
        context: &Context,
        user_id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<Access>> {
        access::of(context, UserId::new(user_id), AsOf { at: as_of, known: known_at }).await
    }

    /// Users and machines whose permissions at `to` (now by default) differ from those at `from`, as far as both were known at `knownAt`
    /// (now by default), with the permissions that they gained and lost. Made for access reviews.
    async fn access_changes(
        context: &Context,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<AccessChangePage>> {
        access::changes(context, from, AsOf { at: to, known: known_at }, first, after).await.map(Some)
    }

    /// Commands between `from` (30 days before `to` by default) and `to` (now by default) that would have been refused if a changed policy
    /// had applied all that time. Examines the commands in the logs of all services whose history the caller may read
    /// (`<service>:history:read`; without any it is refused); each is judged by the roles and groups of its time. Nothing is changed. Only commands that were carried out are recorded, so refused commands and reads are not examined.
    async fn policy_dry_run(
        context: &Context,
        change: PolicyChange,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        #[graphql(default = 100)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<PolicyDryRun>> {
        dry_run::run(context, change, (from, to), first, after).await.map(Some)
    }
}
