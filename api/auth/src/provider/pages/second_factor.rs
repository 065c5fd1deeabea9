//! The pages for the second factor, authenticators and recovery codes.

use maud::{Markup, PreEscaped, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, PasskeyForm, alert, link_to_account};
use crate::totp::Authenticator;

/// The content of the page that asks for a second factor.
pub struct CodePage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The sealed state.
    pub pending: &'p str,
    /// Whether they have an authenticator.
    pub authenticator: bool,
    /// The form to use a passkey instead; none: the user has none.
    pub passkey: Option<&'p PasskeyForm>,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
    /// The redirect URI of the client, which the page's policy for forms (CSP) has to allow.
    pub leads_to: Option<&'p str>,
}

/// Renders the page that asks for a second factor.
pub fn code(page: &CodePage<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let label = if page.authenticator { "Code" } else { "Recovery code" };
    let body = html! {
        (alert(page.error))
        @if let Some(passkey) = page.passkey { (passkey.show("Use a passkey", true)) }
        form.after[page.passkey.is_some()] method="post" action=(page.action) {
            input type="hidden" name="pending" value=(page.pending);
            (code_field(label, page.passkey.is_none()))
            div.row { button.second[page.passkey.is_some()] type="submit" { "Continue" } }
        }
        @if page.authenticator {
            p.after.quiet { "If you do not have your device, enter one of your recovery codes instead." }
        }
    };
    let title = if page.passkey.is_some() { "Confirm that it is you" } else { "Enter your code" };
    let script = page.passkey.map(|passkey| &passkey.script);
    Page { tenant: page.tenant, title, leads_to: page.leads_to }.answer_with(status, &body, script)
}

/// The key of an authenticator that is not enrolled yet.
pub struct ShownKey<'p> {
    /// Its `otpauth` URL.
    pub link: Option<&'p str>,
    /// The secret, for typing.
    pub secret: &'p str,
}

impl ShownKey<'_> {
    /// The key for scanning, for an app on the device that shows the page, and for typing.
    pub(super) fn show(&self) -> Markup {
        let groups: Vec<_> = self.secret.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        html! {
            @if let Some(link) = self.link {
                @if let Some(picture) = Authenticator::picture(link) {
                    div.picture role="img" aria-label="QR code of the key below" { (PreEscaped(picture)) }
                }
                p.quiet { a href=(link) { "Open it in an app on this device" } }
            }
            p.quiet { "Or enter this key: " span.code { (groups.join(" ")) } }
        }
    }
}

/// The content of the page on which an authenticator is enrolled.
pub struct EnrolPage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The short name of the tenant.
    pub slug: &'p str,
    /// The sealed state, with the secret.
    pub pending: &'p str,
    /// The authenticator's key.
    pub key: ShownKey<'p>,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page on which an authenticator is enrolled.
pub fn enrol(page: &EnrolPage<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = html! {
        (alert(page.error))
        p { "Scan this QR code with an authenticator app, and enter the code that it shows." }
        (page.key.show())
        form method="post" action=(format!("/t/{}/account/authenticator", page.slug)) {
            input type="hidden" name="pending" value=(page.pending);
            (code_field("Code", true))
            div.row { button type="submit" { "Use it from now on" } }
        }
        (link_to_account(page.slug))
    };
    Page { tenant: page.tenant, title: "Add an authenticator", leads_to: None }.answer(status, &body)
}

/// The content of the page of an enrolled authenticator.
pub struct AuthenticatorPage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The short name of the tenant.
    pub slug: &'p str,
    /// How many recovery codes are left.
    pub left: usize,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page of an enrolled authenticator.
pub fn authenticator(page: &AuthenticatorPage<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let at = |path: &str| format!("/t/{}/account/authenticator/{path}", page.slug);
    let body = html! {
        (alert(page.error))
        p { "You are asked for a code of your authenticator when you sign in. " (left(page.left)) }
        form method="post" {
            (code_field("Code", true))
            div.row {
                button type="submit" formaction=(at("codes")) { "New recovery codes" }
                button.second type="submit" formaction=(at("remove")) { "Remove the authenticator" }
            }
        }
        (link_to_account(page.slug))
    };
    Page { tenant: page.tenant, title: "Your authenticator", leads_to: None }.answer(status, &body)
}

/// Renders the page of recovery codes, which are shown only once.
pub fn recovery_codes(tenant: &Brand, codes: &[String], then: &str) -> Response {
    let body = html! {
        p { "Each of these codes lets you sign in once without your device. Keep them in a safe place; they are shown only once." }
        ol.codes { @for code in codes { li { span.code { (code) } } } }
        p { a href=(then) { "I have them" } }
    };
    Page { tenant, title: "Your recovery codes", leads_to: None }.answer(StatusCode::OK, &body)
}

/// How many recovery codes are left.
pub(super) fn left(count: usize) -> String {
    match count {
        0 => "You have no recovery codes left.".to_owned(),
        1 => "You have one recovery code left.".to_owned(),
        count => format!("You have {count} recovery codes left."),
    }
}

/// The field for a code.
pub(super) fn code_field(label: &str, autofocus: bool) -> Markup {
    html! {
        label for="code" { (label) }
        input #code name="code" type="text" inputmode="text" autocomplete="one-time-code" autocapitalize="none"
            spellcheck="false" required maxlength="40" autofocus[autofocus];
    }
}
