//! Oneself: what is known of one, one's profile, one's address.

use face::operation::{Done, Found, Target, change, find};
use face::{Authenticated, Changed, Command, Empty};
use kernel::{Caller, Refusal, UserId};
use poem_openapi::OpenApi;
use user_aggregates::User;
use user_commands::{ChangeOwnProfile, RequestEmailVerification};

use super::profile::NewProfile;
use super::user::UserResource;
use super::{Service, Tag};
use crate::SERVICE;

/// The operations on oneself.
pub struct Me {
    service: Service,
}

impl Me {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// What one needs to look after oneself.
const SELF: &str = "user:self:write";

/// The user that the caller is.
pub(super) fn oneself(caller: &Caller) -> Result<UserId, Refusal> {
    caller.require(SELF)?;
    let detail = "the caller is no user of this tenant, but a machine or a set-up token";
    caller.subject().parse().map_err(|_| Refusal::not_found("not_a_user", detail))
}

#[OpenApi(tag = "Tag::Me")]
impl Me {
    /// What is known of the caller
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me", method = "get", operation_id = "getMe")]
    async fn get(&self, Authenticated(caller): Authenticated) -> Found<UserResource> {
        let user = oneself(&caller)?.uuid();
        let show = |state: &User| UserResource::new(user, state);
        find(&self.service.runtime, &caller, SELF, user, show).await
    }

    /// Replace one's own profile
    ///
    /// What is left out is gone. Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/change-profile", method = "post", operation_id = "changeMyProfile")]
    async fn change_profile(&self, command: Command<NewProfile>) -> Done {
        let changed = ChangeOwnProfile { profile: command.body.into() };
        let done = self.service.runtime.executor.execute(&command.request, &changed).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// Have a link mailed that verifies one's address
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/verify-email", method = "post", operation_id = "requestEmailVerification")]
    async fn verify_email(&self, command: Command<Empty>) -> Done {
        let user = oneself(&command.request.caller)?;
        change(&self.service.runtime, &command.request, user.uuid(), RequestEmailVerification { user }).await
    }
}
