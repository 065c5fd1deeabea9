//! Organizations: create, rename, change members, close.

use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, Empty, Example, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{Organization, OrganizationId};
use user_commands::{ChangeOrganizationMembers, CloseOrganization, CreateOrganization, RenameOrganization};
use uuid::Uuid;

use super::group::{MemberChanges, Renaming};
use super::{Service, Tag, form};

/// Operations on organizations.
pub struct Organizations {
    service: Service,
}

impl Organizations {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// An organization to be created.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "North"}))]
struct NewOrganization {
    /// Name of the organization, unique in the tenant.
    #[schemars(with = "form::Name")]
    name: String,
    /// Parent organization.
    #[serde(default)]
    parent: Option<OrganizationId>,
}

/// An organizational unit of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
struct OrganizationResource {
    /// Id of the organization.
    id: Uuid,
    /// Name of the organization.
    name: String,
    /// Parent organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<OrganizationId>,
    /// Whether the organization was closed.
    closed: bool,
}

impl Example for OrganizationResource {
    fn example() -> Self {
        let parent = Some(example::id(3).into());
        Self { id: example::id(4), name: "Sales, northern region".to_owned(), parent, closed: false }
    }
}

#[OpenApi(tag = "Tag::Organizations")]
impl Organizations {
    /// Create an organization
    ///
    /// Needs the permission `user:organization:write`.
    #[oai(path = "/v1/user/organizations", method = "post", operation_id = "createOrganization")]
    async fn create(&self, command: Command<NewOrganization>) -> CreateResult {
        let NewOrganization { name, parent } = command.body;
        let organization = CreateOrganization { name, parent };
        create(&self.service.runtime, &command.request, "organizations", organization, |id| id.uuid()).await
    }

    /// Get an organization
    ///
    /// Needs the permission `user:organization:read`.
    #[oai(path = "/v1/user/organizations/:organization", method = "get", operation_id = "getOrganization")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        organization: Path<Uuid>,
    ) -> ReadResult<OrganizationResource> {
        let show = |state: &Organization| OrganizationResource {
            id: organization.0,
            name: state.name.clone(),
            parent: state.parent,
            closed: state.closed,
        };
        find(&self.service.runtime, &caller, "user:organization:read", organization.0, show).await
    }

    /// Rename an organization
    ///
    /// Needs the permission `user:organization:write`.
    #[oai(path = "/v1/user/organizations/:organization/rename", method = "post", operation_id = "renameOrganization")]
    async fn rename(&self, command: Command<Renaming>, organization: Path<Uuid>) -> ChangeResult {
        let rename = RenameOrganization { organization: id(&organization), name: command.body.name };
        change(&self.service.runtime, &command.request, organization.0, rename).await
    }

    /// Add and remove members of an organization
    ///
    /// At most 200 users to add and 200 to remove. Either all changes are made or none.
    #[oai(
        path = "/v1/user/organizations/:organization/change-members",
        method = "post",
        operation_id = "changeOrganizationMembers"
    )]
    async fn change_members(&self, command: Command<MemberChanges>, organization: Path<Uuid>) -> ChangeResult {
        let MemberChanges { join, leave } = command.body;
        let members = ChangeOrganizationMembers { organization: id(&organization), join, leave };
        change(&self.service.runtime, &command.request, organization.0, members).await
    }

    /// Close an organization
    ///
    /// This can't be undone. Needs the permission `user:organization:write`.
    #[oai(path = "/v1/user/organizations/:organization/close", method = "post", operation_id = "closeOrganization")]
    async fn close(&self, command: Command<Empty>, organization: Path<Uuid>) -> ChangeResult {
        let close = CloseOrganization { organization: id(&organization) };
        change(&self.service.runtime, &command.request, organization.0, close).await
    }
}
