//! The account page: it lists the sessions of the signed-in user and the applications with their consent, and ends both. The user's
//! picture on it: `own_picture.rs`.

use std::time::Duration;

use auth_aggregates::{Client, ClientId, EndReason, Session, SessionId};
use auth_commands::{EndOwnSessions, EndSession, WithdrawConsent, protocol};
use auth_projections::sessions::{self, SessionRow};
use kernel::{Position, Refusal};
use poem::Response;
use poem::http::StatusCode;

use super::authorize::see_other;
use super::browser::BrowserSession;
use super::form::Form;
use super::pages::{self, AccountPage, ShownPicture, ShownSession};
use super::{Answer, OAuthError, Provider, Visit, user_agent};

/// The most sessions that are listed: the newest.
const SHOWN: i64 = 50;

/// The most applications that are listed.
const APPLICATIONS: usize = 50;

/// How long a redirect to the page waits until the read model includes the change just made.
const PATIENCE: Duration = Duration::from_secs(3);

/// The address of the issuer, as people type it: leads to the account page, and so to sign-in.
pub async fn at_issuer(_: &Provider, visit: Visit) -> Answer {
    Ok(to_account(&visit))
}

/// Shows the account page.
pub async fn account_page(provider: &Provider, visit: Visit) -> Answer {
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    show(provider, &visit, &browser, None).await
}

/// The account page of a user who is signed in. `refused`: why the picture that they uploaded was refused, with the status of the response.
pub(super) async fn show(
    provider: &Provider,
    visit: &Visit,
    browser: &BrowserSession,
    refused: Option<(StatusCode, String)>,
) -> Answer {
    let sessions = open_sessions(provider, visit, browser).await?;
    let sessions: Vec<_> = sessions.iter().map(|row| shown(row, browser)).collect();
    let applications = applications(provider, visit, browser).await?;
    let person = &browser.person;
    Ok(pages::account(&AccountPage {
        tenant: &visit.brand,
        slug: &visit.tenant.slug,
        person: &person.name,
        login: &person.login,
        picture: provider.authority.pictures().map(|_| ShownPicture {
            uploaded: person.uploaded_picture.as_deref(),
            elsewhere: person.picture.as_deref(),
            refused: refused.as_ref().map(|(status, text)| (*status, text.as_str())),
        }),
        authenticator: browser.account.totp.is_some(),
        passkeys: provider.relying_party(visit).map(|_| browser.account.passkeys.by_id.len()),
        sessions: &sessions,
        applications: &applications,
    }))
}

/// Ends one of the user's sessions, or all of them.
pub async fn end(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    let caller = protocol(visit.tenant.id, &browser.person.id.to_string());
    let position = match form.get("session") {
        None => {
            let end = EndOwnSessions { user: browser.person.id };
            provider.authority.run(&caller, &end).await?.position
        }
        Some(session) => {
            let session = session.parse::<SessionId>().map_err(|_| no_session())?;
            let found = provider.authority.executor().load::<Session>(&caller, &session.to_string()).await?;
            let started = found.and_then(|(state, _)| state.started.clone());
            // Another user's session gets the same answer as one that does not exist.
            started.filter(|started| started.user == browser.person.id).ok_or_else(no_session)?;
            let end = EndSession { session, reason: EndReason::Revoked };
            provider.authority.run(&caller, &end).await?.position
        }
    };
    wait(provider, &visit, position).await;
    Ok(to_account(&visit))
}

/// Withdraws the user's consent to an application.
pub async fn withdraw(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    let unknown = || Refusal::not_found("not_found", "you have not given consent to such an application");
    let client: ClientId = form.need("client")?.parse().map_err(|_| unknown())?;
    let user = browser.person.id;
    // Without any consent there may be no account aggregate to which an event could be appended.
    if !browser.account.consents.contains_key(&client) {
        return Err(unknown().into());
    }
    let caller = protocol(visit.tenant.id, &user.to_string());
    provider.authority.run(&caller, &WithdrawConsent { user, client }).await?;
    Ok(to_account(&visit))
}

/// The applications to which the user consented, with their names.
async fn applications(
    provider: &Provider,
    visit: &Visit,
    browser: &BrowserSession,
) -> Result<Vec<(ClientId, String)>, OAuthError> {
    let caller = protocol(visit.tenant.id, "auth");
    let mut named = Vec::new();
    for client in browser.account.consents.keys().take(APPLICATIONS) {
        let found = provider.authority.executor().load::<Client>(&caller, &client.to_string()).await?;
        named.extend(found.map(|(state, _)| (*client, state.details.name.clone())));
    }
    Ok(named)
}

/// The user's open sessions, the newest first.
async fn open_sessions(
    provider: &Provider,
    visit: &Visit,
    browser: &BrowserSession,
) -> Result<Vec<SessionRow>, OAuthError> {
    let Some(read_models) = &provider.read_models else { return Ok(Vec::new()) };
    let unreadable = |error: String| {
        tracing::warn!(error, "sessions can't be listed");
        Refusal::unavailable("sessions_unavailable", "your sessions can't be shown now; try again")
    };
    let mut tables = read_models.begin(visit.tenant.id).await.map_err(|error| unreadable(error.to_string()))?;
    let now = provider.authority.now();
    let user = browser.person.id.uuid();
    let idle = provider.sign_in_policy(visit).await?.session_idle();
    let rows = sessions::open_of(&mut tables, visit.tenant.id, user, now, idle, SHOWN).await;
    Ok(rows.map_err(|error| unreadable(error.to_string()))?)
}

fn shown<'r>(row: &'r SessionRow, browser: &BrowserSession) -> ShownSession<'r> {
    ShownSession {
        id: row.session_id,
        here: row.session_id == browser.id.uuid(),
        since: row.started_at,
        used: row.used_at,
        browser: row.agent.as_deref().map_or_else(|| "an unknown browser".to_owned(), user_agent::described),
        agent: row.agent.as_deref(),
        address: row.address.as_deref(),
    }
}

async fn wait(provider: &Provider, visit: &Visit, position: Position) {
    if let Some(read_models) = &provider.read_models
        && read_models.wait_for(visit.tenant.id, position, PATIENCE).await.is_err()
    {
        tracing::debug!("the list of sessions is late");
    }
}

fn no_session() -> OAuthError {
    Refusal::not_found("not_found", "you have no such session").into()
}

/// A redirect to the sign-in page.
pub(super) fn to_login(visit: &Visit) -> Response {
    see_other(&format!("/t/{}/login", visit.tenant.slug))
}

/// A redirect to the account page.
pub(super) fn to_account(visit: &Visit) -> Response {
    see_other(&format!("/t/{}/account", visit.tenant.slug))
}
