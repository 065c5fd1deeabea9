//! Roles: define, change, retire; and the list of all permissions.

use face::operation::{ChangeResult, CreateResult, Target, UnstoredResult, change, find};
use face::{Authenticated, Changed, Command, Empty, Example, Plain, Problem, Unstored};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{Role, RoleId};
use user_commands::{ChangeRole, DefineRole, RetireRole, RoleFields, lengths};

use super::{Service, Tag, form};
use crate::SERVICE;

/// Operations on roles.
pub struct Roles {
    service: Service,
}

impl Roles {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A role to be defined.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "support", "title": "Support", "permissions": ["crm:lead:read"]}))]
struct NewRole {
    /// Name in tokens and events. It can't be changed.
    #[schemars(with = "form::RoleName")]
    name: String,
    /// Display name.
    #[schemars(with = "form::Name")]
    title: String,
    /// Permissions of the role. They may not exceed the caller's own.
    #[serde(default)]
    #[schemars(with = "Vec<form::Permission>", length(max = lengths::PERMISSIONS))]
    permissions: Vec<String>,
    /// Roles whose permissions are included.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    includes: Vec<String>,
}

/// The complete definition of a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"title": "Support", "permissions": ["crm:lead:read", "crm:contact:read"]}))]
struct NewRoleFields {
    /// Display name.
    #[schemars(with = "form::Name")]
    title: String,
    /// Permissions of the role. They may not exceed the caller's own.
    #[serde(default)]
    #[schemars(with = "Vec<form::Permission>", length(max = lengths::PERMISSIONS))]
    permissions: Vec<String>,
    /// Roles whose permissions are included.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    includes: Vec<String>,
}

/// A role defined by the tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Role")]
struct RoleResource {
    /// Name in tokens and events.
    name: String,
    /// Display name.
    title: String,
    /// Permissions of the role itself, without those of included roles.
    permissions: Vec<String>,
    /// Roles whose permissions are included.
    includes: Vec<String>,
    /// Whether the role was retired: it grants nothing any more.
    retired: bool,
}

/// A permission.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Permission")]
struct PermissionResource {
    /// Name of the permission: `service:resource:action`.
    permission: &'static str,
    /// Built-in roles that have it.
    roles: Vec<&'static str>,
    /// What it allows, as text.
    meaning: &'static str,
}

/// All permissions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Permissions")]
struct PermissionList {
    /// Permissions, ordered by service.
    permissions: Vec<PermissionResource>,
}

impl Example for RoleResource {
    fn example() -> Self {
        Self {
            name: "sales".to_owned(),
            title: "Sales".to_owned(),
            permissions: vec!["crm:lead:export".to_owned()],
            includes: vec!["member".to_owned()],
            retired: false,
        }
    }
}

impl Example for PermissionList {
    fn example() -> Self {
        let shown = PermissionResource {
            permission: "crm:lead:export",
            roles: vec!["admin", "manager"],
            meaning: "Export leads as a file",
        };
        Self { permissions: vec![shown] }
    }
}

#[OpenApi(tag = "Tag::Roles")]
impl Roles {
    /// List all permissions and the built-in roles that have them
    ///
    /// Needs the permission `user:role:read`.
    #[oai(path = "/v1/user/permissions", method = "get", operation_id = "listPermissions")]
    async fn permissions(&self, Authenticated(caller): Authenticated) -> Result<Plain<PermissionList>, Problem> {
        caller.require("user:role:read")?;
        let grants = self.service.runtime.grants.iter().filter(|grant| !grant.roles.is_empty());
        let permissions = grants.map(|grant| PermissionResource {
            permission: grant.permission,
            roles: grant.roles.iter().map(|role| role.as_str()).collect(),
            meaning: grant.meaning,
        });
        Ok(Plain(PermissionList { permissions: permissions.collect() }))
    }

    /// Define a role
    ///
    /// Callers can't define a role that allows more than they are allowed themselves. Needs the permission `user:role:write`.
    #[oai(path = "/v1/user/roles", method = "post", operation_id = "defineRole")]
    async fn define(&self, command: Command<NewRole>) -> CreateResult {
        let NewRole { name, title, permissions, includes } = command.body;
        let fields = RoleFields { title, permissions, includes };
        let define = DefineRole { name, fields, catalogue: self.service.catalogue.clone() };
        let tenant = command.request.caller.tenant();
        let done = self.service.runtime.executor.execute(&command.request, &define).await?;
        let path = format!("/v1/user/roles/{}", done.answer);
        Ok(Changed::new(SERVICE, done, |name| Target { id: RoleId::of(tenant, &name).uuid() }).created(path))
    }

    /// Get a role defined by the tenant
    ///
    /// Needs the permission `user:role:read`.
    #[oai(path = "/v1/user/roles/:role", method = "get", operation_id = "getRole")]
    async fn get(&self, Authenticated(caller): Authenticated, role: Path<String>) -> UnstoredResult<RoleResource> {
        let id = RoleId::of(caller.tenant(), &role.0);
        let show = |state: &Role| RoleResource {
            name: state.name.clone(),
            title: state.title.clone(),
            permissions: state.permissions.iter().cloned().collect(),
            includes: state.includes.iter().cloned().collect(),
            retired: state.retired,
        };
        find(&self.service.runtime, &caller, "user:role:read", id, show).await.map(Unstored)
    }

    /// Replace the definition of a role
    ///
    /// The change takes effect within a second for everybody who has the role. Callers can't change a role that allows more than they are
    /// allowed themselves, neither before nor after the change. Needs the permission `user:role:write`.
    #[oai(path = "/v1/user/roles/:role/change", method = "post", operation_id = "changeRole")]
    async fn change(&self, command: Command<NewRoleFields>, role: Path<String>) -> ChangeResult {
        let NewRoleFields { title, permissions, includes } = command.body;
        let id = RoleId::of(command.request.caller.tenant(), &role.0).uuid();
        let fields = RoleFields { title, permissions, includes };
        let changed = ChangeRole { name: role.0, fields, catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, id, changed).await
    }

    /// Retire a role
    ///
    /// The role grants nothing any more, and its name stays taken. Callers can't retire a role that allows more than they are allowed
    /// themselves. Needs the permission `user:role:write`.
    #[oai(path = "/v1/user/roles/:role/retire", method = "post", operation_id = "retireRole")]
    async fn retire(&self, command: Command<Empty>, role: Path<String>) -> ChangeResult {
        let id = RoleId::of(command.request.caller.tenant(), &role.0).uuid();
        let retire = RetireRole { name: role.0, catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, id, retire).await
    }
}
