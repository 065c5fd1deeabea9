//! Sending one message to one place.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::{Guard, Secret, Settings, sign};

/// How much of an answer is kept, in bytes; no more than that is read.
const ANSWER: usize = 1_024;

/// Sends messages. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Sender {
    client: Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>,
    guard: Guard,
    timeout: Duration,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The `webhook-id`: the same each time that this is sent.
    pub id: Uuid,
    /// When it is sent: the receiver refuses what is too old.
    pub at: DateTime<Utc>,
    /// JSON.
    pub body: &'a [u8],
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// What went wrong; none: it was delivered.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub response: String,
    /// How long it took.
    pub duration: Duration,
    /// How long the receiver wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// Whether it was delivered.
    pub const fn delivered(&self) -> bool {
        self.error.is_none()
    }

    /// Whether the receiver refuses this very message, and not whoever sends it, or any at this time.
    pub fn refuses_event(&self) -> bool {
        self.status.is_some_and(refuses_event)
    }

    /// Whether the receiver says that it will never want more.
    pub fn gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Whether a status says that this very message is not taken.
pub(crate) const fn refuses_event(status: u16) -> bool {
    matches!(status, 400 | 413 | 415 | 422)
}

impl Sender {
    /// A sender with these settings. An error says what of TLS can't be set up.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(settings.guard);
        http.enforce_http(false);
        http.set_connect_timeout(Some(settings.timeout));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .build(connector.wrap_connector(http));
        Ok(Self { client, guard: settings.guard, timeout: settings.timeout })
    }

    /// Sends a message, signed with these secrets, and waits for the answer. Whatever goes wrong is in the outcome.
    pub async fn send<'a>(
        &self,
        url: &str,
        secrets: impl IntoIterator<Item = &'a Secret>,
        message: Message<'_>,
    ) -> Outcome {
        let id = message.id.to_string();
        let signature = sign(secrets, &id, message.at, message.body);
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", message.at.timestamp().to_string()),
            ("webhook-signature", signature),
        ];
        self.post(url, "application/json", &headers, message.body).await
    }

    /// Posts a body of this type with these headers, and waits for the answer. Whatever goes wrong is in the outcome.
    pub async fn post(&self, url: &str, content_type: &str, headers: &[(&str, String)], body: &[u8]) -> Outcome {
        let began = Instant::now();
        // Again each time: the settings may be other ones than when the URL was taken.
        let url = match self.guard.url(url) {
            Ok(url) => url,
            Err(error) => return failed(began, error.to_string()),
        };
        let request = url.as_str().parse::<Uri>().map_err(http::Error::from).and_then(|uri| {
            let request = Request::post(uri)
                .header(CONTENT_TYPE, content_type)
                .header(USER_AGENT, concat!("Inopsio-Webhooks/", env!("CARGO_PKG_VERSION")));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
            request.body(Full::new(Bytes::copy_from_slice(body)))
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => return failed(began, error.to_string()),
        };
        let deadline = tokio::time::Instant::from_std(began + self.timeout);
        match timeout_at(deadline, self.client.request(request)).await {
            // What follows the status is for people only: however long it takes, it changes nothing.
            Ok(Ok(response)) => answered(began, response, deadline).await,
            Ok(Err(error)) => failed(began, explain(&error)),
            Err(_) => failed(began, "it did not answer in time".to_owned()),
        }
    }
}

async fn answered(began: Instant, response: Response<Incoming>, deadline: tokio::time::Instant) -> Outcome {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = response.into_body();
    let mut answer = Vec::new();
    while answer.len() < ANSWER
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        if let Ok(data) = frame.into_data() {
            answer.extend_from_slice(&data);
        }
    }
    answer.truncate(ANSWER);
    let error = match status {
        _ if status.is_success() => None,
        // They would lead past the guard, and past the tenant's own choice.
        _ if status.is_redirection() => Some(format!("it answered {status}; redirects are not followed")),
        _ => Some(format!("it answered {status}")),
    };
    Outcome {
        status: Some(status.as_u16()),
        error,
        response: readable(&answer),
        duration: began.elapsed(),
        retry_after,
    }
}

fn failed(began: Instant, error: String) -> Outcome {
    Outcome { status: None, error: Some(error), response: String::new(), duration: began.elapsed(), retry_after: None }
}

/// How long a receiver that is overloaded wants to be left alone: so many seconds, or until a time (RFC 9110, section 10.2.3). That is by
/// the receiver's clock, which its `Date` shows; ours may be another one.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let pause = said(RETRY_AFTER)?;
    if let Ok(seconds) = pause.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text| DateTime::parse_from_rfc2822(text).ok();
    (time(pause)? - time(said(DATE)?)?).to_std().ok()
}

/// What a database and a terminal can show of it.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// The error with all that is behind it, each once.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_time_by_the_receivers_clock() {
        let pause = |sent: &[(HeaderName, &str)]| {
            let headers = sent.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            retry_after(&headers.collect::<HeaderMap>()).map(|pause| pause.as_secs())
        };
        let date = (DATE, "Thu, 26 Nov 2026 23:30:00 GMT");
        assert_eq!(pause(&[(RETRY_AFTER, " 120 ")]), Some(120));
        assert_eq!(pause(&[(RETRY_AFTER, "Fri, 27 Nov 2026 00:30:00 GMT"), date.clone()]), Some(3_600));
        for none in [
            &[(RETRY_AFTER, "soon"), date.clone()][..],
            &[],
            &[(RETRY_AFTER, "-1"), date.clone()],
            // Over; and one that nobody can hold against a clock.
            &[(RETRY_AFTER, "Thu, 26 Nov 2026 23:29:00 GMT"), date.clone()],
            &[(RETRY_AFTER, "Fri, 27 Nov 2026 00:30:00 GMT")],
        ] {
            assert_eq!(pause(none), None, "{none:?}");
        }
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_checked_where_the_connection_is_made() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        // As if the name had looked harmless when the URL was read.
        let guard = Guard { allow_private: true };
        let sender = Sender { guard, ..Sender::new(&Settings::default()).unwrap() };
        let outcome = sender.send(&url, [], Message { id: Uuid::nil(), at: DateTime::UNIX_EPOCH, body: b"{}" }).await;
        let error = outcome.error.unwrap();
        assert!(error.contains("is not a public address"), "{error}");
        assert!(listener.accept().now_or_never().is_none(), "nobody knocked");
    }
}
