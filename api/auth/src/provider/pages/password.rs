//! The pages on which users set, change and request a password.

use maud::{Markup, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, alert, link_to_account};

/// The content of the page.
pub struct NewPassword<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The name of the user.
    pub person: &'p str,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The token in the mailed link.
    pub token: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page.
pub fn new_password(page: &NewPassword<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = html! {
        p { "for " strong { (page.person) } }
        (alert(page.error))
        form method="post" action=(page.action) {
            input type="hidden" name="token" value=(page.token);
            (new_password_field(true))
            div.row { button type="submit" { "Set password" } }
        }
    };
    Page { tenant: page.tenant, title: "Choose a password", leads_to: None }.answer(status, &body)
}

/// The content of the page on which a user changes their password.
pub struct ChangePassword<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The name of the user.
    pub person: &'p str,
    /// Their login name.
    pub login: &'p str,
    /// The short name of the tenant.
    pub slug: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page.
pub fn change_password(page: &ChangePassword<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = html! {
        p { "for " strong { (page.person) } }
        (alert(page.error))
        form method="post" action=(format!("/t/{}/account/password", page.slug)) {
            input type="hidden" name="username" value=(page.login) autocomplete="username";
            label for="old" { "Current password" }
            input #old name="old" type="password" autocomplete="current-password" required autofocus;
            (new_password_field(false))
            label.choice for="elsewhere" {
                input #elsewhere name="elsewhere" type="checkbox" value="end" checked;
                "Sign out everywhere else"
            }
            div.row { button type="submit" { "Change password" } }
        }
        (link_to_account(page.slug))
    };
    Page { tenant: page.tenant, title: "Change your password", leads_to: None }.answer(status, &body)
}

/// Renders the page to request a link for a forgotten password.
pub fn forgot(tenant: &Brand, slug: &str) -> Response {
    let body = html! {
        p { "We will send you a link to set a new password." }
        form method="post" action=(format!("/t/{slug}/forgot")) {
            label for="login" { "E-mail address or user name" }
            input #login name="login" type="text" autocomplete="username" autocapitalize="none" spellcheck="false"
                required maxlength="254" autofocus;
            div.row { button type="submit" { "Send the link" } }
        }
        p.after { a href=(format!("/t/{slug}/login")) { "Sign in" } }
    };
    Page { tenant, title: "Forgot your password?", leads_to: None }.answer(StatusCode::OK, &body)
}

/// The field for a new password. Like all fields of passwords it has no `maxlength`: a browser cuts what is pasted without a word, and counts
/// what was typed and not what is [hashed](crate::password::Password).
pub(super) fn new_password_field(autofocus: bool) -> Markup {
    html! {
        label for="password" { "New password" }
        input #password name="password" type="password" autocomplete="new-password" required
            aria-describedby="advice" autofocus[autofocus];
        p #advice .quiet { "Three or four uncommon words are easy to remember and hard to guess." }
    }
}
