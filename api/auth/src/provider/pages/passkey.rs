//! Passkeys: the form that asks for one, and the account's page for them.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page, Script, alert, link_to_account, time};

/// The script that calls the browser's WebAuthn API.
pub const SCRIPT: &str = include_str!("passkey.js");

/// The content of a form that asks for a passkey.
pub struct PasskeyForm {
    /// The path to which the form is sent.
    pub action: String,
    /// The sealed state.
    pub pending: String,
    /// The options for the browser, as JSON.
    pub options: String,
    /// The script that calls the browser's API.
    pub script: Script,
}

impl PasskeyForm {
    /// The form to use a passkey. It is hidden without the script.
    pub(super) fn show(&self, button: &str, first: bool) -> Markup {
        html! {
            form method="post" action=(self.action) data-passkey="show" data-options=(self.options)
                data-failed="Your browser has shown no passkey. Try again, or sign in the other way." hidden {
                p.alert role="alert" data-failed hidden {}
                input type="hidden" name="pending" value=(self.pending);
                input type="hidden" name="answer";
                div.row { button.second[!first] type="submit" { (button) } }
            }
        }
    }

    /// The form to add a passkey. `name`: the suggested name.
    pub(super) fn make(&self, name: &str) -> Markup {
        html! {
            form method="post" action=(self.action) data-passkey="make" data-options=(self.options)
                data-failed="Your browser has made no passkey. Try again, or use another device."
                data-there="This device has a passkey of yours already." hidden {
                p.alert role="alert" data-failed hidden {}
                input type="hidden" name="pending" value=(self.pending);
                input type="hidden" name="answer";
                label for="name" { "What you call it" }
                input #name name="name" type="text" value=(name) required maxlength="100" autocomplete="off";
                div.row { button type="submit" { "Add a passkey" } }
            }
        }
    }
}

/// The content of the page of a user's passkeys.
pub struct PasskeysPage<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The short name of the tenant.
    pub slug: &'p str,
    /// The user's passkeys.
    pub passkeys: &'p [ShownPasskey<'p>],
    /// How many recovery codes are left.
    pub left: usize,
    /// The form to add one; none: the user has the maximum, or passkeys can't be used here.
    pub make: Option<&'p PasskeyForm>,
    /// The suggested name of a new one.
    pub name: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// A passkey in the list.
pub struct ShownPasskey<'p> {
    /// Its credential id.
    pub id: &'p str,
    /// Its name.
    pub name: &'p str,
    /// When it was added.
    pub enrolled: DateTime<Utc>,
    /// When it was last used.
    pub used: Option<DateTime<Utc>>,
    /// Whether it may be synced to other devices.
    pub synced: bool,
}

/// Renders the page.
pub fn passkeys(page: &PasskeysPage<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let at = |path: &str| format!("/t/{}/account/passkeys/{path}", page.slug);
    let body = html! {
        (alert(page.error))
        p { "With a passkey you sign in with your fingerprint, face or PIN, without a password. If you sign in with your password, you are asked for the passkey as well." }
        @if !page.passkeys.is_empty() {
            ul.list aria-label="Your passkeys" {
                @for passkey in page.passkeys { (shown(passkey, &at("rename"), &at("remove"))) }
            }
            form method="post" action=(at("codes")) {
                p.quiet { (super::second_factor::left(page.left)) }
                button.second type="submit" { "New recovery codes" }
            }
        }
        h2 { "Add a passkey" }
        @match page.make {
            Some(make) => {
                p.quiet data-without-passkeys {
                    "Your browser has to support passkeys, and JavaScript has to be enabled."
                }
                (make.make(page.name))
            }
            None => p.quiet {
                @if page.passkeys.is_empty() { "Passkeys can't be used at this address." }
                @else { "You have the maximum number of passkeys. Remove one first." }
            }
        }
        (link_to_account(page.slug))
    };
    let title = "Your passkeys";
    let script = page.make.map(|make| &make.script);
    Page { tenant: page.tenant, title, leads_to: None }.answer_with(status, &body, script)
}

fn shown(passkey: &ShownPasskey<'_>, rename: &str, remove: &str) -> Markup {
    html! {
        li.tall {
            form.inline method="post" action=(rename) {
                input type="hidden" name="passkey" value=(passkey.id);
                input name="name" type="text" value=(passkey.name) aria-label=(format!("Name of {}", passkey.name))
                    required maxlength="100" autocomplete="off";
                button.second type="submit" aria-label=(format!("Rename {}", passkey.name)) { "Rename" }
            }
            div.split {
                p.quiet {
                    @match passkey.used {
                        Some(used) => { "last used " (time(used)) }
                        None => "not used yet",
                    }
                    ", since " (time(passkey.enrolled))
                    @if passkey.synced { ", may be on several of your devices (synced)" }
                }
                form method="post" action=(remove) {
                    input type="hidden" name="passkey" value=(passkey.id);
                    button.second type="submit" aria-label=(format!("Remove {}", passkey.name)) { "Remove" }
                }
            }
        }
    }
}
