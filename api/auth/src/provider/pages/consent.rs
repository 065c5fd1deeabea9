//! Consenting.

use maud::{Markup, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page};

/// What the page shows.
pub struct Consent<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// The client that asks.
    pub client: &'p str,
    /// Who is signed in.
    pub person: &'p str,
    /// Where the form goes.
    pub action: &'p str,
    /// What was asked for, sealed.
    pub pending: &'p str,
    /// The scope.
    pub scope: &'p [String],
    /// Where people are sent in the end.
    pub leads_to: &'p str,
}

/// The page.
pub fn consent(page: &Consent<'_>) -> Response {
    let body = html! {
        p { strong { (page.client) } " asks for your consent to" }
        (scope_list(page.scope))
        p.quiet { "You are signed in as " (page.person) "." }
        form method="post" action=(page.action) {
            input type="hidden" name="pending" value=(page.pending);
            div.row {
                button type="submit" name="decision" value="allow" { "Allow" }
                button.second type="submit" name="decision" value="deny" { "Do not allow" }
            }
        }
    };
    Page { tenant: page.tenant, title: "Allow access?", leads_to: Some(page.leads_to) }.answer(StatusCode::OK, &body)
}

/// What is asked for, in the words of people.
pub(super) fn scope_list(scope: &[String]) -> Markup {
    html! { ul { @for word in scope { li { (meaning(word)) } } } }
}

/// A scope in the words of people.
fn meaning(word: &str) -> String {
    match word {
        "openid" => "know that it is you".to_owned(),
        "profile" => "see your name, language and time zone".to_owned(),
        "email" => "see your e-mail address".to_owned(),
        "phone" => "see your telephone number".to_owned(),
        "address" => "see your postal address".to_owned(),
        "offline_access" => "keep access while you are away".to_owned(),
        "api" => "do everything that you may do here".to_owned(),
        permission => format!("use the permission {permission}, as far as you have it"),
    }
}
