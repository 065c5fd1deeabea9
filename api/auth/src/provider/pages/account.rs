//! The account page of a signed-in user.

use auth_aggregates::ClientId;
use chrono::{DateTime, Utc};
use maud::html;
use poem::Response;
use poem::http::StatusCode;
use uuid::Uuid;

use super::{Brand, Page, ShownPicture, time};

/// The content of the page.
pub struct AccountPage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The short name of the tenant.
    pub slug: &'p str,
    /// The user's name.
    pub person: &'p str,
    /// Their login name.
    pub login: &'p str,
    /// Their picture; none: it can't be changed here.
    pub picture: Option<ShownPicture<'p>>,
    /// Whether they have an authenticator.
    pub authenticator: bool,
    /// How many passkeys they have; none: passkeys can't be used here.
    pub passkeys: Option<usize>,
    /// Their open sessions.
    pub sessions: &'p [ShownSession<'p>],
    /// The applications to which they consented.
    pub applications: &'p [(ClientId, String)],
}

/// A session in the list.
pub struct ShownSession<'p> {
    /// Its id.
    pub id: Uuid,
    /// Whether it is this browser's.
    pub here: bool,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it was last used.
    pub used: DateTime<Utc>,
    /// The browser and the system, as people call them.
    pub browser: String,
    /// The user agent as it names itself.
    pub agent: Option<&'p str>,
    /// The IP address.
    pub address: Option<&'p str>,
}

/// Renders the page.
pub fn account(page: &AccountPage<'_>) -> Response {
    let end = format!("/t/{}/account/sessions", page.slug);
    let body = html! {
        p { "You are signed in as " strong { (page.person) } ", " (page.login) "." }
        div.row {
            form method="get" action=(format!("/t/{}/logout", page.slug)) { button type="submit" { "Sign out" } }
            a.button href=(format!("/t/{}/account/password", page.slug)) { "Change your password" }
            a.button href=(format!("/t/{}/account/authenticator", page.slug)) {
                @if page.authenticator { "Your authenticator" } @else { "Add an authenticator" }
            }
            @if let Some(count) = page.passkeys {
                a.button href=(format!("/t/{}/account/passkeys", page.slug)) {
                    @if count > 0 { "Your passkeys" } @else { "Add a passkey" }
                }
            }
        }
        @if let Some(picture) = &page.picture { (picture.show(page.slug, page.person)) }
        @if !page.sessions.is_empty() {
            h2 #sessions { "Where you are signed in" }
            ul.list aria-labelledby="sessions" {
                @for session in page.sessions {
                    li {
                        div {
                            @if session.here { strong { "This browser" } br; }
                            span title=[session.agent] { (session.browser) }
                            p.quiet {
                                @if let Some(address) = session.address { (address) ", " }
                                "since " (time(session.since)) ", last used " (time(session.used))
                            }
                        }
                        @if !session.here {
                            form method="post" action=(end) {
                                input type="hidden" name="session" value=(session.id);
                                button.second type="submit" aria-label=(format!("End the session of {}", session.browser)) {
                                    "End"
                                }
                            }
                        }
                    }
                }
            }
            form method="post" action=(end) {
                button.second type="submit" { "Sign out everywhere" }
            }
        }
        @if !page.applications.is_empty() {
            h2 #applications { "Applications that act for you" }
            ul.list aria-labelledby="applications" {
                @for (client, name) in page.applications {
                    li {
                        (name)
                        form method="post" action=(format!("/t/{}/account/applications", page.slug)) {
                            input type="hidden" name="client" value=(client);
                            button.second type="submit" aria-label=(format!("Withdraw what {name} may")) { "Withdraw" }
                        }
                    }
                }
            }
        }
    };
    let refused = page.picture.as_ref().and_then(|picture| picture.refused);
    let status = refused.map_or(StatusCode::OK, |(status, _)| status);
    Page { tenant: page.tenant, title: "Your account", leads_to: None }.answer(status, &body)
}
