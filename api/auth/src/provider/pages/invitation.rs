//! The pages of an invitation and of a verification of an e-mail address.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::password::new_password_field;
use super::{Brand, Page, alert};

/// The content of the page.
pub struct Invitation<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The mailed link.
    pub link: &'p str,
    /// The address to which it was mailed.
    pub email: &'p str,
    /// The user's name, as far as it is known.
    pub name: &'p str,
    /// Whether it is a self-registration, not an invitation.
    pub by_policy: bool,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page.
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
            // The user name, for password managers.
            input type="hidden" name="username" value=(page.email) autocomplete="username";
            label for="name" { "Your name" }
            input #name name="name" type="text" value=(page.name) dir="auto" autocomplete="name" required maxlength="200"
                autofocus[page.name.is_empty()];
            (new_password_field(!page.name.is_empty()))
            div.row { button type="submit" { (accept) } }
        }
    };
    Page { tenant: page.tenant, title, leads_to: None }.answer(status, &body)
}

/// The content of the page that verifies an address.
pub struct Verification<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The mailed link.
    pub link: &'p str,
}

/// Renders the page.
pub fn verification(page: &Verification<'_>) -> Response {
    let body = html! {
        p { "This shows that the address to which the link was mailed is yours." }
        form method="post" action=(page.action) {
            input type="hidden" name="link" value=(page.link);
            div.row { button type="submit" { "Verify" } }
        }
    };
    Page { tenant: page.tenant, title: "Verify your address", leads_to: None }.answer(StatusCode::OK, &body)
}
