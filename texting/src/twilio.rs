//! Text messages through Twilio's Messages API, which other providers (such as SignalWire) implement, too: a form is posted to the
//! account's URL, with the account id and the token as user and password.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::Personal;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use crate::{Text, TextError, TextMessages};

/// The time limit of the provider's answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The maximum number of bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

/// The prefix of a messaging service's id. A messaging service (several numbers, from which the provider chooses) can be the sender instead
/// of a number.
const SERVICE: &str = "MG";

/// Sends messages through a provider. Cheap to clone.
#[derive(Clone)]
pub struct Twilio {
    agent: ureq::Agent,
    url: String,
    authorization: String,
    from: String,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Invalid settings of a provider. The message does not repeat them, because they contain a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwilioError {
    /// The URL is invalid.
    #[error(
        "texts.url (INOPSIO_TEXTS_URL) can't be used; allowed is https://<account>:<token>@api.twilio.com/2010-04-01/Accounts/<account>/Messages.json, \
         or the like of another provider that speaks Twilio's Messages API"
    )]
    Url,
    /// The sender is invalid.
    #[error(
        "texts.from (INOPSIO_TEXTS_FROM) can't be used; allowed is a number like +4930123456, a name of up to 11 letters and digits, or the id of a messaging service (MG…)"
    )]
    From,
}

/// The provider's answer to a message that it refuses.
#[derive(Deserialize)]
struct ErrorBody {
    code: Option<u32>,
}

impl Twilio {
    /// Sends through the provider at this URL, over TLS with the system's certificate authorities (without TLS only to this machine).
    ///
    /// # Errors
    /// The URL or the sender is invalid. Does not connect yet.
    pub fn new(url: &str, from: &str) -> Result<Self, TwilioError> {
        let mut url = Url::parse(url).map_err(|_| TwilioError::Url)?;
        let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let (name, token) =
            (decoded(url.username()), url.password().and_then(decoded).filter(|token| !token.is_empty()));
        let (Some(name), Some(token)) = (name.filter(|name| !name.is_empty()), token) else {
            return Err(TwilioError::Url);
        };
        if !(url.scheme() == "https" || url.scheme() == "http" && here) {
            return Err(TwilioError::Url);
        }
        let of_letters = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
        };
        let number = from
            .strip_prefix('+')
            .is_some_and(|digits| (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
        if !(number || of_letters(from, 11) || from.starts_with(SERVICE) && of_letters(from, 34)) {
            return Err(TwilioError::From);
        }
        // From here on they are only in a header, and not in the URL, which errors could show.
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| TwilioError::Url)?;
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("inopsio")
            .tls_config(TlsConfig::builder().root_certs(RootCerts::from(trusted)).build())
            .build()
            .into();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{name}:{token}")));
        Ok(Self { agent, url: url.into(), authorization, from: from.to_owned() })
    }

    fn post(&self, to: &Personal<String>, text: &Personal<String>, good_for: Duration) -> Result<(), TextError> {
        let sender = if self.from.starts_with(SERVICE) { "MessagingServiceSid" } else { "From" };
        // After that time the provider should not deliver the message any more.
        let validity = good_for.as_secs().to_string();
        let form = [
            ("To", to.reveal().as_str()),
            (sender, &self.from),
            ("Body", text.reveal()),
            ("ValidityPeriod", &validity),
        ];
        let request = self.agent.post(&self.url).header("authorization", &self.authorization);
        // The client's error may quote what was sent.
        let answer = request.send_form(form).map_err(|error| {
            TextError::Transient(if matches!(error, ureq::Error::Timeout(_)) {
                "the provider takes too long".to_owned()
            } else {
                "the provider can't be reached".to_owned()
            })
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // The provider's text may quote the number, so only its code is used.
        let said = answer.into_body().with_config().limit(ANSWER).read_to_vec().ok();
        let code = said.and_then(|said| serde_json::from_slice::<ErrorBody>(&said).ok()).and_then(|said| said.code);
        let code = code.map(|code| format!(", code {code}")).unwrap_or_default();
        let reason = format!("the provider answers {}{code}", status.as_u16());
        // With these statuses the message itself is the reason. Other failures (a wrong token, rate limits, outages) can be fixed without
        // changing the message.
        if [400, 422].contains(&status.as_u16()) {
            return Err(TextError::Refused(reason));
        }
        tracing::warn!(status = status.as_u16(), "the provider of text messages takes none");
        Err(TextError::Transient(reason))
    }
}

/// Decodes percent-encoded user or password.
fn decoded(text: &str) -> Option<String> {
    // The form decoder also decodes `+` and splits at `&` and `=`, so these are encoded first.
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned())
}

impl TextMessages for Twilio {
    fn send<'a>(&'a self, text: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        let (provider, text) = (self.clone(), text.clone());
        async move {
            let sent = tokio::task::spawn_blocking(move || provider.post(&text.to, &text.text, text.good_for)).await;
            sent.unwrap_or_else(|_| Err(TextError::Transient("it was broken off".to_owned())))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_can_not_be_used_is_refused_without_repeating_its_token() {
        let with = |url: &str, from: &str| Twilio::new(url, from).map(|_| ());
        let good = "https://AC1:s3cret@api.twilio.com/2010-04-01/Accounts/AC1/Messages.json";
        for from in ["+4930123456", "Inopsio", "MG0123456789abcdef0123456789abcdef", "+49 Ltd", ""] {
            let wanted = if ["+49 Ltd", ""].contains(&from) { Err(TwilioError::From) } else { Ok(()) };
            assert_eq!(with(good, from), wanted, "{from}");
        }
        for url in [
            "",
            "api.twilio.com",
            "http://AC1:s3cret@api.twilio.com/",
            "https://api.twilio.com/",
            "https://AC1@api.twilio.com/",
        ] {
            let error = with(url, "Inopsio").unwrap_err();
            assert!(error == TwilioError::Url && !error.to_string().contains("s3cret"), "{url}");
        }
        let shown = format!("{:?}", Twilio::new(good, "Inopsio").unwrap());
        assert!(!shown.contains("s3cret") && !shown.contains(&STANDARD.encode("AC1:s3cret")), "{shown}");
    }

    #[test]
    fn what_a_url_can_not_hold_is_written_out_in_it() {
        assert_eq!(decoded("a%40b+c=d%26").as_deref(), Some("a@b+c=d&"));
    }
}
