//! The authorization endpoint: somebody is asked, by a client, to let it act for them.

use auth_aggregates::{Client, ClientId, CodeTerms, GrantKind, GrantTerms, SessionId};
use auth_commands::{GiveConsent, OpenGrant, protocol};
use chrono::TimeDelta;
use face::Person;
use poem::Response;
use poem::http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::account::to_account;
use super::browser::{ShownBy, Somebody};
use super::form::Form;
use super::id_token::acr;
use super::pages::{self, Consent, Login};
use super::second_factor::{self, Pending};
use super::{Answer, OAuthError, Provider, Visit, par, passkey, required};
use crate::authority::{Opaque, Use, reaches_api};

/// How long a code is good for.
const CODE: TimeDelta = TimeDelta::seconds(60);

/// How long what was granted holds, refreshed or not.
const GRANT: TimeDelta = TimeDelta::days(30);

/// Scopes that are not permissions.
pub const SCOPES: [&str; 5] = ["openid", "profile", "email", "offline_access", "api"];

/// On which pages something is kept.
const ON_LOGIN: &str = "auth.page.login";
const ON_CONSENT: &str = "auth.page.consent";

/// What a client asks for.
pub struct Asked {
    client: ClientId,
    state: Arc<Client>,
    redirect_uri: String,
    scope: Vec<String>,
    echo: Option<String>,
    nonce: Option<String>,
    challenge: String,
    prompt: Vec<String>,
    max_age: Option<i64>,
    /// Whether a second factor is wanted.
    surer: bool,
    login_hint: Option<String>,
    /// All of it, as it came.
    query: String,
}

/// Where somebody goes on who signs in, as pages keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Then {
    /// To what is their own.
    Account,
    /// To their passkeys.
    Passkeys,
    /// To their authenticator.
    Authenticator,
    /// To what a client asked for with this query.
    Client(String),
    /// To the device that shows this code.
    Device(String),
}

/// Where somebody goes on who signs in.
pub(super) enum Goal {
    /// To what is their own.
    Account,
    /// To their passkeys.
    Passkeys,
    /// To their authenticator.
    Authenticator,
    /// To what a client asked for.
    Client(Box<Asked>),
    /// To the device that shows this code.
    Device(String),
}

/// Why it can't be asked like that.
pub(super) enum Unaskable {
    /// Nobody is sent anywhere: who asks is not known.
    Here(&'static str),
    /// The client is told.
    There { redirect_uri: String, echo: Option<String>, error: &'static str, description: &'static str },
}

/// What is kept on the page of consent: it is the consent of this session, and no other's.
#[derive(Serialize, Deserialize)]
struct ToConsent {
    query: String,
    session: SessionId,
}

/// Begins: signs somebody in, asks them, sends them back with a code.
pub async fn authorize(provider: &Provider, mut visit: Visit) -> Answer {
    let query = if visit.method == Method::POST { visit.form_text().await? } else { visit.query.clone() };
    let asked = match par::pushed(provider, &visit, query).await? {
        Some(query) => Asked::read(provider, &visit, query).await?,
        None => {
            Err(Unaskable::Here("What the application asked for beforehand is not good any more. Begin there again."))
        }
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(unaskable) => return Ok(unaskable.answer(&visit)),
    };
    let somebody = provider.somebody(&visit).await?;
    proceed(provider, &visit, asked, somebody, false).await
}

/// The page on which somebody signs in without any client.
pub async fn login_page(provider: &Provider, visit: Visit) -> Answer {
    if provider.somebody(&visit).await?.is_some() {
        return Ok(to_account(&visit));
    }
    show_login(provider, &visit, &Goal::Account, "", None).await
}

/// What somebody sends from the page on which they sign in, and what they came to it for; else the answer why that is not known.
pub(super) async fn from_login(
    provider: &Provider,
    visit: &mut Visit,
) -> Result<Result<(Form, Goal), Response>, OAuthError> {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<Then> = provider.kept(visit, ON_LOGIN, form.need("pending")?).await?;
    let Some(then) = kept else { return Ok(Err(expired(visit))) };
    let goal = Goal::read(provider, visit, then).await?;
    Ok(goal.map(|goal| (form, goal)).map_err(|unaskable| unaskable.answer(visit)))
}

/// Somebody sends their name and password.
pub async fn login(provider: &Provider, mut visit: Visit) -> Answer {
    let (form, goal) = match from_login(provider, &mut visit).await? {
        Ok(sent) => sent,
        Err(answer) => return Ok(answer),
    };
    let name = form.get("login").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    let person = match provider.by_password(&visit, name, password).await? {
        Ok(person) => person,
        Err(wrong) => return show_login(provider, &visit, &goal, name, Some(wrong)).await,
    };
    enter(provider, &visit, &person, vec!["pwd".to_owned()], goal).await
}

/// Somebody who showed who they are is signed in, and goes on; but for who has a second factor, or must have one, and did not show it: they are
/// asked for that first. `by`: by what they showed it.
pub(super) async fn enter(
    provider: &Provider,
    visit: &Visit,
    person: &Person,
    by: impl Into<ShownBy>,
    goal: Goal,
) -> Answer {
    let by = by.into();
    if acr(&by.methods) != "aal2" {
        let account = provider.account(visit, person.id).await?;
        let (has, must) = (account.has_second_factor(), provider.requires_second_factor(visit, person).await?);
        let at = provider.authority.now();
        let ShownBy { methods, saml } = by.clone();
        let pending = Pending { then: goal.then(), user: person.id, session: None, at, methods, saml };
        if has {
            return second_factor::ask(provider, visit, &goal, pending, &account, None).await;
        }
        if must {
            return required::ask(provider, visit, &goal, pending, person).await;
        }
    }
    let (session, cookies) = provider.begin(visit, person, by).await?;
    let mut response = go_on(provider, visit, session, goal).await?;
    cookies.set(&mut response);
    Ok(response)
}

/// Goes on in a session in which somebody has just shown who they are.
pub(super) async fn go_on(provider: &Provider, visit: &Visit, session: SessionId, goal: Goal) -> Answer {
    match goal {
        Goal::Client(asked) => {
            let somebody = provider.session(visit, session).await?;
            proceed(provider, visit, *asked, somebody, true).await
        }
        goal => Ok(see_other(&goal.address(visit))),
    }
}

/// Somebody consents, or does not.
pub async fn consent(provider: &Provider, mut visit: Visit) -> Answer {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<ToConsent> = provider.kept(&visit, ON_CONSENT, form.need("pending")?).await?;
    let somebody = provider.somebody(&visit).await?;
    let (Some(kept), Some(somebody)) = (kept, somebody) else { return Ok(expired(&visit)) };
    if kept.session != somebody.id {
        return Ok(expired(&visit));
    }
    let asked = match Asked::read(provider, &visit, kept.query).await? {
        Ok(asked) => asked,
        Err(unaskable) => return Ok(unaskable.answer(&visit)),
    };
    if form.need("decision")? != "allow" {
        return Ok(asked.fails(&visit, "access_denied", "the person did not allow it"));
    }
    let give = GiveConsent { user: somebody.person.id, client: asked.client, scope: asked.scope.clone() };
    provider.authority.run(&protocol(visit.tenant.id, &somebody.person.id.to_string()), &give).await?;
    issue(provider, &visit, &asked, &somebody).await
}

/// Goes on as far as it can: to signing in, to consenting, or back with a code. `fresh`: they have just shown who they are.
async fn proceed(provider: &Provider, visit: &Visit, asked: Asked, somebody: Option<Somebody>, fresh: bool) -> Answer {
    let wants = |prompt: &str| asked.prompt.iter().any(|one| one == prompt);
    let age = somebody.as_ref().map(|somebody| (provider.authority.now() - somebody.confirmed_at).num_seconds());
    let too_old = age.is_some_and(|age| asked.max_age.is_some_and(|most| age > most || most == 0));
    let Some(somebody) = somebody.filter(|_| fresh || !(too_old || wants("login") || wants("select_account"))) else {
        if wants("none") {
            return Ok(asked.fails(visit, "login_required", "the person has to sign in"));
        }
        let hint = asked.login_hint.clone().unwrap_or_default();
        return show_login(provider, visit, &Goal::Client(Box::new(asked)), &hint, None).await;
    };
    // `acr_values` is a wish (OpenID Connect Core section 5.5.1.1): who has no second factor is as sure as they can be.
    if asked.surer && acr(&somebody.methods) != "aal2" && somebody.account.has_second_factor() {
        if wants("none") {
            return Ok(asked.fails(visit, "interaction_required", "the person has to show a second factor"));
        }
        let (then, at) = (Then::Client(asked.query.clone()), provider.authority.now());
        let (user, session) = (somebody.person.id, Some(somebody.id));
        let pending = Pending { then, user, session, at, methods: Vec::new(), saml: None };
        let goal = Goal::Client(Box::new(asked));
        return second_factor::ask(provider, visit, &goal, pending, &somebody.account, None).await;
    }
    let details = &asked.state.details;
    let consented = details.trusted || somebody.account.consented(asked.client, &asked.scope);
    if consented && !wants("consent") {
        return issue(provider, visit, &asked, &somebody).await;
    }
    if wants("none") {
        return Ok(asked.fails(visit, "consent_required", "the person has to consent"));
    }
    let to_consent = ToConsent { query: asked.query.clone(), session: somebody.id };
    let pending = provider.keep(visit, ON_CONSENT, to_consent).await?;
    Ok(pages::consent(&Consent {
        tenant: &visit.tenant.name,
        client: &details.name,
        person: &somebody.person.name,
        action: &format!("/t/{}/consent", visit.tenant.slug),
        pending: &pending,
        scope: &asked.scope,
        leads_to: &asked.redirect_uri,
    }))
}

/// Sends somebody back with a code.
async fn issue(provider: &Provider, visit: &Visit, asked: &Asked, somebody: &Somebody) -> Answer {
    let now = provider.authority.now();
    let terms = GrantTerms {
        client: asked.client.uuid(),
        subject: somebody.person.id.uuid(),
        kind: GrantKind::AuthorizationCode,
        scope: asked.scope.clone(),
        session: Some(somebody.id),
        code: Some(CodeTerms {
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            expires_at: now + CODE,
        }),
        parent: None,
        actor: None,
        opened_at: now,
        expires_at: now + GRANT,
    };
    let caller = protocol(visit.tenant.id, &somebody.person.id.to_string());
    let done = provider.authority.run(&caller, &OpenGrant { terms, assertion: None }).await?;
    let key = provider.tenant_key(visit).await?;
    let code = Opaque { id: done.answer.uuid(), generation: 0 }.write(visit.tenant.id, Use::Code, &key);
    Ok(asked.back(visit, &[("code", &code)]))
}

/// The page on which somebody signs in.
pub(super) async fn show_login(
    provider: &Provider,
    visit: &Visit,
    goal: &Goal,
    login: &str,
    error: Option<&str>,
) -> Answer {
    let pending = provider.keep(visit, ON_LOGIN, goal.then()).await?;
    let organization = format!("/t/{}/saml", visit.tenant.slug);
    let connected = provider.is_connected(visit).await?;
    let passkey = passkey::form(provider, visit, passkey::Asked::Anybody(goal.then()), None).await?;
    Ok(pages::login(&Login {
        tenant: &visit.tenant.name,
        client: goal.client(),
        action: &format!("/t/{}/login", visit.tenant.slug),
        forgot: &format!("/t/{}/forgot", visit.tenant.slug),
        organization: connected.then_some(organization.as_str()),
        pending: &pending,
        name: login,
        error,
        passkey: passkey.as_ref(),
        leads_to: goal.leads_to(),
    }))
}

impl Goal {
    /// Where somebody goes on, of what was kept.
    pub(super) async fn read(
        provider: &Provider,
        visit: &Visit,
        then: Then,
    ) -> Result<Result<Self, Unaskable>, OAuthError> {
        Ok(match then {
            Then::Account => Ok(Self::Account),
            Then::Passkeys => Ok(Self::Passkeys),
            Then::Authenticator => Ok(Self::Authenticator),
            Then::Device(code) => Ok(Self::Device(code)),
            Then::Client(query) => {
                Asked::read(provider, visit, query).await?.map(|asked| Self::Client(Box::new(asked)))
            }
        })
    }

    /// As it is kept.
    pub(super) fn then(&self) -> Then {
        match self {
            Self::Account => Then::Account,
            Self::Passkeys => Then::Passkeys,
            Self::Authenticator => Then::Authenticator,
            Self::Device(code) => Then::Device(code.clone()),
            Self::Client(asked) => Then::Client(asked.query.clone()),
        }
    }

    /// Where that is, for who is signed in.
    pub(super) fn address(&self, visit: &Visit) -> String {
        let query =
            |pairs: &[(&str, &str)]| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let path = match self {
            Self::Account => "account".to_owned(),
            Self::Passkeys => "account/passkeys".to_owned(),
            Self::Authenticator => "account/authenticator".to_owned(),
            Self::Client(asked) => format!("authorize?{}", asked.after_signing_in()),
            Self::Device(code) => format!("device?{}", query(&[("user_code", code)])),
        };
        format!("/t/{}/{path}", visit.tenant.slug)
    }

    /// Where people are sent in the end, if that is not here.
    pub(super) fn leads_to(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(&asked.redirect_uri),
            _ => None,
        }
    }

    /// Whether they have to show anew who they are.
    pub(super) fn wants_fresh(&self) -> bool {
        match self {
            Self::Client(asked) => asked.max_age.is_some() || asked.prompt.iter().any(|prompt| prompt == "login"),
            // Who changes by what they sign in shows it first.
            Self::Passkeys | Self::Authenticator => true,
            Self::Account | Self::Device(_) => false,
        }
    }

    /// The client for which they sign in.
    fn client(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(&asked.state.details.name),
            _ => None,
        }
    }
}

impl Asked {
    /// Reads what a client asks for.
    pub(super) async fn read(
        provider: &Provider,
        visit: &Visit,
        query: String,
    ) -> Result<Result<Self, Unaskable>, OAuthError> {
        // A parameter that is there twice could be one for us and another for who looks at it before us.
        let Ok(form) = Form::read(&query) else { return Ok(Err(Unaskable::Here("A parameter is there twice."))) };
        let Some(Ok(client)) = form.get("client_id").map(str::parse::<ClientId>) else {
            return Ok(Err(Unaskable::Here("The application that sent you here is not known.")));
        };
        let caller = protocol(visit.tenant.id, "auth");
        let found = provider.authority.executor().load::<Client>(&caller, &client.to_string()).await?;
        let Some((state, _)) = found.filter(|(state, _)| state.active) else {
            return Ok(Err(Unaskable::Here("The application that sent you here is not known.")));
        };
        let Some(redirect_uri) =
            form.get("redirect_uri").filter(|uri| state.details.redirect_uris.iter().any(|one| one == uri))
        else {
            return Ok(Err(Unaskable::Here(
                "The application wants you to be sent back to an address that is not its own.",
            )));
        };
        let echo = form.get("state").map(str::to_owned);
        let there = |error, description| {
            Ok(Err(Unaskable::There { redirect_uri: redirect_uri.to_owned(), echo: echo.clone(), error, description }))
        };
        if form.get("request").is_some() {
            return there("request_not_supported", "request objects are not supported");
        }
        if form.get("request_uri").is_some() {
            return there("request_uri_not_supported", "request objects are not supported");
        }
        if form.get("response_type") != Some("code") {
            return there("unsupported_response_type", "response_type has to be code");
        }
        if form.get("response_mode").is_some_and(|mode| mode != "query") {
            return there("invalid_request", "response_mode has to be query");
        }
        let challenge = form.get("code_challenge").unwrap_or_default();
        let of_form =
            challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !of_form || form.get("code_challenge_method") != Some("S256") {
            return there("invalid_request", "PKCE is needed: code_challenge, and S256 as code_challenge_method");
        }
        let scope = match scope_of(&form) {
            Ok(scope) => scope,
            Err(description) => return there("invalid_scope", description),
        };
        let prompt = form.words("prompt");
        if prompt.len() > 1 && prompt.iter().any(|one| one == "none") {
            return there("invalid_request", "prompt none stands alone");
        }
        let max_age = form.get("max_age").map(str::parse::<i64>);
        if max_age.as_ref().is_some_and(|age| !age.as_ref().is_ok_and(|age| *age >= 0)) {
            return there("invalid_request", "max_age is a number of seconds");
        }
        if form.get("nonce").is_some_and(|nonce| nonce.len() > 256) {
            return there("invalid_request", "a nonce has at most 256 bytes");
        }
        Ok(Ok(Self {
            client,
            redirect_uri: redirect_uri.to_owned(),
            scope,
            nonce: form.get("nonce").map(str::to_owned),
            challenge: challenge.to_owned(),
            prompt,
            max_age: max_age.and_then(Result::ok),
            surer: form.words("acr_values").iter().any(|value| value == "aal2"),
            login_hint: form.get("login_hint").map(|hint| hint.chars().take(254).collect()),
            echo,
            state,
            query,
        }))
    }

    /// The same as a query, for who has just signed in: that is not asked of them once more.
    fn after_signing_in(&self) -> String {
        let asked = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(name, _)| name != "prompt");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked);
        if self.prompt.iter().any(|one| one == "consent") {
            query.append_pair("prompt", "consent");
        }
        query.finish()
    }

    /// Sends somebody back with an error.
    fn fails(&self, visit: &Visit, error: &str, description: &str) -> Response {
        self.back(visit, &[("error", error), ("error_description", description)])
    }

    fn back(&self, visit: &Visit, said: &[(&str, &str)]) -> Response {
        back(visit, &self.redirect_uri, self.echo.as_deref(), said)
    }
}

impl Unaskable {
    /// As it is told to the client itself.
    pub(super) fn error(&self) -> OAuthError {
        match self {
            Self::Here(text) => OAuthError::invalid_request(*text),
            Self::There { error, description, .. } => OAuthError::unaskable(error, *description),
        }
    }

    pub(super) fn answer(&self, visit: &Visit) -> Response {
        match self {
            Self::Here(text) => pages::message(&visit.tenant.name, StatusCode::BAD_REQUEST, "This does not work", text),
            Self::There { redirect_uri, echo, error, description } => {
                back(visit, redirect_uri, echo.as_deref(), &[("error", error), ("error_description", description)])
            }
        }
    }
}

/// What a client asks for, of what there is (OpenID Connect Core section 3.1.2.1 has unknown scopes ignored).
pub(super) fn scope_of(form: &Form) -> Result<Vec<String>, &'static str> {
    let mut scope = form.words("scope");
    scope.retain(|word| SCOPES.contains(&word.as_str()) || reaches_api(word));
    scope.sort_unstable();
    scope.dedup();
    if scope.is_empty() || scope.len() > 50 {
        return Err("the scope names nothing that there is, or too much");
    }
    Ok(scope)
}

/// Sends somebody back to a client. `iss` says from where, so that no other issuer's answer is taken for ours (RFC 9207).
fn back(visit: &Visit, redirect_uri: &str, echo: Option<&str>, said: &[(&str, &str)]) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(said);
    if let Some(echo) = echo {
        query.append_pair("state", echo);
    }
    query.append_pair("iss", &visit.issuer);
    let join = if redirect_uri.contains('?') { '&' } else { '?' };
    see_other(&format!("{redirect_uri}{join}{}", query.finish()))
}

/// Sends a browser elsewhere, without the form that it sent.
pub(super) fn see_other(location: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, location)
        .header(header::CACHE_CONTROL, "no-store")
        .header("referrer-policy", "no-referrer")
        .finish()
}

pub(super) fn expired(visit: &Visit) -> Response {
    let text =
        "This page was open for too long, or you signed in anew meanwhile. Go back to the application and begin again.";
    pages::message(&visit.tenant.name, StatusCode::BAD_REQUEST, "This page has expired", text)
}
