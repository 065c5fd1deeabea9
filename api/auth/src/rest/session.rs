//! Operations on sessions: ending one, or all those of a user.

use auth_commands::{EndSessions, ResetSecondFactor, RevokeSession, SendPasswordLink};
use executor::Command as _;
use face::operation::{ChangeResult, change, id};
use face::{Command, Empty, Runtime};
use kernel::Refusal;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use uuid::Uuid;

use super::{Tag, reach};

/// Operations on sessions.
pub struct Sessions {
    runtime: Runtime,
}

impl Sessions {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

#[OpenApi(tag = "Tag::Sessions")]
impl Sessions {
    /// Revoke a session
    ///
    /// Also ends the grants that applications got in this session, except those that stay valid while the user is away (offline access).
    #[oai(path = "/v1/auth/sessions/:session/revoke", method = "post", operation_id = "revokeSession")]
    async fn revoke(&self, command: Command<Empty>, session: Path<Uuid>) -> ChangeResult {
        let revoke = RevokeSession { session: id(&session), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, session.0, revoke).await
    }

    /// Revoke all sessions of a user
    ///
    /// Also ends all grants of applications, everywhere within a second.
    #[oai(path = "/v1/auth/users/:user/end-sessions", method = "post", operation_id = "endSessions")]
    async fn end_all(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let end = EndSessions { user: id(&user), reason: "administrator".to_owned(), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, user.0, end).await
    }

    /// Send a user a link to set a password
    ///
    /// The link is sent by e-mail, can be used once and is valid for an hour. A user without a password sets their first one, and this also
    /// verifies their e-mail address. A user who has signed in before gets no link to an unverified address (`email_not_verified`), a user
    /// who may not sign in gets none at all (`user_may_not_sign_in`), and nobody gets a second link within ten minutes.
    #[oai(path = "/v1/auth/users/:user/send-password-link", method = "post", operation_id = "sendPasswordLink")]
    async fn send_password_link(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let caller = &command.request.caller;
        caller.require(SendPasswordLink::PERMISSION)?;
        let addressee = super::addressee(&self.runtime, caller, id(&user)).await?;
        if !addressee.may_sign_in {
            let detail =
                "the user can't sign in now because they are locked or deactivated; unlock or reactivate them first";
            return Err(Refusal::conflict("user_may_not_sign_in", detail).into());
        }
        let send = SendPasswordLink { user: id(&user), email_verified: addressee.email_verified };
        change(&self.runtime, &command.request, user.0, send).await
    }

    /// Reset a user's second factor
    ///
    /// For users who lost it: codes of their authenticator are no longer required, and their passkeys and recovery codes are no longer
    /// valid.
    #[oai(path = "/v1/auth/users/:user/reset-second-factor", method = "post", operation_id = "resetSecondFactor")]
    async fn reset_second_factor(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let reset = ResetSecondFactor { user: id(&user), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, user.0, reset).await
    }
}
