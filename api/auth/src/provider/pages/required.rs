//! The page on which a user has to add a second factor before they can sign in.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::second_factor::{ShownKey, code_field};
use super::{Brand, Page, PasskeyForm, alert};

/// The content of the page.
pub struct RequiredPage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the authenticator's form is sent.
    pub action: &'p str,
    /// The sealed state, with the authenticator's secret.
    pub pending: &'p str,
    /// The authenticator's key.
    pub key: ShownKey<'p>,
    /// The form to add a passkey instead; none: passkeys can't be used here.
    pub passkey: Option<&'p PasskeyForm>,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
    /// The redirect URI of the client, which the page's policy for forms (CSP) has to allow.
    pub leads_to: Option<&'p str>,
}

/// Renders the page.
pub fn required(page: &RequiredPage<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = html! {
        (alert(page.error))
        p { (page.tenant.name) " asks you for more than a password. Add one of these to sign in." }
        @if let Some(passkey) = page.passkey {
            div data-with-passkeys hidden { h2 { "A passkey" } p { "Use your fingerprint, face or PIN." } (passkey.make("Passkey 1")) }
        }
        h2 { "An authenticator" }
        p { "An app that shows codes: scan this QR code with it, and enter the code that it shows." }
        (page.key.show())
        form method="post" action=(page.action) {
            input type="hidden" name="pending" value=(page.pending);
            (code_field("Code", false))
            div.row { button.second[page.passkey.is_some()] type="submit" { "Use it from now on" } }
        }
    };
    let script = page.passkey.map(|passkey| &passkey.script);
    Page { tenant: page.tenant, title: "Add a second factor", leads_to: page.leads_to }
        .answer_with(status, &body, script)
}
