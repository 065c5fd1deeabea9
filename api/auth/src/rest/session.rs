//! Sessions of people: end one, or all of a person.

use auth_commands::{EndSessions, ResetSecondFactor, RevokeSession, SendPasswordLink};
use face::operation::{Done, change, id};
use face::{Command, Empty, Runtime};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use uuid::Uuid;

use super::Tag;

/// The operations on sessions.
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
    /// End a session
    ///
    /// With it ends what was granted in it to applications that do not go on while the person is away.
    #[oai(path = "/v1/auth/sessions/:session/revoke", method = "post", operation_id = "revokeSession")]
    async fn revoke(&self, command: Command<Empty>, session: Path<Uuid>) -> Done {
        change(&self.runtime, &command.request, session.0, RevokeSession { session: id(&session) }).await
    }

    /// End all sessions of a person
    ///
    /// With them ends all that was granted to applications, everywhere within a second.
    #[oai(path = "/v1/auth/users/:user/end-sessions", method = "post", operation_id = "endSessions")]
    async fn end_all(&self, command: Command<Empty>, user: Path<Uuid>) -> Done {
        let end = EndSessions { user: id(&user), reason: "administrator".to_owned() };
        change(&self.runtime, &command.request, user.0, end).await
    }

    /// Mail somebody a link to set a password
    ///
    /// It is good once, for an hour. Nothing is mailed to an address that nobody has shown to be theirs, and no second link
    /// within two minutes.
    #[oai(path = "/v1/auth/users/:user/send-password-link", method = "post", operation_id = "sendPasswordLink")]
    async fn send_password_link(&self, command: Command<Empty>, user: Path<Uuid>) -> Done {
        change(&self.runtime, &command.request, user.0, SendPasswordLink { user: id(&user) }).await
    }

    /// Let somebody sign in without their second factor
    ///
    /// They have lost it: codes of their authenticator are asked for no more, and their passkeys and recovery codes are worth
    /// nothing.
    #[oai(path = "/v1/auth/users/:user/reset-second-factor", method = "post", operation_id = "resetSecondFactor")]
    async fn reset_second_factor(&self, command: Command<Empty>, user: Path<Uuid>) -> Done {
        change(&self.runtime, &command.request, user.0, ResetSecondFactor { user: id(&user) }).await
    }
}
