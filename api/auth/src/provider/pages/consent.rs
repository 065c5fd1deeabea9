//! The consent page.

use maud::{Markup, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page};

/// The content of the page.
pub struct Consent<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The name of the client that asks for consent.
    pub client: &'p str,
    /// The name of the signed-in user.
    pub person: &'p str,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The sealed state.
    pub pending: &'p str,
    /// The requested scope.
    pub scope: &'p [String],
    /// The redirect URI of the client, which the page's policy for forms (CSP) has to allow.
    pub leads_to: &'p str,
}

/// Renders the page.
pub fn consent(page: &Consent<'_>) -> Response {
    let body = html! {
        p { strong { (page.client) } " asks for your consent to" }
        (scope_list(page.scope))
        p.quiet { "You are signed in as " bdi { (page.person) } "." }
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

/// A scope, explained in a list.
pub(super) fn scope_list(scope: &[String]) -> Markup {
    html! { ul { @for word in scope { li { (meaning(word)) } } } }
}

/// The explanation of one scope.
fn meaning(word: &str) -> String {
    match word {
        "openid" => "know that it is you".to_owned(),
        "profile" => "see your name, picture, language and time zone".to_owned(),
        "email" => "see your e-mail address".to_owned(),
        "phone" => "see your telephone number".to_owned(),
        "address" => "see your postal address".to_owned(),
        "offline_access" => "keep access while you are away".to_owned(),
        "api" => "do everything that you may do here".to_owned(),
        permission => format!("use the permission {permission}, as far as you have it"),
    }
}
