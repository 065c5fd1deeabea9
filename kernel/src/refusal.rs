//! The error taxonomy: every refused request has a kind, a stable code, and a sentence that says what was wrong and what is allowed.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// The kind of a refusal. The gateway maps each kind to one HTTP status (`api/face/src/problem.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request can't be read, or a value in it is not allowed (400).
    Invalid,
    /// No valid token (401).
    Unauthenticated,
    /// The caller may not do this (403).
    Forbidden,
    /// It does not exist, or belongs to another tenant: the answer is the same for both (404).
    NotFound,
    /// The current state does not allow it (409).
    Conflict,
    /// `If-Match` names a version that is not the current one (412).
    PreconditionFailed,
    /// The body or a part of it is too large (413).
    TooLarge,
    /// The request's content type is not supported (415).
    UnsupportedMedia,
    /// Well-formed, but against a rule, such as an idempotency key that was used for another request (422).
    Unprocessable,
    /// Too many requests (429).
    RateLimited,
    /// An error of ours; the program's log says more (500).
    Internal,
    /// A component that is needed does not answer (503).
    Unavailable,
    /// It took longer than allowed (504).
    Timeout,
}

/// One error in a request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the value, `""` for the whole body.
    pub pointer: String,
    /// Stable code, for programs.
    pub code: &'static str,
    /// What was wrong and what is allowed, for people.
    pub detail: String,
}

impl FieldError {
    /// An error at a JSON pointer.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// A request that was refused: nothing was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: Kind,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    extra: Map<String, Value>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),+ $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(code: &'static str, detail: impl Into<String>) -> Self {
            Self::new(Kind::$kind, code, detail)
        }
    )+};
}

impl Refusal {
    /// A refusal of any kind.
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code, detail: detail.into(), errors: Vec::new(), extra: Map::new() }))
    }

    constructors! {
        /// The request or a value in it is not allowed.
        invalid => Invalid,
        /// No valid token.
        unauthenticated => Unauthenticated,
        /// The caller may not do this.
        forbidden => Forbidden,
        /// It does not exist, or belongs to another tenant.
        not_found => NotFound,
        /// The current state does not allow it.
        conflict => Conflict,
        /// The version in `If-Match` is not the current one.
        precondition_failed => PreconditionFailed,
        /// Too large.
        too_large => TooLarge,
        /// The content type is not supported.
        unsupported_media => UnsupportedMedia,
        /// Well-formed, but against a rule.
        unprocessable => Unprocessable,
        /// Too many requests.
        rate_limited => RateLimited,
        /// An error of ours.
        internal => Internal,
        /// A component that is needed does not answer.
        unavailable => Unavailable,
        /// It took longer than allowed.
        timeout => Timeout,
    }

    /// A request whose body has these errors.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", if one.pointer.is_empty() { "body" } else { &one.pointer }, one.detail),
            many => format!("{} values in the body are not allowed; see errors", many.len()),
        };
        let mut refusal = Self::invalid("validation_failed", detail);
        refusal.0.errors = errors;
        refusal
    }

    /// A request whose body has one error.
    pub fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(pointer, code, detail)])
    }

    /// A request whose body refers to things that do not exist (or belong to another tenant: the answer is the same for both), or to people
    /// who can't sign in any more.
    pub fn references(errors: Vec<FieldError>) -> Self {
        let detail = "the body refers to something that does not exist, or can't be used any more; see errors";
        let mut refusal = Self::unprocessable("reference_unknown", detail);
        refusal.0.errors = errors;
        refusal
    }

    /// A request whose body refers to one thing that does not exist.
    pub fn reference(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::references(vec![FieldError::new(pointer, code, detail)])
    }

    /// A resource that does not exist, or belongs to another tenant: the answer is the same for both. `resource` is an aggregate's type or the
    /// API's name for it.
    ///
    /// ```
    /// let refusal = kernel::Refusal::absent("crm.dead_letter", 7);
    /// assert_eq!(refusal.to_string(), "there is no dead letter 7 (not_found)");
    /// assert_eq!(refusal.extra()["resource"], "crm.dead_letter");
    /// ```
    pub fn absent(resource: &str, id: impl fmt::Display) -> Self {
        let noun = resource.rsplit('.').next().unwrap_or(resource).replace('_', " ");
        Self::not_found("not_found", format!("there is no {noun} {id}")).with("resource", resource)
    }

    /// A request with the `Idempotency-Key` of another request that was already executed.
    pub fn idempotency_key_reused(id: &str) -> Self {
        let detail = format!("the idempotency key {id:?} was used for another request; use a new key for each request");
        Self::unprocessable("idempotency_key_reused", detail)
    }

    /// Adds a member to the problem document, for programs (RFC 9457 section 3.2).
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(member.to_owned(), value.into());
        self
    }

    /// The kind of the refusal.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What was wrong and what is allowed.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The errors of single values in the body.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Further members of the problem document.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.0.extra
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.detail, self.0.code)
    }
}

impl std::error::Error for Refusal {}

/// For aggregates that never reject a command.
impl From<std::convert::Infallible> for Refusal {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
