//! Showing a passkey: instead of the password, after it, or when a client wants to be surer.
//!
//! The page that asks keeps the challenge, sealed: nobody but us reads or makes one. That it is answered once, the account sees to, in
//! the append that notes the use: see the decision 0024.

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
use super::browser::ShownBy;
use super::form::Form;
use super::goal::{Goal, Then};
use super::pages::{self, PasskeyForm, Script};
use super::second_factor::{self, Pending};
use super::{Answer, OAuthError, Provider, Visit};
use crate::passkey::{Challenge, PasskeyAnswer, PasskeyFault, RelyingParty, method};

const ON_PASSKEY: &str = "auth.page.passkey";

/// What is said of every passkey that does nothing, whatever the reason.
const WRONG: &str = "This passkey was not accepted. Try again, or sign in the other way.";

/// What is kept on a page that asks for a passkey.
#[derive(Serialize, Deserialize)]
struct Asking {
    asked: Asked,
    at: DateTime<Utc>,
    challenge: Challenge<DiscoverableAuthentication>,
}

/// Who is asked.
#[derive(Serialize, Deserialize)]
pub(super) enum Asked {
    /// Whoever has one, and then goes on there.
    Anybody(Then),
    /// Who showed their password, or is signed in.
    Known(Box<Pending>),
}

/// Somebody who showed a passkey.
struct Shown {
    person: Person,
    /// By what.
    method: &'static str,
    /// As of when: as the account was that has it.
    since: Moment,
}

/// The form that asks for a passkey; none: there can be none here, or they have none. `account`: whose, if that is known.
pub(super) async fn form(
    provider: &Provider,
    visit: &Visit,
    asked: Asked,
    account: Option<&Account>,
) -> Result<Option<PasskeyForm>, OAuthError> {
    let Some(party) = provider.relying_party(visit) else { return Ok(None) };
    let passkeys = account.map(|account| &account.passkeys.by_id);
    if passkeys.is_some_and(BTreeMap::is_empty) {
        return Ok(None);
    }
    let (options, challenge) = party.ask(passkeys.into_iter().flat_map(BTreeMap::keys))?;
    let asking = Asking { asked, at: provider.authority.now(), challenge };
    let pending = provider.keep(visit, ON_PASSKEY, asking).await?;
    let action = format!("/t/{}/passkey", visit.tenant.slug);
    Ok(Some(PasskeyForm { action, pending, options, script: provider.script(visit) }))
}

/// Somebody shows a passkey.
pub async fn answer(provider: &Provider, mut visit: Visit) -> Answer {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<Asking> = provider.kept(&visit, ON_PASSKEY, form.need("pending")?).await?;
    let Some(Asking { asked, at, challenge }) = kept else { return Ok(expired(&visit)) };
    let then = match &asked {
        Asked::Anybody(then) => then,
        Asked::Known(pending) => &pending.then,
    };
    let goal = match Goal::read(provider, &visit, then.clone()).await? {
        Ok(goal) => goal,
        Err(error) => return Ok(error.answer(&visit)),
    };
    let pending = match asked {
        Asked::Anybody(_) => None,
        Asked::Known(pending) if second_factor::still(provider, &visit, &pending).await?.is_none() => {
            return Ok(expired(&visit));
        }
        Asked::Known(pending) => Some(*pending),
    };
    let of = pending.as_ref().map(|pending| pending.user);
    let challenge = (provider.authority.now() - at < CHALLENGE_GOOD_FOR).then_some(challenge);
    let answer = form.get("answer").unwrap_or_default();
    match (provider.shows_passkey(&visit, answer, challenge, of).await?, pending) {
        (Some(Shown { person, method, since }), None) => {
            enter(provider, &visit, &person, ShownBy::method(method, since), goal).await
        }
        (Some(shown), Some(pending)) => {
            second_factor::shown(provider, &visit, pending, &shown.person, shown.method, goal).await
        }
        (None, None) => show_login(provider, &visit, &goal, "", Some(WRONG)).await,
        (None, Some(pending)) => {
            let account = provider.account(&visit, pending.user).await?;
            second_factor::ask(provider, &visit, &goal, pending, &account, Some(WRONG)).await
        }
    }
}

impl Provider {
    /// What asks for passkeys, in a tenant's name. Where we are, our configuration says, never the request.
    pub(super) fn relying_party(&self, visit: &Visit) -> Option<RelyingParty> {
        RelyingParty::at(&self.authority.settings().public_url, &visit.tenant.name)
    }

    /// The script that asks the browser.
    pub(super) fn script(&self, visit: &Visit) -> Script {
        let path = format!("/t/{}/passkey.js", visit.tenant.slug);
        let source = format!("{}{path}", self.authority.settings().public_url);
        Script { path, source }
    }

    /// Who showed a passkey, which is then noted; none: what came is not right, which is recorded, once. `challenge`: what they were asked;
    /// none: too long ago. `of`: who it has to be; none: the passkey says it.
    async fn shows_passkey(
        &self,
        visit: &Visit,
        answer: &str,
        challenge: Option<Challenge<DiscoverableAuthentication>>,
        of: Option<UserId>,
    ) -> Result<Option<Shown>, OAuthError> {
        let said = PasskeyAnswer::read(answer);
        let user = of.or_else(|| said.as_ref().ok().and_then(|said| said.user));
        // Another tenant's are as unknown here as those that never were.
        let person = match user {
            Some(user) => self.person(visit, user).await?,
            None => None,
        };
        let wrong = match self.judge(visit, said, challenge, person.as_ref()).await? {
            Ok(shown) => return Ok(Some(shown)),
            Err(wrong) => wrong,
        };
        let at = person.as_ref().map_or_else(|| "a passkey".to_owned(), |person| format!("passkey of {}", person.id));
        self.attempts.refused(&AttemptTarget::new(visit.tenant.id, at, visit.address))?;
        let user = person.map(|person| person.id);
        self.note_refused(visit, user, wrong.0).await?;
        Ok(None)
    }

    async fn judge(
        &self,
        visit: &Visit,
        said: Result<PasskeyAnswer, PasskeyFault>,
        challenge: Option<Challenge<DiscoverableAuthentication>>,
        person: Option<&Person>,
    ) -> Result<Result<Shown, PasskeyFault>, OAuthError> {
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
        let counter = match party.shown(challenge, &said, passkey) {
            Ok(counter) => counter,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let (method, since) = (method(passkey.synced), self.moment(&account));
        let show = ShowPasskey { user: person.id, passkey: said.id, counter, challenge: signed };
        match self.authority.run(&protocol(visit.tenant.id, &person.id.to_string()), &show).await {
            Ok(_) => Ok(Ok(Shown { person: person.clone(), method, since })),
            Err(refusal) => match refusal.code() {
                "challenge_used" => Ok(Err(PasskeyFault("passkey_replayed"))),
                "passkey_cloned" => Ok(Err(PasskeyFault("passkey_cloned"))),
                // Removed a moment ago, or the account with it.
                "passkey_unknown" | "account_closed" => unknown,
                _ => Err(refusal.into()),
            },
        }
    }
}

/// The script that asks the browser for passkeys.
pub async fn script(_: &Provider, _: Visit) -> Answer {
    Ok(Response::builder()
        .content_type("text/javascript; charset=utf-8")
        // A page of another version would not get on with an old one.
        .header(header::CACHE_CONTROL, "no-cache")
        .header("x-content-type-options", "nosniff")
        .body(pages::SCRIPT))
}
