//! Groups: create, rename, grant roles, change members, dissolve.

use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, Empty, Example, example};
use kernel::UserId;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{Group, MOST_GROUP_ROLES};
use user_commands::{
    ChangeGroupMembers, CreateGroup, DissolveGroup, GrantGroupRole, RenameGroup, RevokeGroupRole, lengths,
};
use uuid::Uuid;

use super::user::RoleName;
use super::{Service, Tag, form};

/// Operations on groups.
pub struct Groups {
    service: Service,
}

impl Groups {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A group to be created.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Sales", "roles": ["member"]}))]
struct NewGroup {
    /// Name of the group, unique in the tenant.
    #[schemars(with = "form::Name")]
    name: String,
    /// Roles that members of the group get in addition to their own. They may not allow more than the caller's permissions do.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = MOST_GROUP_ROLES))]
    roles: Vec<String>,
}

/// A change of name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Field sales"}))]
pub(super) struct Renaming {
    /// New name.
    #[schemars(with = "form::Name")]
    pub(super) name: String,
}

/// Users to add and to remove. Either all changes are made or none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"join": ["0197a8a0-0000-7000-8000-000000000001"], "leave": ["0197a8a0-0000-7000-8000-000000000002"]}))]
pub(super) struct MemberChanges {
    /// Users to add.
    #[serde(default)]
    #[schemars(length(max = lengths::BATCH))]
    pub(super) join: Vec<UserId>,
    /// Users to remove.
    #[serde(default)]
    #[schemars(length(max = lengths::BATCH))]
    pub(super) leave: Vec<UserId>,
}

/// A group of users.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
struct GroupResource {
    /// Id of the group.
    id: Uuid,
    /// Name of the group.
    name: String,
    /// Roles that members of the group get in addition to their own.
    roles: Vec<String>,
    /// Whether the group was dissolved.
    dissolved: bool,
}

impl Example for GroupResource {
    fn example() -> Self {
        Self { id: example::id(2), name: "Sales".to_owned(), roles: vec!["member".to_owned()], dissolved: false }
    }
}

#[OpenApi(tag = "Tag::Groups")]
impl Groups {
    /// Create a group
    ///
    /// Needs the permission `user:group:write`.
    #[oai(path = "/v1/user/groups", method = "post", operation_id = "createGroup")]
    async fn create(&self, command: Command<NewGroup>) -> CreateResult {
        let NewGroup { name, roles } = command.body;
        let group = CreateGroup { name, roles, catalogue: self.service.catalogue.clone() };
        create(&self.service.runtime, &command.request, "groups", group, |id| id.uuid()).await
    }

    /// Get a group
    ///
    /// Needs the permission `user:group:read`.
    #[oai(path = "/v1/user/groups/:group", method = "get", operation_id = "getGroup")]
    async fn get(&self, Authenticated(caller): Authenticated, group: Path<Uuid>) -> ReadResult<GroupResource> {
        let show = |state: &Group| GroupResource {
            id: group.0,
            name: state.name.clone(),
            roles: state.roles.iter().cloned().collect(),
            dissolved: state.dissolved,
        };
        find(&self.service.runtime, &caller, "user:group:read", group.0, show).await
    }

    /// Rename a group
    ///
    /// Callers can't rename a group that gives more than they are allowed themselves. Needs the permission `user:group:write`.
    #[oai(path = "/v1/user/groups/:group/rename", method = "post", operation_id = "renameGroup")]
    async fn rename(&self, command: Command<Renaming>, group: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let rename = RenameGroup { group: id(&group), name: command.body.name, catalogue };
        change(&self.service.runtime, &command.request, group.0, rename).await
    }

    /// Grant a role to a group
    ///
    /// All members of the group get the role. Callers can't grant a role that allows more than they are allowed themselves. Needs the
    /// permission `user:role:grant`.
    #[oai(path = "/v1/user/groups/:group/grant-role", method = "post", operation_id = "grantGroupRole")]
    async fn grant_role(&self, command: Command<RoleName>, group: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let grant = GrantGroupRole { group: id(&group), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, group.0, grant).await
    }

    /// Revoke a role from a group
    ///
    /// Callers can't revoke anything from a group that gives more than they are allowed themselves. Needs the permission `user:role:grant`.
    #[oai(path = "/v1/user/groups/:group/revoke-role", method = "post", operation_id = "revokeGroupRole")]
    async fn revoke_role(&self, command: Command<RoleName>, group: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let revoke = RevokeGroupRole { group: id(&group), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, group.0, revoke).await
    }

    /// Add and remove members of a group
    ///
    /// At most 200 users to add and 200 to remove. Either all changes are made or none.
    #[oai(path = "/v1/user/groups/:group/change-members", method = "post", operation_id = "changeGroupMembers")]
    async fn change_members(&self, command: Command<MemberChanges>, group: Path<Uuid>) -> ChangeResult {
        let MemberChanges { join, leave } = command.body;
        let catalogue = self.service.catalogue.clone();
        let members = ChangeGroupMembers { group: id(&group), join, leave, catalogue };
        change(&self.service.runtime, &command.request, group.0, members).await
    }

    /// Dissolve a group
    ///
    /// Its members lose the roles that it gave them. This can't be undone. Needs the permission `user:group:write`.
    #[oai(path = "/v1/user/groups/:group/dissolve", method = "post", operation_id = "dissolveGroup")]
    async fn dissolve(&self, command: Command<Empty>, group: Path<Uuid>) -> ChangeResult {
        let dissolve = DissolveGroup { group: id(&group), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, group.0, dissolve).await
    }
}
