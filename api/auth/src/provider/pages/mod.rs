//! The pages that people see, rendered on the server. Each page has a content security policy that names what it may load and where its
//! forms may lead. There are two scripts, that for passkeys and that which sends a response to a client; their pages work without it, too.

mod account;
mod back_to_client;
mod consent;
mod device;
mod invitation;
mod login;
mod message;
mod organization;
mod passkey;
mod password;
mod picture;
mod registration;
mod required;
mod second_factor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use poem::Response;
use poem::http::{StatusCode, header};
use sha2::{Digest, Sha256};

pub use account::{AccountPage, ShownSession, account};
pub use back_to_client::post_to_client;
pub use consent::{Consent, consent};
pub use device::{DeviceCode, DeviceQuestion, device_code, device_question};
pub use invitation::{Invitation, Verification, invitation, verification};
pub use login::{Login, login};
pub use message::{confirm_sign_out, message, message_with_link};
pub use organization::{post_to_provider, to_provider, to_provider_after_sign_out};
pub use passkey::{PasskeyForm, PasskeysPage, SCRIPT, ShownPasskey, passkeys};
pub use password::{ChangePassword, NewPassword, change_password, forgot, new_password};
pub use picture::ShownPicture;
pub use registration::{Registration, registration};
pub use required::{RequiredPage, required};
pub use second_factor::{AuthenticatorPage, CodePage, EnrolPage, ShownKey, authenticator, code, enrol, recovery_codes};

const STYLE: &str = include_str!("style.css");

/// A page of a tenant.
pub struct Page<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The title.
    pub title: &'p str,
    /// The address, besides ours, to which its forms may lead. Browsers apply `form-action` to redirects after a form as well.
    pub leads_to: Option<&'p str>,
}

/// The branding of a tenant's pages.
#[derive(Clone, Debug, Default)]
pub struct Brand {
    /// The tenant's name; empty if the tenant is not known.
    pub name: String,
    /// Its logo.
    pub logo: Option<Logo>,
}

/// A tenant's logo.
#[derive(Clone, Debug)]
pub struct Logo {
    /// The path of the picture.
    pub light: String,
    /// The path of the picture for dark mode.
    pub dark: Option<String>,
    /// Its width and height in pixels, so that the page's layout does not shift when it is loaded.
    pub size: (u32, u32),
}

impl Brand {
    /// The address of the icon. Without a logo it is empty, because browsers otherwise request one that is not there.
    fn icon(&self) -> &str {
        self.logo.as_ref().map_or("data:,", |logo| &logo.light)
    }

    /// The header of a page. In dark mode, a logo without a dark version is shown on a light background.
    fn shown(&self) -> Markup {
        html! {
            @if let Some(Logo { light, dark, size: (width, height) }) = &self.logo {
                picture.logo.plated[dark.is_none()] {
                    @if let Some(dark) = dark { source media="(prefers-color-scheme: dark)" srcset=(dark); }
                    img src=(light) alt={ "Logo of " (self.name) } width=(width) height=(height);
                }
            }
            @if !self.name.is_empty() { p.tenant { (self.name) } }
        }
    }
}

/// A script that a page runs.
pub enum Script {
    /// A file that the page loads: its path, and its URL for the page's content security policy.
    File { path: String, source: String },
    /// A text at the end of the page, when the rest of it is there.
    Inline(&'static str),
}

impl Script {
    /// Its CSP source expression.
    fn source(&self) -> String {
        match self {
            Self::File { source, .. } => source.clone(),
            Self::Inline(text) => hashed(text),
        }
    }
}

impl Page<'_> {
    /// The page as a response.
    pub fn answer(&self, status: StatusCode, body: &Markup) -> Response {
        self.answer_with(status, body, None)
    }

    /// The page as a response, with a script.
    pub fn answer_with(&self, status: StatusCode, body: &Markup, script: Option<&Script>) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) @if !self.tenant.name.is_empty() { " · " (self.tenant.name) } }
                    link rel="icon" href=(self.tenant.icon());
                    style { (PreEscaped(STYLE)) }
                    @if let Some(Script::File { path, .. }) = script { script src=(path) defer {} }
                }
                body {
                    main {
                        (self.tenant.shown())
                        h1 { (self.title) }
                        (body)
                    }
                    @if let Some(Script::Inline(text)) = script { script { (PreEscaped(text)) } }
                }
            }
        };
        let form_action = match self.leads_to.and_then(source) {
            Some(source) => format!("'self' {source}"),
            None => "'self'".to_owned(),
        };
        let style = hashed(STYLE);
        let script = script.map(|script| format!("script-src {}; ", script.source())).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src {style}; {script}img-src 'self' data:; form-action {form_action}; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .header(header::CACHE_CONTROL, "no-store")
            .header("content-security-policy", policy)
            // Not "no-referrer": with that, browsers send `Origin: null` with our own forms.
            .header("referrer-policy", "same-origin")
            .header("x-frame-options", "DENY")
            .header("cross-origin-opener-policy", "same-origin")
            .body(page.into_string())
    }
}

/// The CSP source expression of a style sheet or script that is part of the page.
fn hashed(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// The CSP source expression of a registered address: its origin, or its scheme.
fn source(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    match rest.strip_prefix("//") {
        Some(rest) if scheme.starts_with("http") => {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            // A policy can't name an IPv6 address.
            if authority.starts_with('[') {
                return Some(format!("{scheme}:"));
            }
            // Characters that would end the directive or begin another one. No registered address contains them, but it is checked again
            // here.
            (!authority.contains([';', ',', '\'', ' '])).then(|| format!("{scheme}://{authority}"))
        }
        _ => Some(format!("{scheme}:")),
    }
}

/// A time, as the mails write it.
fn time(at: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (at.format("%Y-%m-%d %H:%M UTC")) }
    }
}

/// The link from a page of the account back to the account.
fn link_to_account(slug: &str) -> Markup {
    html! { p.after { a href=(format!("/t/{slug}/account")) { "Your account" } } }
}

/// An error message, which screen readers announce (`role="alert"`).
fn alert(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.alert role="alert" { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_the_application_and_nowhere_else() {
        assert_eq!(source("https://app.example.com/back?x=1").as_deref(), Some("https://app.example.com"));
        assert_eq!(source("http://127.0.0.1:5000/back").as_deref(), Some("http://127.0.0.1:5000"));
        assert_eq!(source("http://[::1]:5000/back").as_deref(), Some("http:"));
        assert_eq!(source("com.example.app:/back").as_deref(), Some("com.example.app:"));
        assert_eq!(source("https://a; script-src *"), None);
    }
}
