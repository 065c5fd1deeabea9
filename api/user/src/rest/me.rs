//! Oneself: what is known of one, one's profile, one's address, one's telephone number.

use face::operation::{Done, Found, Target, change, find};
use face::{Authenticated, Changed, Command, Empty};
use kernel::{Caller, Refusal, UserId};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;
use user_aggregates::{User, UserError};
use user_commands::{ChangeOwnProfile, RequestEmailVerification, RequestPhoneVerification, VerifyPhone};

use super::profile::NewProfile;
use super::user::UserResource;
use super::{Service, Tag, form};
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

/// What a telephone number is verified with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"code": "123456"}))]
struct PhoneVerification {
    /// The code that was sent to it.
    #[schemars(with = "form::Code")]
    code: String,
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
        let show = |state: &User| self.service.shown(caller.tenant(), user, state);
        find(&self.service.runtime, &caller, SELF, user, show).await
    }

    /// Replace one's own profile
    ///
    /// What is left out is gone. Needs the permission `user:self:write`. For another telephone number, a token that says when one signed in has to
    /// say that it was within ten minutes (`sign_in_too_old`).
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

    /// Have a code sent that verifies one's telephone number
    ///
    /// By text message, to the number of one's profile; good for ten minutes. One a minute, five an hour, ten a day at most
    /// (`codes_asked_too_often`). A number that got too many of them, from whomever, gets no more for a while, which is told to nobody.
    #[oai(path = "/v1/user/me/send-phone-code", method = "post", operation_id = "requestPhoneVerification")]
    async fn send_phone_code(&self, command: Command<Empty>) -> Done {
        let user = oneself(&command.request.caller)?;
        let ask = RequestPhoneVerification { user, reach: self.service.texts.clone() };
        change(&self.service.runtime, &command.request, user.uuid(), ask).await
    }

    /// Verify one's telephone number
    ///
    /// By the code that was sent last. One that is wrong or too late is on record; after five of them none is right, until another one was
    /// sent (`code_not_good`).
    #[oai(path = "/v1/user/me/verify-phone", method = "post", operation_id = "verifyPhone")]
    async fn verify_phone(&self, command: Command<PhoneVerification>) -> Done {
        let user = oneself(&command.request.caller)?;
        let verify = VerifyPhone { user, code: command.body.code, key: self.service.codes.clone() };
        let done = self.service.runtime.executor.execute(&command.request, &verify).await?;
        if done.answer.is_some() {
            return Err(Refusal::from(UserError::Code).into());
        }
        Ok(Changed::new(SERVICE, done, |_| Target { id: user.uuid() }))
    }
}
