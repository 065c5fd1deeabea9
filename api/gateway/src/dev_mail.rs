//! `/dev/mail`: the mail that would have gone out, in development (`mail.catch`). Nowhere else is there such a route.

use std::fmt::Write;

use mailer::{Caught, Mail};
use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route};
use serde_json::json;

use crate::methods::Methods;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;\
color-scheme:light dark}article{border:1px solid;border-radius:.5rem;padding:0 1rem;margin:1rem 0}\
pre{white-space:pre-wrap;overflow-wrap:anywhere}";

/// Adds `/dev/mail` for people and `/dev/mail.json` for programs, the last mail first.
pub fn routes(route: Route, caught: Caught) -> Route {
    let for_programs = caught.clone();
    let people = make_sync(move |_| {
        let mut response = Response::builder().content_type("text/html; charset=utf-8").body(page(&caught.all()));
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    });
    let programs = make_sync(move |_| {
        let mails: Vec<_> = for_programs.all().iter().map(shown).collect();
        Response::builder().content_type("application/json").body(json!({ "mails": mails }).to_string())
    });
    route.at("/dev/mail", Methods::get(people)).at("/dev/mail.json", Methods::get(programs))
}

fn shown(mail: &Mail) -> serde_json::Value {
    json!({ "id": mail.id, "to": mail.to.reveal(), "subject": mail.subject.reveal(), "text": mail.text.reveal() })
}

fn page(mails: &[Mail]) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Caught mail</title><style>{STYLE}</style><main><h1>Caught mail</h1>"
    );
    if mails.is_empty() {
        html.push_str("<p>Nothing was mailed yet.</p>");
    }
    for mail in mails {
        let _ = write!(
            html,
            "<article><h2>{}</h2><p>To {}</p><pre>{}</pre></article>",
            escaped(mail.subject.reveal()),
            escaped(mail.to.reveal()),
            escaped(mail.text.reveal())
        );
    }
    html.push_str("</main></html>");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_mail_is_shown_as_text() {
        let text = || "<script>alert(1)</script>&\"".to_owned().into();
        let mail = Mail { id: "1".to_owned(), to: text(), subject: text(), text: text() };
        let page = page(&[mail]);
        assert!(!page.contains("<script>") && page.matches("&lt;script&gt;").count() == 3, "{page}");
    }
}
