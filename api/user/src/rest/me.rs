//! The caller's own user: read it, change the profile, verify the e-mail address and the telephone number.

use std::sync::Arc;

use face::operation::{ChangeResult, Target, UnstoredResult, change};
use face::{Authenticated, Changed, Command, Empty, Resource, Unstored};
use kernel::{Caller, Refusal, UserId};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;
use user_aggregates::{User, UserError};
use user_commands::{
    ChangeOwnProfile, RequestEmailVerification, RequestPhoneVerification, SELF, VerifyPhone, not_a_user,
};

use super::profile::NewProfile;
use super::user::UserResource;
use super::{Service, Tag, form};
use crate::SERVICE;

/// Operations on the caller's own user.
pub struct Me {
    service: Service,
}

impl Me {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    /// The user that the caller is, with its state and version; refused if there is no such user.
    async fn existing(&self, caller: &Caller) -> Result<(UserId, Arc<User>, u64), Refusal> {
        let user = oneself(caller)?;
        let found = self.service.runtime.executor.load::<User>(caller, &user.to_string()).await?;
        found.map(|(state, version)| (user, state, version)).ok_or_else(not_a_user)
    }
}

/// Verification of a telephone number.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"code": "123456"}))]
struct PhoneVerification {
    /// Code that was sent to the number.
    #[schemars(with = "form::Code")]
    code: String,
}

/// The user that the caller is, as their token has it: the subject of a machine's token is an id, too.
pub(super) fn oneself(caller: &Caller) -> Result<UserId, Refusal> {
    caller.require(SELF)?;
    caller.subject().parse().map_err(|_| not_a_user())
}

#[OpenApi(tag = "Tag::Me")]
impl Me {
    /// Get the caller's own user
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me", method = "get", operation_id = "getMe")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<UserResource> {
        let (user, state, version) = self.existing(&caller).await?;
        Ok(Unstored(Resource { body: self.service.shown(caller.tenant(), user.uuid(), &state), version }))
    }

    /// Replace the caller's profile
    ///
    /// Fields that are left out are removed. Needs the permission `user:self:write`. To change the telephone number, a token that tells
    /// when the caller signed in must be from a sign-in within the last ten minutes (`sign_in_too_old`).
    #[oai(path = "/v1/user/me/change-profile", method = "post", operation_id = "changeMyProfile")]
    async fn change_profile(&self, command: Command<NewProfile>) -> ChangeResult {
        let changed = ChangeOwnProfile { profile: command.body.into() };
        let done = self.service.runtime.executor.execute(&command.request, &changed).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// Send a link that verifies the caller's e-mail address
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/verify-email", method = "post", operation_id = "requestEmailVerification")]
    async fn verify_email(&self, command: Command<Empty>) -> ChangeResult {
        let (user, ..) = self.existing(&command.request.caller).await?;
        change(&self.service.runtime, &command.request, user.uuid(), RequestEmailVerification { user }).await
    }

    /// Send a code that verifies the caller's telephone number
    ///
    /// The code is sent by text message to the number in the caller's profile and is valid for ten minutes. At most one code a minute, five
    /// an hour and ten a day (`codes_asked_too_often`). A number that has received too many codes, no matter who asked for them, gets no
    /// more for a while; the answer does not reveal this.
    #[oai(path = "/v1/user/me/send-phone-code", method = "post", operation_id = "requestPhoneVerification")]
    async fn send_phone_code(&self, command: Command<Empty>) -> ChangeResult {
        let (user, ..) = self.existing(&command.request.caller).await?;
        let ask = RequestPhoneVerification { user, reach: self.service.texts.clone() };
        change(&self.service.runtime, &command.request, user.uuid(), ask).await
    }

    /// Verify the caller's telephone number with a code
    ///
    /// Only the code that was sent last is valid. Wrong and expired codes are recorded; after five of them no code is accepted until a new
    /// one is sent (`code_not_good`).
    #[oai(path = "/v1/user/me/verify-phone", method = "post", operation_id = "verifyPhone")]
    async fn verify_phone(&self, command: Command<PhoneVerification>) -> ChangeResult {
        let (user, ..) = self.existing(&command.request.caller).await?;
        let verify = VerifyPhone { user, code: command.body.code, key: self.service.codes.clone() };
        let done = self.service.runtime.executor.execute(&command.request, &verify).await?;
        if done.answer.is_some() {
            return Err(Refusal::from(UserError::Code).into());
        }
        Ok(Changed::new(SERVICE, done, |_| Target { id: user.uuid() }))
    }
}
