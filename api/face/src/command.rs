//! Extractors for commands: caller, headers and body, all checked before the handler runs.

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use executor::Request;
use kernel::{Caller, Refusal, Versions};
use poem::RequestBody;
use poem::http::HeaderMap;
use poem::http::header::IF_MATCH;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::body::CSV;
use crate::headers::{bad_header, header};
use crate::identity::{SCHEME, register_scheme};
use crate::uploads::UploadPlace;
use crate::{ActiveTenants, Comparison, EntityTags, Incoming, Problem, RawBody, decode_json, schema};

/// The headers of commands: name, format, description. The contract lists them for each command that accepts them.
pub const HEADERS: [(&str, &str, &str); 5] = [
    (
        "Idempotency-Key",
        "",
        "1 to 255 printable ASCII characters. If the same request is sent again with the same key, it gets the first answer and \
         changes nothing. The same key with another request, or from another caller, gets 422. Keys that begin \
         with \"job\" or \"saga\", a space and a UUID are refused: these are ids of our own commands.",
    ),
    (
        "If-Match",
        "",
        "The ETag of the version to change, such as \"3\", or several separated by commas. If the current version is another one, the \
         answer is 412 and nothing changes. A weak ETag (W/\"3\") never matches.",
    ),
    ("Occurred-At", "date-time", "When it happened, if not now, as an RFC 3339 time, from 1970 on."),
    (
        "X-Request-Id",
        "",
        "The id of the request, which becomes the correlation id of everything that it causes. A UUID is used as it is. Another text of \
         up to 128 characters is turned into a UUID, always the same one. Anything else is replaced by a new id.",
    ),
    ("traceparent", "", "W3C trace context. As that specification says, a value that can't be read is ignored."),
];

/// A command with a JSON body.
#[derive(Debug)]
pub struct Command<T> {
    /// The caller and the command headers.
    pub request: Request,
    /// The decoded body.
    pub body: T,
}

/// A command with a JSON body that needs no token: the caller follows from the body, for example from a mailed link in it.
#[derive(Debug)]
pub struct PublicCommand<T> {
    /// The decoded body.
    pub body: T,
    parts: RequestParts,
}

impl<T> PublicCommand<T> {
    /// The request with its caller, once the handler knows who that is. The gateway checks the tenant only of requests with a token, so
    /// this checks that the caller's tenant is active.
    ///
    /// # Errors
    /// As [`ActiveTenants::check`].
    pub fn request(&self, caller: Caller, active_tenants: &dyn ActiveTenants) -> Result<Request, Refusal> {
        active_tenants.check(caller.tenant())?;
        Ok(self.parts.clone().of(caller))
    }
}

/// What an upload is for.
pub trait Purpose: Send + Sync {
    /// The permission that the upload needs. Without it, the body is not read.
    const PERMISSION: &'static str;
}

/// A command with a CSV file as its body. Until it is dropped, it holds one of the [places](crate::Uploads) for files.
#[derive(Debug)]
pub struct Upload<P> {
    /// The caller and the command headers.
    pub request: Request,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    _place: UploadPlace,
    _purpose: PhantomData<P>,
}

const TYPES: &[ApiExtractorType] = &[ApiExtractorType::SecurityScheme, ApiExtractorType::RequestObject];

impl<'a, T: DeserializeOwned + JsonSchema + Send> ApiExtractor<'a> for Command<T> {
    const TYPES: &'static [ApiExtractorType] = TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_scheme(registry);
        schema::register::<T>(registry, schema::Direction::In);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_body::<T>())
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let read = async {
            let incoming = Incoming::of(request)?;
            // The body of an unauthenticated request is not read.
            let caller = incoming.identity.caller()?;
            let bytes = RawBody::of(request, body, incoming.limits.body, "application/json").await?.0;
            let parts = parts(request, incoming, &bytes)?;
            Ok(Self { request: parts.of(caller.clone()), body: decode_json(&bytes)? })
        };
        Ok(read.await.map_err(|refusal: Refusal| Problem::from(refusal))?)
    }
}

impl<'a, T: DeserializeOwned + JsonSchema + Send> ApiExtractor<'a> for PublicCommand<T> {
    // No security scheme: this is how the gateway knows that the operation needs no token.
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        schema::register::<T>(registry, schema::Direction::In);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_body::<T>())
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let read = async {
            let incoming = Incoming::of(request)?;
            let bytes = RawBody::of(request, body, incoming.limits.body, "application/json").await?.0;
            Ok(Self { parts: parts(request, incoming, &bytes)?, body: decode_json(&bytes)? })
        };
        Ok(read.await.map_err(|refusal: Refusal| Problem::from(refusal))?)
    }
}

impl<'a, P: Purpose> ApiExtractor<'a> for Upload<P> {
    const TYPES: &'static [ApiExtractorType] = TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_scheme(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: CSV,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let read = async {
            let incoming = Incoming::of(request)?;
            let caller = incoming.identity.caller()?;
            caller.require(P::PERMISSION)?;
            // An import creates resources, so `If-Match` can never be met, not even `*`.
            if request.headers().contains_key(IF_MATCH) {
                return Err(Versions::of_something_new());
            }
            let place = incoming.limits.uploads.enter(caller.tenant())?;
            let bytes = RawBody::of(request, body, incoming.limits.upload, CSV).await?.0;
            let request = parts(request, incoming, &bytes)?.of(caller.clone());
            Ok(Self { request, bytes, _place: place, _purpose: PhantomData })
        };
        Ok(read.await.map_err(|refusal: Refusal| Problem::from(refusal))?)
    }
}

/// A JSON body in the contract.
fn json_body<T: JsonSchema>() -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema: MetaSchemaRef::Reference(schema::name::<T>()),
        }],
        required: schema::has_required::<T>(),
    }
}

/// The parts of a request that do not depend on its caller.
#[derive(Clone, Debug)]
struct RequestParts {
    command_id: Option<String>,
    request_hash: [u8; 32],
    if_match: Option<Versions>,
    occurred_at: Option<DateTime<Utc>>,
    id: uuid::Uuid,
    traceparent: Option<String>,
}

impl RequestParts {
    fn of(self, caller: Caller) -> Request {
        let Self { command_id, request_hash, if_match, occurred_at, id, traceparent } = self;
        // An idempotency key belongs to its caller: the same request from another caller counts as a different one.
        let request_hash = if command_id.is_some() {
            Sha256::new().chain_update(request_hash).chain_update(caller.subject()).finalize().into()
        } else {
            request_hash
        };
        Request {
            caller,
            command_id,
            request_hash,
            if_match,
            occurred_at,
            correlation_id: id,
            causation_id: id,
            traceparent,
        }
    }
}

fn parts(request: &poem::Request, incoming: &Incoming, body: &[u8]) -> Result<RequestParts, Refusal> {
    let headers = request.headers();
    let command_id = header(headers, "idempotency-key")?.map(idempotency_key).transpose()?;
    Ok(RequestParts {
        // The hash is compared only for requests with an idempotency key.
        request_hash: if command_id.is_some() { request_hash(request, headers, body) } else { [0; 32] },
        command_id,
        if_match: if_match(headers)?,
        occurred_at: header(headers, "occurred-at")?.map(instant).transpose()?,
        id: incoming.id,
        traceparent: incoming.traceparent.clone(),
    })
}

/// A hash of what identifies a request, except its caller: method, path, query, `Occurred-At`, and the bytes of the body.
fn request_hash(request: &poem::Request, headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let path = request.original_uri().path_and_query().map_or("/", |path| path.as_str());
    let occurred_at = headers.get("occurred-at").map_or(&[][..], |value| value.as_bytes());
    for part in [request.method().as_str().as_bytes(), path.as_bytes(), occurred_at, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn idempotency_key(text: &str) -> Result<String, Refusal> {
    if !(1..=255).contains(&text.len()) || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(bad_header("idempotency-key", "allowed are 1 to 255 printable ASCII characters"));
    }
    if executor::is_reserved_id(text) {
        let detail =
            "keys that begin with \"saga\" or \"job\" and an id are reserved for the commands of that saga or job";
        return Err(bad_header("idempotency-key", detail));
    }
    Ok(text.to_owned())
}

/// The versions in `If-Match` (RFC 9110 section 13.1.1); `None`: any version matches.
fn if_match(headers: &HeaderMap) -> Result<Option<Versions>, Refusal> {
    let tags = EntityTags::of(headers, IF_MATCH).map_err(|error| bad_header("if-match", &error.to_string()))?;
    Ok(tags.and_then(|tags| tags.versions(Comparison::Strong)))
}

fn instant(text: &str) -> Result<DateTime<Utc>, Refusal> {
    kernel::read_time(text).map_err(|error| bad_header("occurred-at", &error.to_string()))
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_read_or_refused() {
        let matching = |text| if_match(&HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(text))]));
        assert_eq!(matching("\"3\""), Ok(Some(Versions::from(3))));
        assert_eq!(matching("\"3\", W/\"4\""), Ok(Some(Versions::from(3))));
        assert_eq!(matching("*"), Ok(None));
        assert_eq!(matching("3").unwrap_err().code(), "header_invalid");
        assert!(idempotency_key("").is_err());
        assert!(idempotency_key(&"k".repeat(256)).is_err());
        assert!(idempotency_key("käse").is_err());
        let id = "0197a8a0-0000-7000-8000-000000000001";
        for reserved in [format!("job {id}"), format!("saga {id} start"), format!("saga {id}-last")] {
            assert!(idempotency_key(&reserved).is_err(), "{reserved}");
        }
        for free in ["order 7/1", "job 7", "saga of may", id, "job 0197a8a0-0000-7000-8000-00000000000~"] {
            assert_eq!(idempotency_key(free).as_deref(), Ok(free));
        }
        assert_eq!(
            instant("2026-07-01T11:30:00.1234567+02:00").unwrap().to_rfc3339(),
            "2026-07-01T09:30:00.123456+00:00"
        );
        assert!(instant("yesterday").is_err());
    }
}
