//! Response types of REST operations: the results of commands, and the current state of resources.

use executor::Done;
use kernel::{Position, Service};
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use schemars::JsonSchema;
use serde::Serialize;

use crate::schema::REPEATED_HEADER;
use crate::{Example, schema};

/// The answer to every command that was executed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Accepted{T}")]
pub struct Accepted<T> {
    /// The answer of this command.
    #[serde(flatten)]
    pub answer: T,
    /// The version of the resource that was changed, which is also its ETag.
    pub version: u64,
    /// The position of the log after the command. A query that is sent with `X-Min-Position: <service>=<position>` sees its
    /// result.
    pub position: u64,
}

impl<T: Example> Example for Accepted<T> {
    fn example() -> Self {
        Self { answer: T::example(), version: 3, position: 1042 }
    }
}

/// 201: a resource was created; `Location` is its path.
#[derive(Debug)]
pub struct Created<T> {
    location: String,
    changed: Changed<T>,
}

/// 200: a resource was changed.
#[derive(Debug)]
pub struct Changed<T> {
    accepted: Accepted<T>,
    service: Service,
    repeated: bool,
}

/// 200: a command was executed that records no events, so the answer has neither version nor position.
#[derive(Debug)]
pub struct Unversioned<T> {
    answer: T,
    repeated: bool,
}

/// 201: such a command created a resource; `Location` is its path.
#[derive(Debug)]
pub struct UnversionedCreated<T> {
    location: String,
    unversioned: Unversioned<T>,
}

/// 200: the current state of a resource.
#[derive(Debug)]
pub struct Resource<T> {
    /// The representation of the resource.
    pub body: T,
    /// The version of the resource: its ETag.
    pub version: u64,
}

/// 200: the current state of a resource that nobody may store, because its version does not stand for all that is shown: at the same path
/// another caller or tenant finds another one, or what is shown also changes by time or by other resources. So its ETag, which is for
/// `If-Match`, may be the same for different bodies, and a cache that is told 304 would show the wrong one.
#[derive(Debug)]
pub struct Unstored<T>(pub Resource<T>);

/// 200: requested data that has no version of its own, and so no ETag.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<T> Changed<T> {
    /// The answer to an executed command of `service`.
    pub fn new<A>(service: Service, done: Done<A>, answer: impl FnOnce(A) -> T) -> Self {
        let Position(position) = done.position;
        let accepted = Accepted { answer: answer(done.answer), version: done.version, position };
        Self { accepted, service, repeated: done.repeated }
    }

    /// The same as 201; `location` is the path of the new resource.
    pub fn created(self, location: String) -> Created<T> {
        Created { location, changed: self }
    }
}

impl<T> Unversioned<T> {
    /// The answer to an executed command. `repeated`: it was executed before, with the same `Idempotency-Key`.
    pub fn new(repeated: bool, answer: T) -> Self {
        Self { answer, repeated }
    }

    /// The same as 201; `location` is the path of the new resource.
    pub fn created(self, location: String) -> UnversionedCreated<T> {
        UnversionedCreated { location, unversioned: self }
    }
}

const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");
const POSITION: HeaderName = HeaderName::from_static("x-position");

impl<T: Serialize + Send> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        let Accepted { version, position, .. } = self.accepted;
        changed(&self.accepted, self.service, (version, position), self.repeated)
    }
}

/// 200 with the headers of an executed command. Version and position are 0 if it wrote no events.
pub(crate) fn changed(
    body: &impl Serialize,
    service: Service,
    (version, position): (u64, u64),
    repeated: bool,
) -> Response {
    let mut response = json(StatusCode::OK, body);
    let headers = response.headers_mut();
    if version > 0 {
        set(headers, header::ETAG, &format!("\"{version}\""));
    }
    if position > 0 {
        set(headers, POSITION, &format!("{service}={position}"));
    }
    if repeated {
        headers.insert(REPEATED, HeaderValue::from_static("true"));
    }
    response
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = self.changed.into_response();
        response.set_status(StatusCode::CREATED);
        set(response.headers_mut(), header::LOCATION, &self.location);
        response
    }
}

impl<T: Serialize + Send> IntoResponse for Unversioned<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::OK, &self.answer);
        if self.repeated {
            response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<T: Serialize + Send> IntoResponse for UnversionedCreated<T> {
    fn into_response(self) -> Response {
        let mut response = self.unversioned.into_response();
        response.set_status(StatusCode::CREATED);
        set(response.headers_mut(), header::LOCATION, &self.location);
        response
    }
}

impl<T: Serialize + Send> IntoResponse for Resource<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::OK, &self.body);
        set(response.headers_mut(), header::ETAG, &format!("\"{}\"", self.version));
        response
    }
}

impl<T: Serialize + Send> IntoResponse for Unstored<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl<T: Serialize + Send> IntoResponse for Plain<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::from_vec(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn set(headers: &mut poem::http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

const ETAG_HEADER: (&str, &str) = ("ETag", "The version of the resource");
const UNSTORED_HEADER: (&str, &str) =
    ("Cache-Control", "no-store: the ETag is only for If-Match, because it does not stand for all that is shown");
const LOCATION_HEADER: (&str, &str) = ("Location", "The path of the new resource");
pub(crate) const CHANGED_HEADERS: [(&str, &str); 3] =
    [ETAG_HEADER, ("X-Position", "<service>=<position>: the position of the log after this command"), REPEATED_HEADER];

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Changed<T> {
    fn meta() -> MetaResponses {
        schema::answer::<Accepted<T>>(200, "Done", &CHANGED_HEADERS)
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<Accepted<T>>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        let [etag, position, replayed] = CHANGED_HEADERS;
        schema::answer::<Accepted<T>>(201, "Created", &[LOCATION_HEADER, etag, position, replayed])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<Accepted<T>>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Unversioned<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(200, "Done", &[REPEATED_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for UnversionedCreated<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(201, "Created", &[LOCATION_HEADER, REPEATED_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Resource<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(200, "The current state", &[ETAG_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Unstored<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(200, "The current state", &[ETAG_HEADER, UNSTORED_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Plain<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(200, "The requested data", &[])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}
