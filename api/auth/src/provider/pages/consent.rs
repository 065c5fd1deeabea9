//! The consent page.

use maud::{Markup, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page};

/// The scopes that have a meaning of their own, in the order in which they are listed.
const MEANINGS: [(&str, &str); 7] = [
    ("openid", "know that it is you"),
    ("profile", "see your name, picture, language and time zone"),
    ("email", "see your e-mail address"),
    ("phone", "see your telephone number"),
    ("address", "see your postal address"),
    ("offline_access", "keep access while you are away"),
    ("api", "do everything that you may do here"),
];

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

/// A scope, explained in a list. Permissions come last.
pub(super) fn scope_list(scope: &[String]) -> Markup {
    let mut words: Vec<_> = scope.iter().map(String::as_str).collect();
    words.sort_by_key(|word| MEANINGS.iter().position(|(of, _)| of == word).unwrap_or(MEANINGS.len()));
    html! { ul { @for word in words { li { (meaning(word)) } } } }
}

/// The explanation of one scope.
fn meaning(word: &str) -> String {
    match MEANINGS.iter().find(|(of, _)| *of == word) {
        Some((_, meaning)) => (*meaning).to_owned(),
        None => format!("use the permission {word}, as far as you have it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_learns_is_listed_from_little_to_much_and_permissions_come_last() {
        let scope = ["address", "api", "crm:lead:read", "openid", "profile"].map(str::to_owned);
        let listed = scope_list(&scope).into_string();
        let order =
            ["that it is you", "your name, picture", "postal address", "everything", "permission crm:lead:read"];
        let found = order.map(|text| listed.find(text).unwrap());
        assert!(found.is_sorted(), "{listed}");
    }
}
