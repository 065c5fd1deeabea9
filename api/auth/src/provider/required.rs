//! Enrolment of a required second factor during sign-in: for a user of whom the tenant requires one and who has none yet.
//!
//! There is no session yet: the authentication so far is sealed into the page. The requirement can't be bypassed, as it is checked wherever
//! somebody gets access: in [`enter`](super::authorize::enter) at each sign-in, each time a browser's session is read, and each time tokens
//! are issued. Token exchange is the exception: the new token is valid only as long as the one it was exchanged for.

use std::sync::Arc;

use auth_aggregates::{Account, RequiredOf, SignInPolicy};
use auth_commands::{Within, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use face::Person;
use poem::Response;
use serde::{Deserialize, Serialize};

use super::authenticator::{enrol_shown, show_codes};
use super::authorize::expired;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, RequiredPage, ShownKey};
use super::passkeys::{self, PendingEnrolment, enrol_passkey, enrolment_form, read_new_passkey};
use super::passwords::advice;
use super::second_factor::{self, Pending, still_valid};
use super::{Answer, OAuthError, Provider, Visit};
use crate::passkey::method;
use crate::totp::Authenticator;

/// The purposes for which the pages' state is sealed.
const ON_REQUIRED: &str = "auth.page.required";
const ON_REQUIRED_PASSKEY: &str = "auth.page.required_passkey";

/// The state sealed into the page: the authentication so far, and the secret of the authenticator that is offered.
#[derive(Serialize, Deserialize)]
struct OfferedAuthenticator {
    pending: Pending,
    secret: String,
}

impl Provider {
    /// Whether the tenant requires a second factor of a person.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn requires_second_factor(&self, visit: &Visit, person: &Person) -> Result<bool, OAuthError> {
        Ok(match self.sign_in_policy(visit).await?.second_factor {
            RequiredOf::Off => false,
            RequiredOf::Admins => self.authority.permissions().is_administrator(visit.tenant.id, person.id).await?,
            RequiredOf::Everyone => true,
        })
    }

    /// The tenant's sign-in policy.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn sign_in_policy(&self, visit: &Visit) -> Result<Arc<SignInPolicy>, OAuthError> {
        let (caller, tenant) = (protocol(visit.tenant.id, "auth"), visit.tenant.id.to_string());
        let found = self.authority.executor().load::<SignInPolicy>(&caller, &tenant).await?;
        Ok(found.map(|(policy, _)| policy).unwrap_or_default())
    }
}

/// Shows the page to enrol a second factor.
pub(super) async fn ask(provider: &Provider, visit: &Visit, goal: &Goal, pending: Pending, person: &Person) -> Answer {
    let authenticator = Authenticator::generate(provider.authority.random())?;
    show(provider, visit, goal, pending, person, (&authenticator, None)).await
}

/// Enrols the authenticator after the user entered a valid code of it.
pub async fn by_code(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<OfferedAuthenticator> = provider.open_state(&visit, ON_REQUIRED, form.need("pending")?).await?;
    let Some(OfferedAuthenticator { pending, secret }) = kept else { return Ok(expired(&visit)) };
    let authenticator = URL_SAFE_NO_PAD.decode(secret).ok().and_then(|bytes| Authenticator::of(&bytes));
    let Some(authenticator) = authenticator else { return Ok(expired(&visit)) };
    let (goal, person) = match resume(provider, &visit, &pending).await? {
        Ok(resumed) => resumed,
        Err(page) => return Ok(page),
    };
    let code = form.get("code").unwrap_or_default();
    let Some(step) = authenticator.step_of(code, provider.authority.now()) else {
        let error = "This is not the current code. Check the clock of your device, and try the next code.";
        return show(provider, &visit, &goal, pending, &person, (&authenticator, Some(error))).await;
    };
    let whose = (person.id, Within::SignIn(pending.since));
    let codes = enrol_shown(provider, &visit, whose, &authenticator, step).await?;
    enter(provider, &visit, pending, &person, "otp", &codes, &goal).await
}

/// Enrols the passkey that the browser has made.
pub async fn by_passkey(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<PendingEnrolment<Pending>> =
        provider.open_state(&visit, ON_REQUIRED_PASSKEY, form.need("pending")?).await?;
    let Some(kept) = kept else { return Ok(expired(&visit)) };
    let pending = kept.whom.clone();
    let (goal, person) = match resume(provider, &visit, &pending).await? {
        Ok(resumed) => resumed,
        Err(page) => return Ok(page),
    };
    let again = async |error: &str| {
        let authenticator = Authenticator::generate(provider.authority.random())?;
        show(provider, &visit, &goal, pending.clone(), &person, (&authenticator, Some(error))).await
    };
    let Some(made) = read_new_passkey(provider, &visit, &kept, &form) else { return again(passkeys::WRONG).await };
    let method = method(made.synced);
    let whose = (person.id, Within::SignIn(pending.since));
    match enrol_passkey(provider, &visit, whose, made, kept, &form, true).await {
        Ok(codes) => enter(provider, &visit, pending, &person, method, &codes, &goal).await,
        Err(refusal) if passkeys::is_correctable(&refusal) => again(&advice(&refusal)).await,
        Err(refusal) => Err(refusal.into()),
    }
}

/// The goal and the user, if the sign-in is still valid and they have no second factor yet; else the page to show instead.
async fn resume(
    provider: &Provider,
    visit: &Visit,
    pending: &Pending,
) -> Result<Result<(Goal, Person), Response>, OAuthError> {
    let goal = match Goal::read(provider, visit, pending.then.clone()).await? {
        Ok(goal) => goal,
        Err(error) => return Ok(Err(error.answer(visit))),
    };
    let Some((person, account)) = still_valid(provider, visit, pending).await? else { return Ok(Err(expired(visit))) };
    if account.has_second_factor() {
        // One was enrolled in another window, or by somebody else who knows the password: it has to be used now and is not replaced.
        return second_factor::ask(provider, visit, &goal, pending.clone(), &account, None).await.map(Err);
    }
    Ok(Ok((goal, person)))
}

/// Begins the session, and shows the recovery codes before the user continues.
async fn enter(
    provider: &Provider,
    visit: &Visit,
    pending: Pending,
    person: &Person,
    method: &str,
    codes: &[String],
    goal: &Goal,
) -> Answer {
    let (session, cookies) = provider.begin(visit, person, pending.with_second_factor(method)).await?;
    let mut response = show_codes(visit, codes, &goal.address(provider, visit, session).await?);
    cookies.set(&mut response);
    Ok(response)
}

async fn show(
    provider: &Provider,
    visit: &Visit,
    goal: &Goal,
    pending: Pending,
    person: &Person,
    (authenticator, error): (&Authenticator, Option<&str>),
) -> Answer {
    let page = (ON_REQUIRED_PASSKEY, "required/passkey");
    let passkey = enrolment_form(provider, visit, person, &Account::default(), page, pending.clone()).await?;
    let offering = OfferedAuthenticator { pending, secret: URL_SAFE_NO_PAD.encode(authenticator.bytes()) };
    let pending = provider.seal_state(visit, ON_REQUIRED, offering).await?;
    let link = authenticator.link(&visit.tenant.name, &person.login);
    Ok(pages::required(&RequiredPage {
        tenant: &visit.brand,
        action: &format!("/t/{}/required", visit.tenant.slug),
        pending: &pending,
        key: ShownKey { link: link.as_deref(), secret: &authenticator.text() },
        passkey: passkey.as_ref(),
        error,
        leads_to: goal.leads_to(),
    }))
}
