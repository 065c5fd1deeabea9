//! Authentication by a passkey: as the only step, as the second factor, or when a client asks for a higher authentication level.
//!
//! The challenge is sealed into the page that asks for the passkey, so that only we can read or make one. The account ensures that it is
//! answered once, in the same append that records the use: see ADR 0024.

use std::collections::BTreeMap;

use auth_aggregates::{Account, CHALLENGE_GOOD_FOR, Moment};
use auth_commands::{ShowPasskey, protocol};
use chrono::{DateTime, Utc};
use face::Person;
use kernel::UserId;
use poem::Response;
use poem::http::header;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::DiscoverableAuthentication;

use super::attempts::AttemptTarget;
use super::authorize::{enter, expired, show_login};
use super::browser::Authentication;
use super::form::Form;
use super::goal::{Goal, Then};
use super::pages::{self, PasskeyForm, Script};
use super::second_factor::{self, Pending};
use super::{Answer, OAuthError, Provider, Visit};
use crate::passkey::{Challenge, PasskeyAnswer, PasskeyFault, RelyingParty, method};

const ON_PASSKEY: &str = "auth.page.passkey";

/// The text for every refused passkey, whatever the reason.
const WRONG: &str = "This passkey was not accepted. Try again, or sign in the other way.";

/// The state sealed into a page that asks for a passkey.
#[derive(Serialize, Deserialize)]
struct PendingPasskey {
    asked: PasskeyPurpose,
    at: DateTime<Utc>,
    challenge: Challenge<DiscoverableAuthentication>,
}

/// Who is asked for a passkey, and why.
#[derive(Serialize, Deserialize)]
pub(super) enum PasskeyPurpose {
    /// Anybody who has one, to sign in and continue there.
    Anybody(Then),
    /// A user who has entered their password or is signed in, as the second factor.
    Known(Box<Pending>),
}

/// A user who authenticated by a passkey.
struct VerifiedPasskey {
    person: Person,
    /// The authentication method (RFC 8176).
    method: &'static str,
    /// The moment of the account state that contained the passkey.
    since: Moment,
}

/// The form that asks for a passkey; none: passkeys can't be used at our address, or the account has none. `account`: the user's, if known.
pub(super) async fn form(
    provider: &Provider,
    visit: &Visit,
    asked: PasskeyPurpose,
    account: Option<&Account>,
) -> Result<Option<PasskeyForm>, OAuthError> {
    let Some(party) = provider.relying_party(visit) else { return Ok(None) };
    let passkeys = account.map(|account| &account.passkeys.by_id);
    if passkeys.is_some_and(BTreeMap::is_empty) {
        return Ok(None);
    }
    let (options, challenge) = party.request_assertion(passkeys.into_iter().flat_map(BTreeMap::keys))?;
    let asking = PendingPasskey { asked, at: provider.authority.now(), challenge };
    let pending = provider.seal_state(visit, ON_PASSKEY, asking).await?;
    let action = format!("/t/{}/passkey", visit.tenant.slug);
    Ok(Some(PasskeyForm { action, pending, options, script: provider.script(visit) }))
}

/// Handles the browser's answer to a request for a passkey.
pub async fn answer(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<PendingPasskey> = provider.open_state(&visit, ON_PASSKEY, form.need("pending")?).await?;
    let Some(PendingPasskey { asked, at, challenge }) = kept else { return Ok(expired(&visit)) };
    let then = match &asked {
        PasskeyPurpose::Anybody(then) => then,
        PasskeyPurpose::Known(pending) => &pending.then,
    };
    let goal = match Goal::read(provider, &visit, then.clone()).await? {
        Ok(goal) => goal,
        Err(error) => return Ok(error.answer(&visit)),
    };
    let pending = match asked {
        PasskeyPurpose::Anybody(_) => None,
        PasskeyPurpose::Known(pending) if second_factor::still_valid(provider, &visit, &pending).await?.is_none() => {
            return Ok(expired(&visit));
        }
        PasskeyPurpose::Known(pending) => Some(*pending),
    };
    let of = pending.as_ref().map(|pending| pending.user);
    let challenge = (provider.authority.now() - at < CHALLENGE_GOOD_FOR).then_some(challenge);
    let answer = form.get("answer").unwrap_or_default();
    match (provider.authenticate_by_passkey(&visit, answer, challenge, of).await?, pending) {
        (Some(VerifiedPasskey { person, method, since }), None) => {
            enter(provider, &visit, &person, Authentication::method(method, since), goal).await
        }
        (Some(shown), Some(pending)) => {
            second_factor::completed(provider, &visit, pending, &shown.person, shown.method, goal).await
        }
        (None, None) => show_login(provider, &visit, &goal, "", Some(WRONG)).await,
        (None, Some(pending)) => {
            let account = provider.account(&visit, pending.user).await?;
            second_factor::ask(provider, &visit, &goal, pending, &account, Some(WRONG)).await
        }
    }
}

impl Provider {
    /// The WebAuthn relying party, with the tenant's name. Its origin comes from our configuration, never from the request.
    pub(super) fn relying_party(&self, visit: &Visit) -> Option<RelyingParty> {
        RelyingParty::at(&self.authority.settings().public_url, &visit.tenant.name)
    }

    /// The script that calls the browser's WebAuthn API.
    pub(super) fn script(&self, visit: &Visit) -> Script {
        let path = format!("/t/{}/passkey.js", visit.tenant.slug);
        let source = format!("{}{path}", self.authority.settings().public_url);
        Script::File { path, source }
    }

    /// Verifies a passkey's answer and records its use; none: the answer was refused, which is recorded once. `challenge`: the one that was
    /// asked; none: it has expired. `of`: the user that it has to be; none: the passkey says who.
    async fn authenticate_by_passkey(
        &self,
        visit: &Visit,
        answer: &str,
        challenge: Option<Challenge<DiscoverableAuthentication>>,
        of: Option<UserId>,
    ) -> Result<Option<VerifiedPasskey>, OAuthError> {
        let said = PasskeyAnswer::read(answer);
        let user = of.or_else(|| said.as_ref().ok().and_then(|said| said.user));
        // Another tenant's user gets the same answer as one that does not exist.
        let person = match user {
            Some(user) => self.person(visit, user).await?,
            None => None,
        };
        let wrong = match self.verify_passkey(visit, said, challenge, person.as_ref()).await? {
            Ok(shown) => return Ok(Some(shown)),
            Err(wrong) => wrong,
        };
        let at = person.as_ref().map_or_else(|| "a passkey".to_owned(), |person| format!("passkey of {}", person.id));
        self.attempts.refused(&AttemptTarget::new(visit.tenant.id, at, visit.address))?;
        let user = person.map(|person| person.id);
        self.note_refused(visit, user, wrong.0).await?;
        Ok(None)
    }

    async fn verify_passkey(
        &self,
        visit: &Visit,
        said: Result<PasskeyAnswer, PasskeyFault>,
        challenge: Option<Challenge<DiscoverableAuthentication>>,
        person: Option<&Person>,
    ) -> Result<Result<VerifiedPasskey, PasskeyFault>, OAuthError> {
        let said = match said {
            Ok(said) => said,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let unknown = Ok(Err(PasskeyFault("passkey_unknown")));
        let (Some(person), Some(party)) = (person, self.relying_party(visit)) else { return unknown };
        if said.user.is_some_and(|user| user != person.id) {
            return unknown;
        }
        let account = self.account(visit, person.id).await?;
        let Some(passkey) = account.passkeys.by_id.get(&said.id) else { return unknown };
        if !person.may_sign_in {
            return Ok(Err(PasskeyFault("may_not_sign_in")));
        }
        let Some(challenge) = challenge else { return Ok(Err(PasskeyFault("passkey_late"))) };
        let signed = challenge.challenge.clone();
        let counter = match party.verify_assertion(challenge, &said, passkey) {
            Ok(counter) => counter,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let (method, since) = (method(passkey.synced), self.moment(&account));
        let show = ShowPasskey { user: person.id, passkey: said.id, counter, challenge: signed };
        match self.authority.run(&protocol(visit.tenant.id, &person.id.to_string()), &show).await {
            Ok(_) => Ok(Ok(VerifiedPasskey { person: person.clone(), method, since })),
            Err(refusal) => match refusal.code() {
                "challenge_used" => Ok(Err(PasskeyFault("passkey_replayed"))),
                "passkey_cloned" => Ok(Err(PasskeyFault("passkey_cloned"))),
                // The passkey was removed, or the account closed, in the meantime.
                "passkey_unknown" | "account_closed" => unknown,
                _ => Err(refusal.into()),
            },
        }
    }
}

/// Serves the script that calls the browser's WebAuthn API.
pub async fn script(_: &Provider, _: Visit) -> Answer {
    Ok(Response::builder()
        .content_type("text/javascript; charset=utf-8")
        // A cached script of another version might not fit the page.
        .header(header::CACHE_CONTROL, "no-cache")
        .header("x-content-type-options", "nosniff")
        .body(pages::SCRIPT))
}
