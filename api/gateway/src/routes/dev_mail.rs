//! `/dev/mail`: shows captured mail (`mail.catch`) and text messages (`texts.catch`), in development. The route exists only with these
//! settings.

use std::fmt::Write;

use mailer::{Caught, Mail};
use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route};
use serde_json::json;
use texting::Text;

use super::Methods;

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;\
padding:0 1rem}article{border:1px solid;border-radius:.5rem;padding:0 1rem;margin:1rem 0}\
pre{white-space:pre-wrap;overflow-wrap:anywhere}";

/// Adds `/dev/mail` for people and `/dev/mail.json` for programs, newest first.
pub fn routes(route: Route, mails: Option<Caught>, texts: Option<texting::Caught>) -> Route {
    let (mails, texts) = (mails.unwrap_or_default(), texts.unwrap_or_default());
    let for_programs = (mails.clone(), texts.clone());
    let people = make_sync(move |_| {
        let page = page(&mails.all(), &texts.all());
        let mut response = Response::builder().content_type("text/html; charset=utf-8").body(page);
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    });
    let programs = make_sync(move |_| {
        let (mails, texts) = (for_programs.0.all(), for_programs.1.all());
        let (mails, texts): (Vec<_>, Vec<_>) =
            (mails.iter().map(shown).collect(), texts.iter().map(shown_text).collect());
        Response::builder().content_type("application/json").body(json!({ "mails": mails, "texts": texts }).to_string())
    });
    route.at("/dev/mail", Methods::get(people)).at("/dev/mail.json", Methods::get(programs))
}

fn shown(mail: &Mail) -> serde_json::Value {
    json!({ "id": mail.id, "to": mail.to.reveal(), "subject": mail.subject.reveal(), "text": mail.text.reveal() })
}

fn shown_text(text: &Text) -> serde_json::Value {
    json!({ "id": text.id, "to": text.to.reveal(), "text": text.text.reveal() })
}

fn page(mails: &[Mail], texts: &[Text]) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Caught mail</title><style>{STYLE}</style><main><h1>Caught mail</h1>"
    );
    if mails.is_empty() {
        html.push_str("<p>No mail was caught yet.</p>");
    }
    for mail in mails {
        let _ = write!(
            html,
            "<article><h2>{}</h2><p>To {}</p><pre>{}</pre></article>",
            escaped(mail.subject.reveal()),
            escaped(mail.to.reveal()),
            with_links(mail.text.reveal())
        );
    }
    html.push_str("<h1>Caught text messages</h1>");
    if texts.is_empty() {
        html.push_str("<p>No text message was caught yet.</p>");
    }
    for text in texts {
        let (to, text) = (escaped(text.to.reveal()), escaped(text.text.reveal()));
        let _ = write!(html, "<article><p>To {to}</p><pre>{text}</pre></article>");
    }
    html.push_str("</main></html>");
    html
}

/// The text, escaped, with its web addresses as links.
fn with_links(text: &str) -> String {
    let word = |word: &str| {
        let (address, after) = word.split_at(word.trim_end().len());
        let (address, after) = (escaped(address), escaped(after));
        if ["http://", "https://"].iter().any(|scheme| address.starts_with(scheme)) {
            format!("<a href=\"{address}\">{address}</a>{after}")
        } else {
            format!("{address}{after}")
        }
    };
    text.split_inclusive(char::is_whitespace).map(word).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_stands_in_a_mail_is_shown_as_text() {
        let text = || "<script>alert(1)</script>&\"".to_owned().into();
        let mail = Mail { id: "1".to_owned(), to: text(), subject: text(), text: text() };
        #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
        let tenant = kernel::TenantId::vouched(uuid::Uuid::nil());
        let asker = uuid::Uuid::nil();
        let message = Text { id: "1".to_owned(), tenant, asker, to: text(), text: text(), good_for: Duration::ZERO };
        let page = page(&[mail], &[message]);
        assert!(!page.contains("<script>") && page.matches("&lt;script&gt;").count() == 5, "{page}");
    }

    #[test]
    fn addresses_in_a_mail_are_links_and_nothing_gets_out_of_them() {
        let shown = with_links("Follow this link:\n\nhttps://a.example/x?a=1&b=\"><script>\n\nOr not.");
        let address = "https://a.example/x?a=1&amp;b=&quot;&gt;&lt;script&gt;";
        assert_eq!(shown, format!("Follow this link:\n\n<a href=\"{address}\">{address}</a>\n\nOr not."));
        assert_eq!(with_links("javascript:alert(1)"), "javascript:alert(1)");
    }
}
