//! Invitations: invite, resend, revoke.

use chrono::{DateTime, Utc};
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, Empty, Example, example};
use kernel::UserId;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{GroupId, Invitation, InvitationStatus};
use user_commands::{InviteUser, ResendInvitation, RevokeInvitation, lengths};
use uuid::Uuid;

use super::{Service, Tag, form};

/// Operations on invitations.
pub struct Invitations {
    service: Service,
}

impl Invitations {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// An invitation to be sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"email": "grace@example.com", "name": "Grace Hopper", "roles": ["member"]}))]
struct NewInvitation {
    /// E-mail address to invite. It must not belong to a user or to somebody who is already invited.
    #[schemars(with = "form::Email")]
    email: String,
    /// Name of the invited person, if known.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    name: Option<String>,
    /// Roles that they get when they accept: built-in ones or the tenant's own. They may not allow more than the caller's permissions do.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    roles: Vec<String>,
    /// Groups that they join when they accept.
    #[serde(default)]
    #[schemars(length(max = lengths::GROUPS))]
    groups: Vec<GroupId>,
}

/// An invitation to become a user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Invitation")]
struct InvitationResource {
    /// Id of the invitation.
    id: Uuid,
    /// State of the invitation. A pending one is valid until `expires_at`.
    status: InvitationStatus,
    /// E-mail address that it was sent to.
    email: String,
    /// Name of the invited person, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Roles that they get when they accept.
    roles: Vec<String>,
    /// Groups that they join when they accept.
    groups: Vec<GroupId>,
    /// When its link expires.
    expires_at: DateTime<Utc>,
    /// The user who accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
}

impl Example for InvitationResource {
    fn example() -> Self {
        Self {
            id: example::id(1),
            status: InvitationStatus::Pending,
            email: "ada@example.com".to_owned(),
            name: Some("Ada Lovelace".to_owned()),
            roles: vec!["member".to_owned()],
            groups: vec![example::id(2).into()],
            expires_at: example::time(7 * 24 * 60),
            user: None,
        }
    }
}

#[OpenApi(tag = "Tag::Invitations")]
impl Invitations {
    /// Invite a person by e-mail
    ///
    /// The link in the e-mail can be used once and is valid for seven days.
    #[oai(path = "/v1/user/invitations", method = "post", operation_id = "inviteUser")]
    async fn invite(&self, command: Command<NewInvitation>) -> CreateResult {
        let NewInvitation { email, name, roles, groups } = command.body;
        let invite = InviteUser { email, name, roles, groups, catalogue: self.service.catalogue.clone() };
        create(&self.service.runtime, &command.request, "invitations", invite, |id| id.uuid()).await
    }

    /// Get an invitation
    ///
    /// Needs the permission `user:invitation:read`.
    #[oai(path = "/v1/user/invitations/:invitation", method = "get", operation_id = "getInvitation")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        invitation: Path<Uuid>,
    ) -> ReadResult<InvitationResource> {
        let show = |state: &Invitation| InvitationResource {
            id: invitation.0,
            status: state.status,
            email: state.email.reveal().clone(),
            name: state.name.as_ref().map(|name| name.reveal().clone()),
            roles: state.roles.clone(),
            groups: state.groups.clone(),
            expires_at: state.expires_at,
            user: state.user,
        };
        find(&self.service.runtime, &caller, "user:invitation:read", invitation.0, show).await
    }

    /// Resend an invitation with a new link
    ///
    /// The previous link is no longer valid. An invitation that is accepted or revoked can't be sent again (409 `invitation_not_pending`).
    /// Needs the permission `user:invitation:write`.
    #[oai(path = "/v1/user/invitations/:invitation/resend", method = "post", operation_id = "resendInvitation")]
    async fn resend(&self, command: Command<Empty>, invitation: Path<Uuid>) -> ChangeResult {
        let resend = ResendInvitation { invitation: id(&invitation), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, invitation.0, resend).await
    }

    /// Revoke an invitation
    ///
    /// Its link is no longer valid. Needs the permission `user:invitation:write`.
    #[oai(path = "/v1/user/invitations/:invitation/revoke", method = "post", operation_id = "revokeInvitation")]
    async fn revoke(&self, command: Command<Empty>, invitation: Path<Uuid>) -> ChangeResult {
        let revoke = RevokeInvitation { invitation: id(&invitation), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, invitation.0, revoke).await
    }
}
