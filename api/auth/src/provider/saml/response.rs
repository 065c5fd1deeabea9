//! The SAML response: it is verified at the assertion consumer service, and used to sign in only in the browser that sent the request.

use auth_aggregates::{Moment, SamlConnectionDetails, SamlConnectionId, SamlName, SamlSignIn};
use auth_commands::{UseSamlAssertion, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use face::{AssertedPerson, Person};
use kernel::{Kind, Refusal, UserId};
use poem::Response;
use poem::http::StatusCode;
use saml::{Asserted, Expected, Fault};
use serde::{Deserialize, Serialize};

use super::{Connection, ON_ANSWER, ON_REQUEST, PATIENCE, PendingRequest, REQUEST, SENT_ON};
use crate::authority::{Opaque, Use};
use crate::provider::attempts::AttemptTarget;
use crate::provider::authorize::{enter, expired, see_other};
use crate::provider::browser::{Authentication, Cookies, unavailable};
use crate::provider::form::Form;
use crate::provider::goal::{Goal, Then};
use crate::provider::{Answer, OAuthError, Provider, Visit, pages};

/// The limit for a form with a SAML response, in bytes.
const LONGEST_FORM: usize = 512 << 10;

/// The text for an assertion that was used before.
const REPLAYED: &str = "This answer of your organization was already used. Start again.";

/// The text for a user whose address belongs to an account that has credentials and has not verified the address.
const UNSHOWN: &str = "An account with this address exists and signs in another way, and its address is not verified. If it is yours, sign in that way and verify the address; if not, tell an administrator.";

/// The content of a verified assertion, sealed into the address that the browser is redirected to.
#[derive(Serialize, Deserialize)]
struct AcceptedAssertion {
    connection: SamlConnectionId,
    email: String,
    name: Option<String>,
    roles: Vec<String>,
    sign_in: SamlSignIn,
    /// The id of the request that it answers; none: it is unsolicited.
    request: Option<String>,
    /// When it was verified.
    at: DateTime<Utc>,
}

/// The assertion consumer service. The browser posts the form from the identity provider's site, so the request has none of our
/// (`SameSite`) cookies.
pub async fn consume(provider: &Provider, mut visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let form = Form::read(&visit.form_text_within(LONGEST_FORM).await?)?;
    let response = form.need("SAMLResponse")?;
    let key = provider.tenant_key(&visit).await?;
    let decryption = provider.authority.saml_decryption(visit.tenant.id).await?;
    let now = provider.authority.now();
    let asked = |id: &str| {
        let made = Opaque::read(id, visit.tenant.id, Use::SamlRequest, &key).and_then(|said| said.id.get_timestamp());
        made.is_some_and(|made| now.timestamp() - made.to_unix().0.cast_signed() < PATIENCE.num_seconds())
    };
    let expected = Expected {
        own: &connection.own,
        provider: &connection.provider,
        key: decryption.as_deref(),
        asked: &asked,
        unsolicited: connection.state.details.provider_initiated,
        now,
        skew: provider.authority.settings().leeway,
    };
    let accepted = provider.saml.accept(response, &expected);
    let said = match accepted.and_then(|asserted| accepted_assertion(&connection, asserted, now)) {
        Ok(said) => said,
        Err(fault) => return refuse(provider, &visit, None, fault.code(), &fault.to_string()).await,
    };
    let sealed = provider.seal_state(&visit, ON_ANSWER, said).await?;
    // A redirect by GET to our own site: that request has the cookie with the authentication request.
    Ok(see_other(&format!("/t/{}/saml/{}/finish?said={sealed}", visit.tenant.slug, connection.id)))
}

/// What an assertion says about its subject, as far as the connection may assert it.
fn accepted_assertion(
    connection: &Connection,
    asserted: Asserted,
    at: DateTime<Utc>,
) -> Result<AcceptedAssertion, Fault> {
    let details = &connection.state.details;
    let SamlConnectionDetails { attributes, .. } = details;
    let first = |name: &String| asserted.attribute(name).next().map(str::to_owned);
    let email = match &attributes.email {
        Some(name) => first(name),
        None => Some(asserted.name_id.value.clone()),
    };
    let email =
        email.map(|email| kernel::folded(&email)).filter(|email| details.speaks_of(email)).ok_or(Fault::Subject)?;
    let roles = attributes.roles.as_ref().map(|name| details.roles_of(asserted.attribute(name))).unwrap_or_default();
    let name = attributes.name.as_ref().and_then(first);
    let request = asserted.in_response_to;
    let sign_in = SamlSignIn {
        connection: connection.id,
        assertion: asserted.id,
        authenticated_at: kernel::to_micros(asserted.authenticated_at),
        session: asserted.session,
        name: Some(SamlName { value: asserted.name_id.value.into(), format: asserted.name_id.format }),
    };
    Ok(AcceptedAssertion { connection: connection.id, email, name, roles, sign_in, request, at })
}

/// Signs in the subject of a verified assertion, in the browser that sent the request.
pub async fn finish(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let form = Form::read(&visit.query)?;
    let said: Option<AcceptedAssertion> = provider.open_state(&visit, ON_ANSWER, form.need("said")?).await?;
    let now = provider.authority.now();
    let said = said.filter(|said| said.connection == connection.id && now - said.at < SENT_ON);
    let Some(said) = said else { return Ok(expired(&visit)) };
    let asked = if let Some(request) = &said.request {
        let Some(asked) = provider.asked(&visit, &connection, request).await? else {
            let text = "This sign-in was not started in this browser, or too long ago. Start again.";
            return refuse(provider, &visit, None, "saml_browser", text).await;
        };
        Some(asked)
    } else {
        None
    };
    let leeway = provider.authority.settings().leeway;
    if asked.as_ref().is_some_and(|asked| asked.fresh && said.sign_in.authenticated_at < asked.at - leeway) {
        let text = "The application requires a new sign-in, but your organization did not ask you to sign in again.";
        return refuse(provider, &visit, None, "saml_not_fresh", text).await;
    }
    let goal = match Goal::read(provider, &visit, asked.map_or(Then::Account, |asked| asked.then)).await? {
        Ok(goal) => goal,
        Err(error) => return Ok(error.answer(&visit)),
    };
    let sign_in = said.sign_in.clone();
    let (person, since) = match admit(provider, &visit, &connection, said).await? {
        Ok(admitted) => admitted,
        Err(Unadmitted::Refused { user, reason, text }) => return refuse(provider, &visit, user, reason, &text).await,
        Err(Unadmitted::Late) => return Ok(late(&visit)),
    };
    let by = Authentication { methods: vec!["fed".to_owned()], saml: Some(sign_in), since };
    // A user who has a second factor here, or must have one, is asked for it even after a sign-in by an identity provider.
    let mut response = enter(provider, &visit, &person, by, goal).await?;
    Cookies::of(provider.cookie(&visit, REQUEST, "", TimeDelta::zero())).set(&mut response);
    Ok(response)
}

/// Why the subject of an assertion is not admitted.
enum Unadmitted {
    /// They may not sign in; this is recorded.
    Refused { user: Option<UserId>, reason: &'static str, text: String },
    /// The read model does not know the user yet. The assertion has been consumed.
    Late,
}

impl Unadmitted {
    fn new(user: Option<UserId>, reason: &'static str, text: impl Into<String>) -> Self {
        Self::Refused { user, reason, text: text.into() }
    }

    fn unknown() -> Self {
        Self::new(None, "unknown", "You are not a user here yet. Ask an administrator to invite you.")
    }

    fn may_not(person: &Person) -> Self {
        Self::new(Some(person.id), "may_not_sign_in", "You can't sign in now.")
    }
}

/// Admits the subject of an assertion, as an existing or a new user. The assertion is consumed before it has any effect. If the address of an
/// existing user is not verified, somebody else may have prepared the account: all its sessions end, and if it has a password or a passkey,
/// the sign-in is refused (`email_not_verified`). Returns the person as the directory showed them after the returned moment.
async fn admit(
    provider: &Provider,
    visit: &Visit,
    connection: &Connection,
    said: AcceptedAssertion,
) -> Result<Result<(Person, Moment), Unadmitted>, OAuthError> {
    let details = &connection.state.details;
    let (Some(admission), Some(people)) = (provider.authority.admission(), provider.authority.people()) else {
        return Err(nobody_admits().into());
    };
    let known = people.by_login(visit.tenant.id, &said.email).await.map_err(unavailable)?;
    match &known {
        Some(person) if !person.may_sign_in => return Ok(Err(Unadmitted::may_not(person))),
        None if !details.admits => return Ok(Err(Unadmitted::unknown())),
        _ => {}
    }
    let unshown = known.as_ref().filter(|person| !person.email_verified).map(|person| person.id);
    let used = UseSamlAssertion { saml: said.sign_in, unshown };
    if let Err(refusal) = provider.authority.run(&protocol(visit.tenant.id, "auth"), &used).await {
        let user = known.map(|person| person.id);
        return match refusal.code() {
            // Consumed before, or by a concurrent request.
            "saml_replayed" | "already_exists" => Ok(Err(Unadmitted::new(user, "saml_replayed", REPLAYED))),
            "email_not_verified" => Ok(Err(Unadmitted::new(user, "email_not_verified", UNSHOWN))),
            _ => Err(refusal.into()),
        };
    }
    let asserted = AssertedPerson {
        connection: connection.id.uuid(),
        email: said.email,
        name: said.name,
        roles: said.roles,
        managed: details.managed_roles(),
        admits: details.admits,
    };
    let admitted = match admission.admit(visit.tenant.id, &asserted, known.as_ref()).await {
        Ok(Some(person)) if person.may_sign_in => person,
        Ok(Some(person)) => return Ok(Err(Unadmitted::may_not(&person))),
        Ok(None) => return Ok(Err(Unadmitted::unknown())),
        // For example, it would take the role of the last administrator away.
        Err(refusal) if refusal.kind() == Kind::Conflict => {
            return Ok(Err(Unadmitted::new(None, "not_admitted", refusal.detail())));
        }
        Err(refusal) if refusal.code() == "directory_behind" => return Ok(Err(Unadmitted::Late)),
        Err(refusal) => return Err(refusal.into()),
    };
    // What ends the user's sessions after this moment refuses the sign-in, too. What ended them before is in the directory by now.
    let since = provider.moment(provider.account(visit, admitted.id).await?.as_ref());
    let person = people.by_id(visit.tenant.id, admitted.id).await.map_err(unavailable)?;
    let person = person.filter(|person| person.may_sign_in).ok_or_else(|| Unadmitted::may_not(&admitted));
    Ok(person.map(|person| (person, since)))
}

impl Provider {
    /// The state of this browser's authentication request with this id; none: this browser did not send it.
    async fn asked(
        &self,
        visit: &Visit,
        connection: &Connection,
        request: &str,
    ) -> Result<Option<PendingRequest>, OAuthError> {
        let Some(cookie) = visit.cookie(&self.cookie_name(visit, REQUEST)) else { return Ok(None) };
        let asked: Option<PendingRequest> = self.open_state(visit, ON_REQUEST, cookie).await?;
        let key = self.tenant_key(visit).await?;
        let said = Opaque::read(request, visit.tenant.id, Use::SamlRequest, &key);
        Ok(asked.filter(|asked| asked.connection == connection.id && Some(asked.request) == said.map(|said| said.id)))
    }
}

/// Shows why the user is not signed in, and records the refusal once.
async fn refuse(provider: &Provider, visit: &Visit, user: Option<UserId>, reason: &'static str, text: &str) -> Answer {
    // A signature can't be guessed, but floods of invalid responses must not fill the log.
    provider.attempts.refused(&AttemptTarget::new(visit.tenant.id, "saml", visit.address))?;
    provider.note_refused(visit, user, reason).await?;
    let text = format!("{} ({reason})", crate::provider::error::sentence(text));
    Ok(pages::message(&visit.brand, StatusCode::FORBIDDEN, "You are not signed in", &text))
}

/// The page for a user whom the read model does not know yet. Sending the assertion again would not help, as it works once.
fn late(visit: &Visit) -> Response {
    let text = "Your user is not known here yet. Go back to the application in a moment, and start again.";
    pages::message(&visit.brand, StatusCode::SERVICE_UNAVAILABLE, "You are not signed in yet", text)
}

fn nobody_admits() -> Refusal {
    Refusal::unavailable("admission_unavailable", "nobody is signed in by an identity provider here")
}
