//! The registration page.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, alert};

/// The content of the page.
pub struct Registration<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The path of the sign-in page.
    pub login: &'p str,
    /// The address that was entered.
    pub email: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page.
pub fn registration(page: &Registration<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = html! {
        p { "We will send you a link to continue." }
        (alert(page.error))
        form method="post" action=(page.action) {
            label for="email" { "Your e-mail address" }
            input #email name="email" type="email" value=(page.email) autocomplete="email" required maxlength="254" autofocus;
            div.row { button type="submit" { "Send the link" } }
        }
        p.after { a href=(page.login) { "I have an account: sign in" } }
    };
    Page { tenant: page.tenant, title: "Create an account", leads_to: None }.answer(status, &body)
}
