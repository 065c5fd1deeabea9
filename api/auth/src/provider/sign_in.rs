//! Password verification at sign-in.

use auth_aggregates::{Account, Moment};
use face::Person;
use kernel::UserId;
use keys::{Context, Sealed};

use super::attempts::AttemptTarget;
use super::browser::unavailable;
use super::form::Form;
use super::passwords::advice;
use super::{OAuthError, Provider, Visit};
use crate::authority::refused;
use crate::password::Password;

/// The text for every failed sign-in, whether the name or the password is wrong.
const WRONG: &str = "This name and password do not belong together, or you may not sign in now.";

/// No login name is longer, in bytes.
const LONGEST_NAME: usize = 254;

/// A person whose password was entered correctly.
pub(super) struct PasswordHolder {
    pub(super) person: Person,
    /// The stored, sealed hash of the password.
    pub(super) shown: Sealed,
    /// The moment of the account state that contained the hash.
    pub(super) since: Moment,
}

impl Provider {
    /// The person with this login name and password; else the text to show. A failed attempt is recorded once.
    pub(super) async fn by_password(
        &self,
        visit: &Visit,
        name: &str,
        password: &str,
    ) -> Result<Result<PasswordHolder, &'static str>, OAuthError> {
        let name = Some(name.trim()).filter(|name| name.len() <= LONGEST_NAME).unwrap_or_default();
        let Some(people) = self.authority.people() else { return Ok(Err(WRONG)) };
        let password = Password::typed(password);
        let person = if name.is_empty() || password.is_too_long() {
            None
        } else {
            people.by_login(visit.tenant.id, name).await.map_err(unavailable)?
        };
        let known = self.recognized_user(visit).await?;
        let browser = known.filter(|id| person.as_ref().is_some_and(|person| person.id.uuid() == *id));
        let target =
            AttemptTarget { browser, ..AttemptTarget::new(visit.tenant.id, kernel::folded(name), visit.address) };
        // An attempt above the limit is refused before the password is compared.
        self.attempts.begin(&target)?;
        // For an unknown name, a hash is verified all the same: otherwise the duration would reveal that it is unknown.
        let user = person.as_ref().map_or_else(|| self.authority.executor().new_id(), |person| person.id);
        let (kept, phc) = self.password_of(visit, user).await?.unzip();
        let has_password = phc.is_some();
        let right = self.passwords.verify(password, phc).await?;
        let reason = match &person {
            Some(person) if right => {
                // Looked up again: verifying takes a while, and the person may have been locked in the meantime.
                let now = people.by_id(visit.tenant.id, person.id).await.map_err(unavailable)?;
                match (now.filter(|person| person.may_sign_in), kept) {
                    (Some(person), Some((shown, since))) => return Ok(Ok(PasswordHolder { person, shown, since })),
                    _ => "may_not_sign_in",
                }
            }
            Some(_) if has_password => "password_wrong",
            Some(_) => "password_missing",
            None => "unknown",
        };
        self.attempts.failed(&target);
        let user = person.map(|person| person.id);
        self.note_refused(visit, user, reason).await?;
        Ok(Err(WRONG))
    }

    /// The user's password hash: as stored, with the moment of the account state; and opened. None: the user has no password, or the
    /// account is closed.
    async fn password_of(&self, visit: &Visit, user: UserId) -> Result<Option<((Sealed, Moment), String)>, OAuthError> {
        let account = self.account(visit, user).await?;
        let Account { password: Some(sealed), closed: false, .. } = &*account else { return Ok(None) };
        let key = self.tenant_key(visit).await?;
        let phc = key.open(context(visit, &user.to_string()), sealed).map_err(refused)?;
        let kept = (sealed.clone(), self.moment(&account));
        Ok(Some((kept, String::from_utf8_lossy(&phc).into_owned())))
    }

    /// The hash of a new password from a form; else the advice why it is not accepted. `about`: words that it must not be built from.
    pub(super) async fn new_password(
        &self,
        visit: &Visit,
        form: &Form,
        about: &[&str],
    ) -> Result<Result<String, String>, OAuthError> {
        let password = Password::typed(form.get("password").unwrap_or_default());
        let about: Vec<_> = about.iter().copied().chain([visit.tenant.name.as_str()]).collect();
        if let Err(refusal) = self.passwords.check(&password, &about).await {
            return Ok(Err(advice(&refusal)));
        }
        Ok(Ok(self.passwords.hash(password, self.authority.random()).await?))
    }

    /// A password hash, sealed for storage.
    pub(super) async fn seal_password(&self, visit: &Visit, user: UserId, phc: &str) -> Result<Sealed, OAuthError> {
        let key = self.tenant_key(visit).await?;
        let sealed = key.seal(context(visit, &user.to_string()), phc.as_bytes(), self.authority.random());
        Ok(sealed.map_err(refused)?)
    }
}

/// The context in which a password hash is sealed.
fn context<'c>(visit: &Visit, user: &'c str) -> Context<'c> {
    Context { tenant: visit.tenant.id, purpose: "auth.password", subject: user }
}
