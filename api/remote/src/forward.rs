//! Sends a request to an instance of a service, with retries at other instances where that is safe, and returns its answer.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use face::{Incoming, Problem, RawBody};
use futures::StreamExt;
use http::header::{self, HeaderMap, HeaderName};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use kernel::Refusal;
use poem::http::{HeaderValue, Method, StatusCode, Uri};
use poem::{Body, Endpoint, Request, Response};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Remote;
use crate::body::Outgoing;
use crate::instance::{Instance, choose};

/// Headers that are not forwarded: hop-by-hop headers (RFC 9110, section 7.6.1), and `Host`, `Expect` and `Proxy-Authorization`, which
/// are meant for the direct peer.
static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
    header::HOST,
];

/// An endpoint that forwards to a service that runs in another process.
#[derive(Clone)]
pub struct Forward {
    /// The service.
    pub remote: Arc<Remote>,
    /// Cancelled when this process stops: ends event streams, which would never end by themselves.
    pub stop: CancellationToken,
    /// Which headers of the request are forwarded.
    pub headers: ForwardedHeaders,
}

/// Which request headers are forwarded, of those that the gateway itself handles (`Origin` for CORS, `Accept-Encoding`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeaders {
    /// Neither `Origin` nor `Accept-Encoding`: this gateway handles CORS and compression.
    Plain,
    /// Also `Origin`: the target is a web page, which has to check which site a form was sent from.
    Page,
    /// All of them: the other end is a gateway, too.
    All,
}

impl Endpoint for Forward {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        // A request without a caller belongs to no tenant: all of them prefer the same instance.
        let incoming = Incoming::of(&request).map_err(Problem::from)?;
        let tenant = incoming.identity.caller().map_or(Uuid::nil(), |caller| caller.tenant().uuid());
        Ok(self.forward(request, tenant).await?)
    }
}

/// Why an attempt got no answer.
enum Failure {
    /// The connection could not be made: nothing was sent.
    Unreached(String),
    /// The connection broke before an answer came.
    Broken(String),
    /// The health checks of the instance failed while its answer was awaited.
    Silent,
    /// The client stopped in the middle of the body.
    Cut,
}

/// The request as it is sent in each attempt.
struct Outbound {
    method: Method,
    path: http::uri::PathAndQuery,
    headers: HeaderMap,
    body: Outgoing,
    /// Whether the request is idempotent: it only reads, or has an `Idempotency-Key`.
    repeatable: bool,
}

impl Forward {
    /// Forwards a request to the instance that `tenant` prefers; after a failure to others, as far as that is safe and the retry budget
    /// allows it.
    ///
    /// # Errors
    /// When no instance answers; the problem says whether the request may have been carried out.
    pub async fn forward(&self, request: Request, tenant: Uuid) -> Result<Response, Problem> {
        let remote = &*self.remote;
        let incoming = Incoming::of(&request)?.clone();
        let outbound = remote.outbound(request, &incoming, self.headers).await?;
        remote.budget.earn();
        let mut tried = Vec::new();
        let mut failure = None;
        while let Some(instance) = choose(&remote.instances, tenant, &tried, Instant::now()) {
            if failure.is_some() {
                if !remote.budget.spend(Instant::now()) {
                    tracing::warn!(service = %remote.service, "no more requests are repeated for now");
                    break;
                }
                metrics::counter!("inopsio_remote_retries_total", "service" => remote.service.name()).increment(1);
            }
            tried.push(instance.authority.clone());
            match remote.send(&instance, &outbound).await {
                Ok(response) => return Ok(self.answer(response)),
                Err(failed) => {
                    let repeatable = outbound.repeatable || matches!(failed, Failure::Unreached(_));
                    // Once an attempt may have been carried out, a later failure must not claim that nothing was done.
                    failure = match (failure, failed) {
                        (Some(earlier @ (Failure::Broken(_) | Failure::Silent)), _) => Some(earlier),
                        (_, failed) => Some(failed),
                    };
                    if !repeatable || !outbound.body.is_intact() {
                        break;
                    }
                }
            }
        }
        Err(remote.problem(failure.as_ref()))
    }

    /// The answer of an instance as it is returned to the client. An event stream ends when this process stops.
    pub fn answer(&self, response: http::Response<hyper::body::Incoming>) -> Response {
        let (parts, body) = response.into_parts();
        let endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "text/event-stream");
        let body = body.map_err(std::io::Error::other);
        let body = if endless {
            let stop = self.stop.clone().cancelled_owned();
            Body::from_bytes_stream(body.into_data_stream().take_until(Box::pin(stop)))
        } else {
            Body::from(BoxBody::new(body))
        };
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        remove_hop_by_hop(response.headers_mut());
        response
    }
}

impl Remote {
    async fn outbound(
        &self,
        request: Request,
        incoming: &Incoming,
        forwarded: ForwardedHeaders,
    ) -> Result<Outbound, Refusal> {
        let path = request.original_uri().path_and_query().cloned();
        let path = path.ok_or_else(|| Refusal::invalid("request_refused", "the request names no path"))?;
        let method = request.method().clone();
        let mut headers = request.headers().clone();
        remove_hop_by_hop(&mut headers);
        if forwarded != ForwardedHeaders::All {
            headers.remove(header::ACCEPT_ENCODING);
        }
        if forwarded == ForwardedHeaders::Plain {
            headers.remove(header::ORIGIN);
        }
        insert_origin(&mut headers, incoming);
        let reads = matches!(method, Method::GET | Method::HEAD);
        let repeatable = reads || headers.contains_key("idempotency-key");
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let (_, mut body) = request.split();
        let body = if repeatable && length.is_some_and(|length| length <= self.kept_bytes) {
            Outgoing::Whole(RawBody::read(&mut body, self.kept_bytes).await?.0.into())
        } else {
            let body = body.take().map_err(taken)?;
            if body.is_empty() { Outgoing::Whole(Bytes::new()) } else { Outgoing::streamed(body.into()) }
        };
        Ok(Outbound { method, path, headers, body, repeatable })
    }

    async fn send(
        &self,
        instance: &Instance,
        outbound: &Outbound,
    ) -> Result<http::Response<hyper::body::Incoming>, Failure> {
        let began = Instant::now();
        let outcome = self.send_once(instance, outbound).await;
        let (label, error) = match &outcome {
            Ok(_) => ("answered", None),
            Err(Failure::Unreached(error)) => ("unreached", Some(error.as_str())),
            Err(Failure::Broken(error)) => ("broken", Some(error.as_str())),
            Err(Failure::Silent) => ("silent", Some("it stopped to answer")),
            Err(Failure::Cut) => ("cut", None),
        };
        if let Some(error) = error {
            instance.failed(error);
            tracing::debug!(service = %self.service, instance = %instance.authority, error, "an instance did not answer");
        } else if outcome.is_ok() {
            let took = began.elapsed();
            instance.answered(took);
            let labels = [("service", self.service.name().into()), ("instance", instance.name.clone())];
            metrics::histogram!("inopsio_remote_seconds", &labels).record(took.as_secs_f64());
        }
        let labels =
            [("service", self.service.name().into()), ("instance", instance.name.clone()), ("outcome", label.into())];
        metrics::counter!("inopsio_remote_requests_total", &labels).increment(1);
        outcome
    }

    async fn send_once(
        &self,
        instance: &Instance,
        outbound: &Outbound,
    ) -> Result<http::Response<hyper::body::Incoming>, Failure> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(instance.authority.clone())
            .path_and_query(outbound.path.clone())
            .build()
            .map_err(|error| Failure::Unreached(error.to_string()))?;
        let mut request = http::Request::new(outbound.body.body());
        *request.method_mut() = outbound.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = outbound.headers.clone();
        tokio::select! {
            answered = self.client.request(request) => answered.map_err(|error| {
                let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                match error {
                    _ if outbound.body.is_cut() => Failure::Cut,
                    error if error.is_connect() => Failure::Unreached(reason),
                    _ => Failure::Broken(reason),
                }
            }),
            () = instance.lost() => Err(Failure::Silent),
        }
    }

    /// Sends a request for a protocol upgrade (WebSocket) to the instance that `tenant` prefers, without retries.
    ///
    /// # Errors
    /// When no instance can be reached, or the instance does not answer.
    pub async fn open_socket(
        &self,
        request: Request,
        tenant: Uuid,
    ) -> Result<http::Response<hyper::body::Incoming>, Problem> {
        let path = request.original_uri().path_and_query().cloned();
        let path = path.ok_or_else(|| Refusal::invalid("request_refused", "the request names no path"))?;
        let Some(instance) = choose(&self.instances, tenant, &[], Instant::now()) else {
            return Err(self.problem(None));
        };
        let mut headers = request.headers().clone();
        headers.remove(header::HOST);
        insert_origin(&mut headers, Incoming::of(&request)?);
        let outbound = Outbound {
            method: request.method().clone(),
            path,
            headers,
            body: Outgoing::Whole(Bytes::new()),
            repeatable: false,
        };
        self.send(&instance, &outbound).await.map_err(|failure| self.problem(Some(&failure)))
    }

    /// The problem to answer with when no instance answered.
    fn problem(&self, failure: Option<&Failure>) -> Problem {
        let service = self.service;
        let unknown = "whether it was carried out is not known: send it again with the same Idempotency-Key";
        let problem: Problem = match failure {
            None | Some(Failure::Unreached(_)) => {
                let detail = format!("no instance of {service} can be reached; nothing was done, send it again");
                Refusal::unavailable("service_unreachable", detail).with("service", service.name()).into()
            }
            Some(Failure::Broken(_)) => {
                let detail = format!("the instance of {service} was lost before it answered; {unknown}");
                let refusal = Refusal::unavailable("instance_lost", detail).with("service", service.name());
                Problem::with_status(refusal, StatusCode::BAD_GATEWAY)
            }
            Some(Failure::Cut) => {
                let detail = "the request's body ended before its end; nothing was done, send it again";
                Refusal::invalid("body_incomplete", detail).into()
            }
            Some(Failure::Silent) => {
                let detail = format!("the instance of {service} does not answer any more; {unknown}");
                Refusal::timeout("instance_silent", detail).with("service", service.name()).into()
            }
        };
        tracing::warn!(%service, code = problem.refusal().code(), "a request could not be forwarded");
        problem
    }
}

fn taken(_: poem::error::ReadBodyError) -> Refusal {
    Refusal::internal("body_taken", "the request's body was read twice; see the log")
}

/// Inserts the headers by which the other end knows the request: its id, and its trace.
fn insert_origin(headers: &mut HeaderMap, incoming: &Incoming) {
    let (id, trace) = (incoming.id.to_string(), incoming.traceparent.clone());
    for (name, value) in [("x-request-id", Some(id)), ("traceparent", trace)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Removes the hop-by-hop headers, including those that `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-mine"), ("x-mine", "1"), ("te", "trailers"), ("accept", "*/*")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }
}
