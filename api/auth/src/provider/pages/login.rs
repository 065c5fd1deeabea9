//! The sign-in page.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, PasskeyForm, alert};

/// The content of the page.
pub struct Login<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The name of the client for which the user signs in.
    pub client: Option<&'p str>,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The path of the page for a forgotten password.
    pub forgot: &'p str,
    /// The path of the registration page; none: there is no self-registration.
    pub register: Option<&'p str>,
    /// The path for sign-in through an identity provider; none: none is connected.
    pub organization: Option<&'p str>,
    /// The sealed state.
    pub pending: &'p str,
    /// The login name that was tried, or that the client suggests.
    pub name: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
    /// The form for a sign-in by passkey.
    pub passkey: Option<&'p PasskeyForm>,
    /// The redirect URI of the client, which the page's policy for forms (CSP) has to allow.
    pub leads_to: Option<&'p str>,
}

/// Renders the page.
pub fn login(page: &Login<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    // A browser with passkeys suggests them in this field as well.
    let names = if page.passkey.is_some() { "username webauthn" } else { "username" };
    let body = html! {
        @if let Some(client) = page.client { p { "to go on to " strong { (client) } } }
        (alert(page.error))
        form method="post" action=(page.action) {
            input type="hidden" name="pending" value=(page.pending);
            label for="login" { "E-mail address or user name" }
            input #login name="login" type="text" value=(page.name) autocomplete=(names) autocapitalize="none"
                spellcheck="false" required maxlength="254" autofocus[page.name.is_empty()];
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="current-password" required
                autofocus[!page.name.is_empty()];
            div.row { button type="submit" { "Sign in" } }
        }
        @if let Some(passkey) = page.passkey { (passkey.show("Sign in with a passkey", false)) }
        @if let Some(action) = page.organization {
            form method="post" action=(action) {
                input type="hidden" name="pending" value=(page.pending);
                label for="organization" { "Your e-mail address at your organization" }
                input #organization name="email" type="email" value=(page.name) autocomplete="email" required
                    maxlength="254";
                div.row { button type="submit" { "Sign in through your organization" } }
            }
        }
        p.after { a href=(page.forgot) { "Forgot your password?" } }
        @if let Some(register) = page.register { p.after { a href=(register) { "Create an account" } } }
    };
    let script = page.passkey.map(|passkey| &passkey.script);
    Page { tenant: page.tenant, title: "Sign in", leads_to: page.leads_to }.answer_with(status, &body, script)
}
