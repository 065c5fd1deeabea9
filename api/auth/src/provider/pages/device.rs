//! The pages of the device authorization grant.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::consent::scope_list;
use super::{Brand, Page, alert};

/// The content of the page on which the user enters a code.
pub struct DeviceCode<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The error message, if there is one.
    pub error: Option<&'p str>,
}

/// Renders the page on which the user enters a code.
pub fn device_code(page: &DeviceCode<'_>) -> Response {
    let status = if page.error.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let body = html! {
        (alert(page.error))
        form method="get" action=(page.action) {
            label for="user_code" { "The code that your device shows" }
            input #user_code name="user_code" type="text" autocomplete="off" autocapitalize="characters"
                spellcheck="false" required maxlength="20" autofocus;
            div.row { button type="submit" { "Continue" } }
        }
    };
    Page { tenant: page.tenant, title: "Connect a device", leads_to: None }.answer(status, &body)
}

/// The content of the page that asks whether to connect a device.
pub struct DeviceQuestion<'p> {
    /// The branding of the tenant.
    pub tenant: &'p Brand,
    /// The application that runs on the device.
    pub client: &'p str,
    /// The user code, to be compared with the one on the device.
    pub code: &'p str,
    /// The name of the signed-in user.
    pub person: &'p str,
    /// The path to which the form is sent.
    pub action: &'p str,
    /// The id of the device, in sealed state.
    pub pending: &'p str,
    /// The scope.
    pub scope: &'p [String],
}

/// Renders the page that asks whether to connect a device.
pub fn device_question(page: &DeviceQuestion<'_>) -> Response {
    let body = html! {
        p { "A device with " strong { (page.client) } " asks for your consent to" }
        (scope_list(page.scope))
        p { "It shows the code " strong.code { (page.code) } "." }
        p { strong { "Allow this only if you have the device in front of you and started this yourself." }
            " Nobody who calls or writes to you needs this code; do not share it." }
        p.quiet { "You are signed in as " (page.person) "." }
        form method="post" action=(page.action) {
            input type="hidden" name="pending" value=(page.pending);
            div.row {
                button type="submit" name="decision" value="allow" { "Connect" }
                button.second type="submit" name="decision" value="deny" { "Do not connect" }
            }
        }
    };
    Page { tenant: page.tenant, title: "Connect this device?", leads_to: None }.answer(StatusCode::OK, &body)
}
