//! Verification of a user's telephone number with a code by text message.

use std::sync::Arc;

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{CodeFault, User, UserCommand, UserError};

use crate::codes::{Code, CodeKey};

/// The telephone numbers to which text messages are sent.
#[derive(Clone, Debug, Default)]
pub struct TextReach {
    /// Allowed prefixes of numbers. Empty: all numbers. `None`: no text messages are sent.
    pub prefixes: Option<Arc<[String]>>,
}

impl TextReach {
    fn check(&self, number: &str) -> Result<(), Refusal> {
        let Some(prefixes) = &self.prefixes else {
            let detail =
                "this installation sends no text messages: its operator has configured no provider (texts.url)";
            return Err(Refusal::conflict("texts_not_sent", detail));
        };
        if prefixes.is_empty() || prefixes.iter().any(|prefix| number.starts_with(prefix.as_str())) {
            return Ok(());
        }
        let detail = format!("text messages can only be sent to numbers that begin with {}", prefixes.join(", "));
        Err(Refusal::conflict("phone_not_reached", detail).with("allowed", prefixes.to_vec()))
    }
}

/// Sends a code to the caller's own telephone number, to verify it.
#[derive(Clone, Debug)]
pub struct RequestPhoneVerification {
    pub user: UserId,
    pub reach: TextReach,
}

/// Verifies the caller's number with the code that they entered.
#[derive(Clone, Debug)]
pub struct VerifyPhone {
    pub user: UserId,
    /// The code as entered.
    pub code: String,
    pub key: CodeKey,
}

impl Command for RequestPhoneVerification {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let user = work.read::<User>(self.user).await?;
        if let Some(number) = &user.profile.phone {
            self.reach.check(number.reveal())?;
        }
        let at = kernel::to_micros(work.now());
        work.update::<User>(self.user, UserCommand::RequestPhoneVerification { at }).await
    }
}

impl Command for VerifyPhone {
    const PERMISSION: &'static str = "user:self:write";
    /// Why the code is not valid, which was recorded; `None` if the number is now verified.
    type Answer = Option<CodeFault>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<CodeFault>, Refusal> {
        let mut checks = Checks::default();
        let code = Code::read(&mut checks, "/code", &self.code);
        checks.finish()?;
        let (user, at) = (work.read::<User>(self.user).await?, work.now());
        let number = user.profile.phone.as_ref().ok_or(UserError::NoPhone)?;
        let right = user
            .phone
            .sent
            .is_some_and(|sent| code == self.key.code(work.caller().tenant(), self.user, sent.turn, number.reveal()));
        let entered = user.phone.entered(right, at);
        work.update::<User>(self.user, UserCommand::VerifyPhone { right, at }).await?;
        Ok(entered.and_then(|(_, fault)| fault))
    }
}
