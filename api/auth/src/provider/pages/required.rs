//! A second factor has to be added.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::second_factor::{code_field, key};
use super::{Brand, Page, PasskeyForm, alert};

/// What the page shows.
pub struct RequiredPage<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// Where the form of the authenticator goes.
    pub action: &'p str,
    /// What was asked for, and the authenticator's secret, sealed.
    pub pending: &'p str,
    /// For scanning: SVG.
    pub picture: Option<&'p str>,
    /// For typing.
    pub secret: &'p str,
    /// How a passkey is made instead; none: there can be none here.
    pub passkey: Option<&'p PasskeyForm>,
    /// What was wrong.
    pub error: Option<&'p str>,
    /// Where people are sent in the end.
    pub leads_to: Option<&'p str>,
}

/// The page.
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
        (key(page.picture, page.secret))
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
