//! Becoming a user.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::password::new_password_field;
use super::{Brand, Page, alert};

/// What the page shows.
pub struct Invitation<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// Where the form goes.
    pub action: &'p str,
    /// The mailed link.
    pub link: &'p str,
    /// Where it was mailed.
    pub email: &'p str,
    /// Their name, as far as it is known.
    pub name: &'p str,
    /// Whether they asked for it themselves.
    pub by_policy: bool,
    /// What was wrong.
    pub error: Option<&'p str>,
}

/// The page.
pub fn invitation(page: &Invitation<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let (title, as_whom, accept) = if page.by_policy {
        ("Create an account", "Your account is that of ", "Create account")
    } else {
        ("Welcome", "You are invited as ", "Accept")
    };
    let body = html! {
        p { (as_whom) strong { (page.email) } "." }
        (alert(page.error))
        form method="post" action=(page.action) {
            input type="hidden" name="link" value=(page.link);
            // For programs that keep passwords: what one signs in with.
            input type="hidden" name="username" value=(page.email) autocomplete="username";
            label for="name" { "Your name" }
            input #name name="name" type="text" value=(page.name) autocomplete="name" required maxlength="200"
                autofocus[page.name.is_empty()];
            (new_password_field(!page.name.is_empty()))
            div.row { button type="submit" { (accept) } }
        }
    };
    Page { tenant: page.tenant, title, leads_to: None }.answer(status, &body)
}

/// What the page that verifies an address shows.
pub struct Verification<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// Where the form goes.
    pub action: &'p str,
    /// The mailed link.
    pub link: &'p str,
}

/// The page.
pub fn verification(page: &Verification<'_>) -> Response {
    let body = html! {
        p { "This shows that the address to which the link was mailed is yours." }
        form method="post" action=(page.action) {
            input type="hidden" name="link" value=(page.link);
            div.row { button type="submit" { "It is mine" } }
        }
    };
    Page { tenant: page.tenant, title: "Verify your address", leads_to: None }.answer(StatusCode::OK, &body)
}
