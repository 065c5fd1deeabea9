//! Signing in.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, PasskeyForm, alert};

/// What the page shows.
pub struct Login<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// The client for which somebody signs in.
    pub client: Option<&'p str>,
    /// Where the form goes.
    pub action: &'p str,
    /// Where one goes who forgot their password.
    pub forgot: &'p str,
    /// Where one asks for an account; none: nobody does by themselves.
    pub register: Option<&'p str>,
    /// Where one goes whom an identity provider signs in; none: no provider is connected.
    pub organization: Option<&'p str>,
    /// What was asked for, sealed.
    pub pending: &'p str,
    /// The name that was tried, or that the client suggests.
    pub name: &'p str,
    /// What was wrong.
    pub error: Option<&'p str>,
    /// How they sign in with a passkey instead.
    pub passkey: Option<&'p PasskeyForm>,
    /// Where people are sent in the end.
    pub leads_to: Option<&'p str>,
}

/// The page.
pub fn login(page: &Login<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    // A browser that has passkeys offers them there, too.
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
            input #password name="password" type="password" autocomplete="current-password" required maxlength="256"
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
