//! Sending a message to an endpoint over HTTP.

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

/// The number of bytes of an answer that are read and stored.
const ANSWER: usize = 1_024;

/// Sends messages. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Sender {
    client: Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>,
    guard: Guard,
    timeout: Duration,
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The `webhook-id`: the same in each attempt.
    pub id: Uuid,
    /// When it is sent. Receivers refuse messages that are too old.
    pub at: DateTime<Utc>,
    /// The body, as JSON.
    pub body: &'a [u8],
}

/// The result of sending a message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// Why it failed; `None` if it was delivered.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: String,
    /// How long it took.
    pub duration: Duration,
    /// How long to wait before the next attempt, as the receiver asks (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// Whether it was delivered.
    pub const fn delivered(&self) -> bool {
        self.error.is_none()
    }

    /// Whether the receiver refuses this particular message, and not the sender, or all messages at this time.
    pub fn refuses_event(&self) -> bool {
        self.status.is_some_and(refuses_event)
    }

    /// Whether the receiver wants no further messages (410).
    pub fn gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Whether a status means that this particular message is refused.
pub(crate) const fn refuses_event(status: u16) -> bool {
    matches!(status, 400 | 413 | 415 | 422)
}

impl Sender {
    /// A sender with these settings. An error says why TLS can't be set up.
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

    /// Sends a message, signed with these secrets, and waits for the answer. Failures are in the outcome.
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

    /// Posts a body with this content type and these headers, and waits for the answer. Failures are in the outcome.
    pub async fn post(&self, url: &str, content_type: &str, headers: &[(&str, String)], body: &[u8]) -> Outcome {
        let began = Instant::now();
        // Checked again for each request, because the settings may have changed since the URL was accepted.
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
            // The body is only for people; if it does not arrive in time, the result is the same.
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
        // Following a redirect would bypass the guard, and the tenant's configuration.
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

/// The pause that an overloaded receiver asks for: seconds, or a time (RFC 9110, section 10.2.3). The time is compared with the receiver's
/// `Date`, because its clock may differ from ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let pause = said(RETRY_AFTER)?;
    if let Ok(seconds) = pause.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text| DateTime::parse_from_rfc2822(text).ok();
    (time(pause)? - time(said(DATE)?)?).to_std().ok()
}

/// Makes text printable, for the database and terminals.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// An error with its causes, without repetitions.
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
            // It is in the past; and there is no `Date` to compare it with.
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
