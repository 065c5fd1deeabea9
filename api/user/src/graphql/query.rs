//! The questions about people and tenants.

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

/// Users, roles, groups, organizations and invitations; what users may do now, might do at any time, and would be refused under
/// another policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserQuery;

/// Users, roles, groups, organizations and invitations; what users may do now, might do at any time, and would be refused under
/// another policy.
#[graphql_object(context = Context)]
impl UserQuery {
    /// The user that the caller is; `null`: a machine, or a set-up token.
    async fn me(context: &Context) -> FieldResult<Option<User>> {
        User::of(context, context.caller().subject().parse().ok()).await
    }

    /// A user; `null`: unknown.
    async fn user(context: &Context, id: Uuid) -> FieldResult<Option<User>> {
        User::of(context, Some(id)).await
    }

    /// Users, by name unless ordered otherwise.
    async fn users(
        context: &Context,
        filter: Option<UserFilter>,
        order_by: Option<UserOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<UserConnection>> {
        user::list(context, filter.unwrap_or_default().into(), order_by, first, after).await.map(Some)
    }

    /// What happened to a user, first to last, 50 changes unless `first` says otherwise; an unknown user has none.
    async fn user_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<UserChange>>> {
        let (after, first) = window(first, after_version)?;
        user::history(context, UserId::new(id), after, first).await.map(Some)
    }

    /// The roles that the tenant defined, by name; retired ones too.
    async fn roles(context: &Context) -> FieldResult<Option<Vec<Role>>> {
        role::list(context).await.map(Some)
    }

    /// A group; `null`: unknown.
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

    /// An organization; `null`: unknown.
    async fn organization(context: &Context, id: Uuid) -> FieldResult<Option<Organization>> {
        Organization::of(context, Some(id)).await
    }

    /// Organizations, by name; those that are parts of `parentId`, if it is given.
    async fn organizations(
        context: &Context,
        parent_id: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<OrganizationConnection>> {
        organization::list(context, parent_id, first, after).await.map(Some)
    }

    /// Domains that the tenant says are its own, by name; released ones are left out.
    async fn domains(
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<DomainConnection>> {
        domain::list(context, first, after).await.map(Some)
    }

    /// Invitations, last sent first.
    async fn invitations(
        context: &Context,
        status: Option<InvitationStatus>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<InvitationConnection>> {
        invitation::list(context, status, first, after).await.map(Some)
    }

    /// What a user, or a machine by its id, may do at `asOf` (today, if left out), as far as was known at `knownAt`: with the roles and groups
    /// of that time, and what these allowed then. `null`: they were not there, or not known.
    async fn access(
        context: &Context,
        user_id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<Access>> {
        access::of(context, UserId::new(user_id), AsOf { at: as_of, known: known_at }).await
    }

    /// Whose access, a user's or a machine's, at `to` (now, if left out) is another than at `from`, and what they gained and lost: for an
    /// access review.
    async fn access_changes(
        context: &Context,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<AccessChangePage>> {
        access::changes(context, from, to, first, after).await.map(Some)
    }

    /// What would have been refused between `from` (30 days before that, if left out) and `to` (now, if left out) if a policy had been another all
    /// that time: of the commands that the logs of all services hold, each judged by the roles and groups of its time. Nothing is
    /// changed. Only what was done is on record: nobody knows what was refused, or read.
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
