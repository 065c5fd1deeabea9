//! The front: what every request passes before and after its handler, in one place and one pass.
//!
//! In: the request's id, its trace, the caller, the limits. Out: problems, headers, metrics. One endpoint does it, because
//! a stack of middlewares would allocate and look things up again at each layer.

mod compression;
mod conditional;
mod cors;
mod endless;
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
    /// Whether others reach us over TLS.
    secure: bool,
}

/// For how long a browser asks for nothing of this host but over TLS (RFC 6797): a year. Other hosts of the domain are not ours to speak for.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// For callers of several tenants: which one they mean. The token alone says which one they get.
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// Whether a caller of this tenant says that they mean it, if they say so at all.
fn is_of(tenant: TenantId, headers: &HeaderMap) -> bool {
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
    /// A front before `inner`.
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
        }
    }

    /// Lets the inner endpoint answer, whatever happens in it.
    async fn answer(&self, request: Request) -> Result<Response, poem::Error> {
        let answered = tokio::time::timeout(self.timeout, AssertUnwindSafe(self.inner.call(request)).catch_unwind());
        match answered.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Problem::from(failure::panicked()).into()),
            Err(_) => Err(Problem::from(failure::too_slow(self.timeout)).into()),
        }
    }

    /// Who asks, with which token; none: with none that holds for this request.
    async fn identify(&self, headers: &HeaderMap) -> Asker {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let Some(header) = given.next() else { return Asker::unknown(Identity::Anonymous) };
        if given.next().is_some() {
            // Whoever stands between us and the client may have looked at the other one.
            let refusal =
                Refusal::unauthenticated("token_malformed", "the header Authorization must be present exactly once");
            return Asker::unknown(Identity::Refused(refusal));
        }
        match self.verifier.verify_header(header.as_bytes()).await {
            Ok(verified) if !is_of(verified.caller.tenant(), headers) => {
                let caller = Some(verified.caller);
                Asker { identity: Identity::Refused(tenant_differs()), caller, bearer: None }
            }
            Ok(verified) => {
                let valid_for = self.verifier.valid_for(&verified);
                let caller = verified.caller.clone();
                let identity = Identity::Known { caller: caller.clone(), token: verified.token, valid_for };
                Asker { identity, caller: Some(caller), bearer: Some(Bearer::new(header.clone(), verified)) }
            }
            Err(refusal) => Asker::unknown(Identity::Refused(refusal)),
        }
    }
}

/// Who asks.
struct Asker {
    identity: Identity,
    /// Whose token it is, also where it does not hold for this request.
    caller: Option<Caller>,
    bearer: Option<Bearer>,
}

impl Asker {
    const fn unknown(identity: Identity) -> Self {
        Self { identity, caller: None, bearer: None }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Front<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let start = Instant::now();
        let _running = Running::begin();
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
        let Asker { identity, caller, bearer } = self.identify(request.headers()).await;
        let seen = self.recorder.see(id, &request);
        let allowance =
            bearer.as_ref().and_then(|bearer| self.rates.check(bearer.verified.caller.tenant(), bearer.verified.token));
        let span = trace::span(&request, id, &identity);
        let traceparent = trace::traceparent(&span, request.headers());
        request.extensions_mut().insert(Incoming { id, identity, traceparent, limits: self.limits.clone() });
        if let Some(bearer) = bearer.clone().filter(|_| request.headers().contains_key(header::UPGRADE)) {
            request.extensions_mut().insert(bearer);
        }
        if request.headers().contains_key(header::UPGRADE) {
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
            endless::end_with(&mut response, &self.verifier, bearer);
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
        trace::finish(&span, &method, route.as_deref(), response.status(), start.elapsed());
        Ok(match encoding {
            Some(encoding) => compression::compress(response, encoding, || failure::lost(id)).await,
            None => response,
        })
    }
}

/// Counts the requests that are being answered.
struct Running(metrics::Gauge);

impl Running {
    fn begin() -> Self {
        let running = metrics::gauge!("inopsio_http_requests_running");
        running.increment(1);
        Self(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The refusal of a request to something that is not there.
pub fn unknown_route() -> Refusal {
    Refusal::not_found("route_unknown", "there is nothing at this path; /openapi.json and /docs list all paths")
}
