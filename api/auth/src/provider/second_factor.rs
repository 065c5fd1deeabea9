//! The second factor: a code of an authenticator app (TOTP), a recovery code, or a [passkey](super::passkey). It is asked for after the
//! password, or when a client requests a higher authentication level.

use std::sync::Arc;

use auth_aggregates::{Account, Moment, SamlSignIn, SessionId};
use auth_commands::{ConfirmSession, UseRecoveryCode, UseTotp, protocol};
use face::Person;
use kernel::UserId;
use keys::{Context, Sealed};
use serde::{Deserialize, Serialize};

use super::attempts::AttemptTarget;
use super::authorize::{enter, expired, go_on};
use super::browser::Authentication;
use super::form::Form;
use super::goal::{Goal, Then};
use super::pages::{self, CodePage};
use super::passkey::{self, PasskeyPurpose};
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::refused;
use crate::totp::{Authenticator, recovery_hash};

const ON_CODE: &str = "auth.page.code";

/// The text for every refused code.
const WRONG: &str = "This is not the current code, or it was already used. Wait for the next code.";

/// The state of an authentication that waits for a second factor, sealed into the page.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The goal after it.
    pub(super) then: Then,
    /// The user who has entered their password or is signed in.
    pub(super) user: UserId,
    /// The session to which the second factor is added; none: a new one begins.
    pub(super) session: Option<SessionId>,
    /// The moment of the first factor. (State sealed by older versions has no era.)
    #[serde(flatten)]
    pub(super) since: Moment,
    /// The methods of the first factor; empty if `session` has them.
    pub(super) methods: Vec<String>,
    /// The assertion of an identity provider, if one authenticated the user.
    #[serde(default)]
    pub(super) saml: Option<SamlSignIn>,
}

impl Pending {
    /// The authentication with the second factor added. `method`: that of the second factor.
    pub(super) fn with_second_factor(self, method: &str) -> Authentication {
        let methods = self.methods.into_iter().chain([method.to_owned()]).collect();
        Authentication { methods, saml: self.saml, since: self.since }
    }
}

/// Shows the page that asks for a second factor. `account`: that of the user.
pub(super) async fn ask(
    provider: &Provider,
    visit: &Visit,
    goal: &Goal,
    pending: Pending,
    account: &Account,
    error: Option<&str>,
) -> Answer {
    let passkey =
        passkey::form(provider, visit, PasskeyPurpose::Known(Box::new(pending.clone())), Some(account)).await?;
    let pending = provider.seal_state(visit, ON_CODE, pending).await?;
    Ok(pages::code(&CodePage {
        tenant: &visit.brand,
        action: &format!("/t/{}/code", visit.tenant.slug),
        pending: &pending,
        authenticator: account.totp.is_some(),
        passkey: passkey.as_ref(),
        error,
        leads_to: goal.leads_to(),
    }))
}

/// Handles the form with a code.
pub async fn answer(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<Pending> = provider.open_state(&visit, ON_CODE, form.need("pending")?).await?;
    let Some(pending) = kept else { return Ok(expired(&visit)) };
    let goal = match Goal::read(provider, &visit, pending.then.clone()).await? {
        Ok(goal) => goal,
        Err(error) => return Ok(error.answer(&visit)),
    };
    let Some((person, account)) = still_valid(provider, &visit, &pending).await? else { return Ok(expired(&visit)) };
    if !provider.code_is_right(&visit, pending.user, &account, form.get("code").unwrap_or_default()).await? {
        return ask(provider, &visit, &goal, pending, &account, Some(WRONG)).await;
    }
    completed(provider, &visit, pending, &person, "otp", goal).await
}

/// The user and their account, if the first factor is still valid: in the meantime the account may have been locked, or all its sessions
/// ended (by a new password, say).
pub(super) async fn still_valid(
    provider: &Provider,
    visit: &Visit,
    pending: &Pending,
) -> Result<Option<(Person, Arc<Account>)>, OAuthError> {
    let account = provider.account(visit, pending.user).await?;
    let person = provider.person(visit, pending.user).await?.filter(|person| person.may_sign_in);
    let Some(person) = person.filter(|_| account.is_still_valid(pending.since)) else { return Ok(None) };
    let browser = provider.browser_session(visit).await?;
    let here = pending.session.is_none() || pending.session == browser.map(|browser| browser.id);
    Ok(here.then_some((person, account)))
}

/// Continues with a user who has used a second factor. `method`: its method.
pub(super) async fn completed(
    provider: &Provider,
    visit: &Visit,
    pending: Pending,
    person: &Person,
    method: &str,
    goal: Goal,
) -> Answer {
    match pending.session {
        None => enter(provider, visit, person, pending.with_second_factor(method), goal).await,
        Some(session) => {
            let confirm = ConfirmSession { session, methods: vec![method.to_owned()] };
            match provider.authority.run(&protocol(visit.tenant.id, &pending.user.to_string()), &confirm).await {
                Ok(_) => go_on(provider, visit, session, goal).await,
                Err(refusal) if refusal.code() == "session_ended" => Ok(expired(visit)),
                Err(refusal) => Err(refusal.into()),
            }
        }
    }
}

impl Provider {
    /// Whether a code is a valid one of the user's; it is consumed. A wrong one is recorded once.
    ///
    /// # Errors
    /// `slow_down` when there were too many attempts.
    pub(super) async fn code_is_right(
        &self,
        visit: &Visit,
        user: UserId,
        account: &Arc<Account>,
        code: &str,
    ) -> Result<bool, OAuthError> {
        let browser = self.recognized_user(visit).await?.filter(|id| *id == user.uuid());
        let target =
            AttemptTarget { browser, ..AttemptTarget::new(visit.tenant.id, format!("code of {user}"), visit.address) };
        self.attempts.begin(&target)?;
        let caller = protocol(visit.tenant.id, &user.to_string());
        let used = match self.authenticator(visit, user, account).await? {
            // A code of more than six characters is a recovery code.
            _ if code.chars().filter(char::is_ascii_alphanumeric).count() > 6 => {
                self.authority.run(&caller, &UseRecoveryCode { user, hash: recovery_hash(code) }).await.map(drop)
            }
            Some(authenticator) => match authenticator.step_of(code, self.authority.now()) {
                Some(step) => self.authority.run(&caller, &UseTotp { user, step }).await.map(drop),
                None => Err(wrong()),
            },
            None => Err(wrong()),
        };
        match used {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.code() == "code_used" => {
                self.attempts.failed(&target);
                self.note_refused(visit, Some(user), "code_wrong").await?;
                Ok(false)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The user's enrolled authenticator.
    async fn authenticator(
        &self,
        visit: &Visit,
        user: UserId,
        account: &Account,
    ) -> Result<Option<Authenticator>, OAuthError> {
        let Some(totp) = &account.totp else { return Ok(None) };
        let key = self.tenant_key(visit).await?;
        let bytes = key.open(context(visit, &user.to_string()), &totp.secret).map_err(refused)?;
        Ok(Authenticator::of(&bytes))
    }

    /// An authenticator's secret, sealed for storage.
    pub(super) async fn seal_authenticator(
        &self,
        visit: &Visit,
        user: UserId,
        authenticator: &Authenticator,
    ) -> Result<Sealed, OAuthError> {
        let key = self.tenant_key(visit).await?;
        let sealed = key.seal(context(visit, &user.to_string()), authenticator.bytes(), self.authority.random());
        Ok(sealed.map_err(refused)?)
    }
}

/// The same refusal as the account's.
fn wrong() -> kernel::Refusal {
    auth_aggregates::AccountError::CodeUsed.into()
}

fn context<'c>(visit: &Visit, user: &'c str) -> Context<'c> {
    Context { tenant: visit.tenant.id, purpose: "auth.totp", subject: user }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_page_of_before_says_no_era_and_is_read_as_it_was_written() {
        let at = DateTime::UNIX_EPOCH;
        let before = json!({ "then": "Account", "user": Uuid::nil(), "session": null, "at": at, "methods": ["pwd"] });
        let pending: Pending = serde_json::from_value(before).unwrap();
        assert_eq!(pending.since, Moment { at, era: None });
        let since = Moment { at, era: Some(2) };
        let kept = serde_json::to_value(Pending { since, ..pending }).unwrap();
        assert_eq!((&kept["at"], &kept["era"]), (&json!(at), &json!(2)), "the process of before reads it, too");
        assert_eq!(serde_json::from_value::<Pending>(kept).unwrap().since, since);
    }
}
