//! Browser sessions: who is signed in with a browser, according to its session cookie; and the start of sessions.

use std::sync::Arc;

use auth_aggregates::{Account, LONGEST_SESSION, MOST_REPLACED, Moment, Place, SamlSignIn, Session, SessionId};
use auth_commands::{NoteRefusedSignIn, StartSession, UseSession, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use face::Person;
use kernel::{Refusal, UserId};
use poem::Response;
use poem::http::{HeaderValue, Method, header};
use uuid::Uuid;

use super::attempts::AttemptTarget;
use super::authorize::see_other;
use super::form::Form;
use super::id_token::acr;
use super::par::CREDENTIALS;
use super::{OAuthError, Provider, Visit};
use crate::authority::{Opaque, Use};
use crate::origin;

/// The lifetime of the cookie that records who signed in with a browser.
const REMEMBERED: TimeDelta = TimeDelta::days(365);

/// The names of the cookies, before the prefix and the tenant.
const SESSION: &str = "inopsio";
const BROWSER: &str = "inopsio-browser";

/// The longest form that is repeated in an address, in bytes: proxies before us may refuse longer addresses.
const LONGEST_REPEATED: usize = 6 << 10;

/// `Set-Cookie` values to be added to a response.
pub(super) struct Cookies(Vec<String>);

impl Cookies {
    /// Adds them to a response.
    pub(super) fn set(&self, response: &mut Response) {
        for cookie in &self.0 {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
    }

    /// A single cookie.
    pub(super) fn of(cookie: String) -> Self {
        Self(vec![cookie])
    }
}

/// How a user authenticated.
#[derive(Clone, Debug)]
pub(super) struct Authentication {
    /// The authentication methods (RFC 8176): `pwd`, `otp`, `hwk`, `swk`; or `fed`: an identity provider authenticated them.
    pub(super) methods: Vec<String>,
    /// The identity provider's assertion, if one authenticated them.
    pub(super) saml: Option<SamlSignIn>,
    /// The moment of the account state against which the credentials were compared: if all the user's sessions are ended after it, this
    /// sign-in is refused, too. If an identity provider authenticated them: a moment before the directory was read.
    pub(super) since: Moment,
}

impl Authentication {
    /// One method, verified by us.
    pub(super) fn method(method: &str, since: Moment) -> Self {
        Self { methods: vec![method.to_owned()], saml: None, since }
    }
}

/// Refusals that can follow a successful authentication: the assertion was used before, or all the user's sessions were ended in the
/// meantime.
const REFUSED: [&str; 2] = ["saml_replayed", "sessions_ended"];

/// A browser's session: the user who is signed in.
pub struct BrowserSession {
    /// The session.
    pub id: SessionId,
    /// The user.
    pub person: Person,
    /// Their account.
    pub account: Arc<Account>,
    /// The authentication methods that were used in it (RFC 8176).
    pub methods: Vec<String>,
    /// When the user last authenticated in it.
    pub confirmed_at: DateTime<Utc>,
    /// Whether its use is due to be recorded.
    notes_use: bool,
}

impl Provider {
    /// The valid session of the browser that sends a request; none: there is none, or it lacks the second factor that the tenant requires
    /// of the user by now.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn browser_session(&self, visit: &Visit) -> Result<Option<BrowserSession>, OAuthError> {
        let Some(browser) = self.any_browser_session(visit).await? else { return Ok(None) };
        let sure = acr(&browser.methods) == "aal2" || !self.requires_second_factor(visit, &browser.person).await?;
        if sure && browser.notes_use {
            self.note_use(visit, &browser).await;
        }
        Ok(sure.then_some(browser))
    }

    /// Records that a session is in use. If that fails now, the user goes on all the same: the next page records it.
    async fn note_use(&self, visit: &Visit, browser: &BrowserSession) {
        let caller = protocol(visit.tenant.id, &browser.person.id.to_string());
        if let Err(refusal) = self.authority.run(&caller, &UseSession { session: browser.id }).await {
            tracing::debug!(%refusal, "that a session is in use could not be noted");
        }
    }

    /// A redirect that repeats a posted form as a GET to `page`; none: the form came with the session's cookie, or can't be repeated. A form
    /// that another site posts comes without our cookies (`SameSite=Lax`), as if nobody were signed in; the GET brings them. Credentials of
    /// clients, which these pages ignore, get into no address.
    pub(super) fn repeated_with_cookies(&self, visit: &Visit, page: &str, form: &str) -> Option<Response> {
        if visit.method != Method::POST || visit.cookie(&self.cookie_name(visit, SESSION)).is_some() {
            return None;
        }
        let query = Form::read(form).ok()?.without(&CREDENTIALS);
        (query.len() <= LONGEST_REPEATED).then(|| see_other(&format!("/t/{}/{page}?{query}", visit.tenant.slug)))
    }

    /// The valid session of the browser that sends a request, even if it lacks a required second factor: it is enough to sign out.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn any_browser_session(&self, visit: &Visit) -> Result<Option<BrowserSession>, OAuthError> {
        match self.session_in_cookie(visit).await? {
            Some(session) => self.session(visit, session).await,
            None => Ok(None),
        }
    }

    /// The session that the cookie of a browser names, whether it is valid or not.
    async fn session_in_cookie(&self, visit: &Visit) -> Result<Option<SessionId>, OAuthError> {
        let Some(cookie) = visit.cookie(&self.cookie_name(visit, SESSION)) else { return Ok(None) };
        let key = self.tenant_key(visit).await?;
        Ok(Opaque::read(cookie, visit.tenant.id, Use::Session, &key).map(|said| SessionId::new(said.id)))
    }

    /// The state of a session; none: there is no such session.
    async fn session_state(&self, visit: &Visit, id: SessionId) -> Result<Option<Arc<Session>>, OAuthError> {
        let caller = protocol(visit.tenant.id, "auth");
        let found = self.authority.executor().load::<Session>(&caller, &id.to_string()).await?;
        Ok(found.map(|(session, _)| session))
    }

    /// Whether a session is `earlier`, or replaced it in the same browser.
    pub(super) async fn continues(
        &self,
        visit: &Visit,
        session: SessionId,
        earlier: SessionId,
    ) -> Result<bool, OAuthError> {
        let mut at = Some(session);
        for _ in 0..=MOST_REPLACED {
            match at {
                Some(id) if id == earlier => return Ok(true),
                Some(id) => at = self.session_state(visit, id).await?.and_then(|session| session.replaces()),
                None => break,
            }
        }
        Ok(false)
    }

    /// The session with this id, if it is still valid.
    pub(super) async fn session(&self, visit: &Visit, id: SessionId) -> Result<Option<BrowserSession>, OAuthError> {
        let Some(session) = self.session_state(visit, id).await? else { return Ok(None) };
        let (now, idle) = (self.authority.now(), self.sign_in_policy(visit).await?.session_idle());
        let Some(started) = session.holds(now, idle) else { return Ok(None) };
        let account = self.account(visit, started.user).await?;
        if !account.is_still_valid(started.began()) {
            return Ok(None);
        }
        let person = self.person(visit, started.user).await?.filter(|person| person.may_sign_in);
        Ok(person.map(|person| BrowserSession {
            id,
            person,
            account,
            methods: session.methods.clone(),
            confirmed_at: session.confirmed_at.unwrap_or(started.at),
            notes_use: session.notes_use(now, idle),
        }))
    }

    /// The current moment in an account's order: it is after everything that was ended so far, even at the same time of day.
    pub(super) fn moment(&self, account: &Account) -> Moment {
        account.moment(self.authority.now())
    }

    /// A user's account; an empty one, if it has no events yet.
    pub(super) async fn account(&self, visit: &Visit, user: UserId) -> Result<Arc<Account>, OAuthError> {
        let caller = protocol(visit.tenant.id, "auth");
        let found = self.authority.executor().load::<Account>(&caller, &user.to_string()).await?;
        Ok(found.map(|(account, _)| account).unwrap_or_default())
    }

    /// The person that a user is; none: not known here.
    pub(super) async fn person(&self, visit: &Visit, user: UserId) -> Result<Option<Person>, OAuthError> {
        let Some(people) = self.authority.people() else { return Ok(None) };
        Ok(people.by_id(visit.tenant.id, user).await.map_err(unavailable)?)
    }

    /// Begins a new session, whatever session the browser had: one of the same user ends when the new one ends, one of somebody else ends
    /// now. Returns the session cookie and the cookie that recognizes the browser later.
    pub(super) async fn begin(
        &self,
        visit: &Visit,
        person: &Person,
        by: Authentication,
    ) -> Result<(SessionId, Cookies), OAuthError> {
        let Authentication { methods, saml, since } = by;
        let (lifetime, place) = (LONGEST_SESSION, visit.place());
        let before = self.session_in_cookie(visit).await?;
        let start = StartSession { user: person.id, methods, saml, since: Some(since), lifetime, place, before };
        let started = self.authority.run(&protocol(visit.tenant.id, &person.id.to_string()), &start).await;
        if let Err(refusal) = &started
            && let Some(reason) = REFUSED.into_iter().find(|reason| *reason == refusal.code())
        {
            self.attempts.refused(&AttemptTarget::new(visit.tenant.id, reason, visit.address))?;
            self.note_refused(visit, Some(person.id), reason).await?;
        }
        let done = started?;
        let key = self.tenant_key(visit).await?;
        let text = Opaque { id: done.answer.uuid(), generation: 0 }.write(visit.tenant.id, Use::Session, &key);
        let session = self.cookie(visit, SESSION, &text, LONGEST_SESSION);
        Ok((done.answer, Cookies(vec![session, self.recognition_cookie(visit, person.id).await?])))
    }

    /// The cookie that later shows that this user signed in with this browser. It grants no access: it only separates the browser's
    /// attempts from others in the rate limits ([`Attempts`](super::Attempts)).
    pub(super) async fn recognition_cookie(&self, visit: &Visit, user: UserId) -> Result<String, OAuthError> {
        let key = self.tenant_key(visit).await?;
        let known = Opaque { id: user.uuid(), generation: 0 }.write(visit.tenant.id, Use::Browser, &key);
        Ok(self.cookie(visit, BROWSER, &known, REMEMBERED))
    }

    /// Records a refused sign-in attempt and its origin. If the account is not known, the IP address is recorded as a keyed hash only:
    /// nobody could request its erasure.
    pub(super) async fn note_refused(
        &self,
        visit: &Visit,
        user: Option<UserId>,
        reason: &'static str,
    ) -> Result<(), OAuthError> {
        let origin = match visit.address.filter(|_| user.is_none()) {
            Some(address) => Some(origin::pseudonym(visit.tenant.id, &self.tenant_key(visit).await?, address)),
            None => None,
        };
        let note = NoteRefusedSignIn { user, reason, place: visit.place(), origin };
        self.authority.run(&protocol(visit.tenant.id, "auth"), &note).await?;
        Ok(())
    }

    /// The cookie that deletes the session cookie.
    pub(super) fn no_session(&self, visit: &Visit) -> Cookies {
        Cookies(vec![self.cookie(visit, SESSION, "", TimeDelta::zero())])
    }

    /// The user who last signed in with this browser, who may be another one than the user at it now.
    pub(super) async fn recognized_user(&self, visit: &Visit) -> Result<Option<Uuid>, OAuthError> {
        let Some(cookie) = visit.cookie(&self.cookie_name(visit, BROWSER)) else { return Ok(None) };
        let key = self.tenant_key(visit).await?;
        Ok(Opaque::read(cookie, visit.tenant.id, Use::Browser, &key).map(|said| said.id))
    }

    pub(super) fn cookie(&self, visit: &Visit, kind: &str, value: &str, lifetime: TimeDelta) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        // The cookie is sent to this tenant's pages only, is hidden from scripts, and is not sent with other sites' forms.
        format!(
            "{}={value}; Path=/t/{}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.cookie_name(visit, kind),
            visit.tenant.slug,
            lifetime.num_seconds(),
        )
    }

    pub(super) fn cookie_name(&self, visit: &Visit, kind: &str) -> String {
        let prefix = if self.is_secure() { "__Secure-" } else { "" };
        format!("{prefix}{kind}-{}", visit.tenant.slug)
    }

    fn is_secure(&self) -> bool {
        self.authority.settings().public_url.starts_with("https://")
    }
}

impl Visit {
    /// The value of a cookie; none: it is missing, or sent twice.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(of, _)| *of == name)
            .map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }

    /// The origin of the request: IP address and user agent.
    pub(super) fn place(&self) -> Place {
        origin::place(self.address, self.header("user-agent"))
    }

    /// Refuses a form that was sent from another site's page (CSRF): it could sign a user in to an account that is not theirs.
    pub(super) fn require_same_origin(&self, provider: &Provider) -> Result<(), OAuthError> {
        let ours = &provider.authority.settings().public_url;
        let host = self.header("host").unwrap_or_default();
        let origin = self.header("origin").is_none_or(|origin| {
            origin == ours || origin.split_once("://").is_some_and(|(_, from)| !from.is_empty() && from == host)
        });
        let site = self.header("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
        if origin && site {
            return Ok(());
        }
        Err(OAuthError::invalid_request(
            "this form was sent from a page of another site; open the page here and try again",
        ))
    }
}

/// Logs that the user service does not answer, and refuses.
pub(super) fn unavailable(error: face::PeopleError) -> Refusal {
    tracing::warn!(%error, "people can't be asked about");
    Refusal::unavailable("people_unavailable", "your user can't be looked up now; try again")
}
