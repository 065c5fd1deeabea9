//! What a signed-in person sees without any application.

use auth_aggregates::ClientId;
use maud::html;
use poem::Response;
use poem::http::StatusCode;
use uuid::Uuid;

use super::{Brand, Page};

/// What the page shows.
pub struct AccountPage<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// Its short name.
    pub slug: &'p str,
    /// Who it is.
    pub person: &'p str,
    /// What they sign in with.
    pub login: &'p str,
    /// Whether they have an authenticator.
    pub authenticator: bool,
    /// How many passkeys they have; none: there can be none here.
    pub passkeys: Option<usize>,
    /// Where they are signed in.
    pub sessions: &'p [ShownSession<'p>],
    /// What they let act for them.
    pub applications: &'p [(ClientId, String)],
}

/// Where somebody is signed in.
pub struct ShownSession<'p> {
    /// The session.
    pub id: Uuid,
    /// Whether it is this browser.
    pub here: bool,
    /// Since when.
    pub since: String,
    /// When it was last used.
    pub used: String,
    /// With what.
    pub agent: &'p str,
    /// From where.
    pub address: Option<&'p str>,
}

/// The page.
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
        @if !page.sessions.is_empty() {
            h2 #sessions { "Where you are signed in" }
            ul.list aria-labelledby="sessions" {
                @for session in page.sessions {
                    li {
                        div {
                            @if session.here { strong { "This browser" } br; }
                            (session.agent)
                            p.quiet {
                                @if let Some(address) = session.address { (address) ", " }
                                "since " time datetime=(session.since) { (session.since) }
                                ", last used " time datetime=(session.used) { (session.used) }
                            }
                        }
                        @if !session.here {
                            form method="post" action=(end) {
                                input type="hidden" name="session" value=(session.id);
                                button.second type="submit" aria-label=(format!("End the session of {}", session.agent)) {
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
    Page { tenant: page.tenant, title: "Your account", leads_to: None }.answer(StatusCode::OK, &body)
}
