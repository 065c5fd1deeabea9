//! Recent authentication, which is required to change credentials: somebody at an unattended browser must not be able to add their own.

use poem::Response;

use super::account::to_login;
use super::authorize::show_login;
use super::browser::BrowserSession;
use super::goal::Goal;
use super::id_token::acr;
use super::second_factor::{self, Pending};
use super::{OAuthError, Provider, Visit};

/// Whether the user of a session authenticated recently.
pub(super) fn is_recent(provider: &Provider, browser: &BrowserSession) -> bool {
    provider.authority.is_recent_authentication(browser.confirmed_at)
}

/// The session of a user who authenticated recently, with the second factor if they have one; else the page on which they do so before they
/// continue to `goal`.
pub(super) async fn recently_authenticated(
    provider: &Provider,
    visit: &Visit,
    goal: Goal,
) -> Result<Result<BrowserSession, Response>, OAuthError> {
    let Some(browser) = provider.browser_session(visit).await? else { return Ok(Err(to_login(visit))) };
    let more = browser.account.has_second_factor();
    if is_recent(provider, &browser) && (!more || acr(&browser.methods) == "aal2") {
        return Ok(Ok(browser));
    }
    let page = if more {
        let pending = Pending {
            then: goal.then(),
            user: browser.person.id,
            session: Some(browser.id),
            since: provider.moment(&browser.account),
            methods: Vec::new(),
            saml: None,
        };
        second_factor::ask(provider, visit, &goal, pending, &browser.account, None).await?
    } else {
        show_login(provider, visit, &goal, &browser.person.login, None).await?
    };
    Ok(Err(page))
}
