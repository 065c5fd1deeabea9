//! Asking for an account.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, alert};

/// What the page shows.
pub struct Registration<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// Where the form goes.
    pub action: &'p str,
    /// Where one goes who has an account.
    pub login: &'p str,
    /// The address that was tried.
    pub email: &'p str,
    /// What was wrong.
    pub error: Option<&'p str>,
}

/// The page.
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
