//! The front: the middleware around every handler, as one endpoint.
//!
//! Before the handler: request id, trace, authentication, limits. After it: problem documents, headers, metrics. It is one endpoint,
//! because a stack of middlewares would allocate and repeat lookups at each layer.

mod compression;
mod conditional;
mod cors;
mod event_streams;
pub(crate) mod failure;
pub(crate) mod host;
mod rate;
pub(crate) mod request_id;
mod trace;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Config;
use face::{Identity, Incoming, Limits, Problem, Uploads};
use futures::FutureExt;
use kernel::{Caller, IdSource, Refusal, TenantId};
use metrics::Gauge;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use poem::{Endpoint, Request, Response};
use tracing::Instrument;

use self::cors::Cors;
use self::rate::Allowance;
pub use self::rate::RateLimiter;
use crate::auth::denials::DenialRecorder;
use crate::auth::{Bearer, Verifier};

/// The outermost endpoint.
pub struct Front<E> {
    inner: E,
    verifier: Arc<Verifier>,
    rates: Arc<RateLimiter>,
    recorder: DenialRecorder,
    cors: Cors,
    ids: Arc<dyn IdSource>,
    limits: Arc<Limits>,
    timeout: Duration,
    compression: bool,
    /// Whether the public URL is HTTPS.
    secure: bool,
    /// The number of requests that are being answered.
    running: Gauge,
}

/// The value of `Strict-Transport-Security` (RFC 6797): for a year, browsers use only TLS for this host. Subdomains are not included,
/// because they may not be ours.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The header by which callers with tokens of several tenants confirm the tenant. Only the token determines the tenant.
pub(crate) const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// Whether the header `X-Tenant-Id`, if present, names this tenant.
pub(crate) fn is_of(tenant: TenantId, headers: &HeaderMap) -> bool {
    headers
        .get_all(TENANT)
        .iter()
        .all(|said| said.to_str().is_ok_and(|said| said.parse::<uuid::Uuid>() == Ok(tenant.uuid())))
}

fn tenant_differs() -> Refusal {
    let detail =
        "the header X-Tenant-Id does not name the token's tenant; send a token of that tenant, or omit the header";
    Refusal::forbidden("tenant_differs", detail)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl<E: Endpoint<Output = Response>> Front<E> {
    /// A front around `inner`.
    pub fn new(
        config: &Config,
        verifier: Arc<Verifier>,
        rates: Arc<RateLimiter>,
        recorder: DenialRecorder,
        ids: Arc<dyn IdSource>,
        inner: E,
    ) -> Self {
        let http = &config.http;
        Self {
            inner,
            verifier,
            rates,
            recorder,
            cors: Cors::new(&http.cors_origins),
            ids,
            limits: Arc::new(Limits {
                body: http.body_limit,
                upload: http.upload_limit,
                uploads: Arc::new(Uploads::new(http.uploads, http.uploads_of_a_tenant)),
            }),
            timeout: Duration::from_secs(http.timeout_seconds),
            compression: http.compression,
            secure: http.public_url.starts_with("https://"),
            running: metrics::gauge!("inopsio_http_requests_running"),
        }
    }

    /// Calls the inner endpoint with the timeout, and catches panics.
    async fn answer(&self, request: Request) -> Result<Response, poem::Error> {
        let answered = tokio::time::timeout(self.timeout, AssertUnwindSafe(self.inner.call(request)).catch_unwind());
        match answered.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Problem::from(failure::panicked()).into()),
            Err(_) => Err(Problem::from(failure::too_slow(self.timeout)).into()),
        }
    }

    /// Authenticates the caller.
    async fn identify(&self, headers: &HeaderMap) -> Identified {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let Some(header) = given.next() else { return Identified::unknown(Identity::Anonymous) };
        if given.next().is_some() {
            // A proxy between us and the client may have checked the other one.
            let refusal =
                Refusal::unauthenticated("token_malformed", "the header Authorization must be present exactly once");
            return Identified::unknown(Identity::Refused(refusal));
        }
        match self.verifier.verify_header(header.as_bytes()).await {
            Ok(verified) if !is_of(verified.caller.tenant(), headers) => {
                let caller = Some(verified.caller);
                Identified { identity: Identity::Refused(tenant_differs()), caller, bearer: None }
            }
            Ok(verified) => {
                let valid_for = self.verifier.valid_for(&verified);
                let caller = verified.caller.clone();
                let identity = Identity::Known { caller: caller.clone(), token: verified.token, valid_for };
                Identified { identity, caller: Some(caller), bearer: Some(Bearer::new(header.clone(), verified)) }
            }
            Err(refusal) => Identified::unknown(Identity::Refused(refusal)),
        }
    }
}

/// The result of authentication.
struct Identified {
    identity: Identity,
    /// The caller of a valid token, even if the request is refused because `X-Tenant-Id` differs.
    caller: Option<Caller>,
    /// None unless the token is accepted for this request.
    bearer: Option<Bearer>,
}

impl Identified {
    const fn unknown(identity: Identity) -> Self {
        Self { identity, caller: None, bearer: None }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Front<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let start = Instant::now();
        let _running = Running::begin(&self.running);
        let method = request.method().clone();
        let origin = self.cors.allowed(request.headers());
        let unplaced = host::check(&request).err();
        if unplaced.is_none()
            && method == Method::OPTIONS
            && let Some(preflight) = Cors::preflight(request.headers(), origin.as_ref())
        {
            return Ok(preflight);
        }
        let id = request_id::of(request.headers(), &*self.ids);
        let known = conditional::wanted(&method, request.headers());
        let encoding = if self.compression { compression::wanted(request.headers()) } else { None };
        let Identified { identity, caller, bearer } = self.identify(request.headers()).await;
        let seen = self.recorder.see(id, &request);
        let allowance =
            bearer.as_ref().and_then(|bearer| self.rates.check(bearer.verified.caller.tenant(), bearer.verified.token));
        let span = trace::span(&request, id, &identity);
        let traceparent = trace::traceparent(&span, request.headers());
        request.extensions_mut().insert(Incoming { id, identity, traceparent, limits: self.limits.clone() });
        if request.headers().contains_key(header::UPGRADE) {
            if let Some(bearer) = bearer.clone() {
                request.extensions_mut().insert(bearer);
            }
            request.extensions_mut().insert(seen.clone());
        }

        let refused = unplaced.map(Problem::from).or_else(|| allowance.as_ref().and_then(Allowance::refusal));
        let answered = match refused {
            Some(problem) => Err(problem.into()),
            None => self.answer(request).instrument(span.clone()).await,
        };
        if let Some(caller) = &caller {
            self.recorder.record_answer(caller, &seen, &method, &answered);
        }
        let (response, route) = failure::settle(answered, id);
        let mut response = conditional::answer(response, known.as_ref());
        if let Some(bearer) = bearer {
            event_streams::end_with(&mut response, &self.verifier, bearer);
        }

        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(id.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())) {
            headers.insert(REQUEST_ID, value);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
        }
        if let Some(allowance) = &allowance {
            allowance.write(headers);
        }
        if let Some(origin) = origin {
            Cors::write(headers, origin);
        }
        trace::finish(&span, &method, route.as_ref(), response.status(), start.elapsed());
        Ok(match encoding {
            Some(encoding) => compression::compress(response, encoding, || failure::lost(id)).await,
            None => response,
        })
    }
}

/// Counts the requests that are being answered.
struct Running<'a>(&'a Gauge);

impl<'a> Running<'a> {
    fn begin(running: &'a Gauge) -> Self {
        running.increment(1);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The refusal of a request to an unknown path.
pub fn unknown_route() -> Refusal {
    Refusal::not_found("route_unknown", "there is nothing at this path; /openapi.json and /docs list all paths")
}
