//! The page that posts the response of an authorization request to the client.

use maud::html;
use poem::Response;
use poem::http::{HeaderValue, StatusCode};

use super::{Brand, Page, Script};

/// Sends the form. It is hidden first: somebody who presses its button meanwhile would send the code twice, which revokes what it gives.
const SEND: &str = "const form = document.forms[0]; form.hidden = true; form.submit();";

/// Posts parameters to a client (OAuth 2.0 Form Post Response Mode). Without the script, the user presses the button.
pub fn post_to_client(tenant: &Brand, redirect_uri: &str, fields: &[(&str, &str)]) -> Response {
    let body = html! {
        p { "You are being taken back to the application." }
        form method="post" action=(redirect_uri) {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            div.row { button type="submit" { "Continue" } }
        }
    };
    let page = Page { tenant, title: "Back to the application", leads_to: Some(redirect_uri) };
    let mut response = page.answer_with(StatusCode::OK, &body, Some(&Script::Inline(SEND)));
    // The client may check where the form comes from: with the pages' own policy the browser would send it `Origin: null`.
    response.headers_mut().insert("referrer-policy", HeaderValue::from_static("strict-origin"));
    response
}
