//! Turns every error of a request into a problem document. This is the only place that does so.

use std::sync::Arc;
use std::time::Duration;

use face::Problem;
use kernel::Refusal;
use poem::error::{NotFoundError, ParsePathError};
use poem::http::{StatusCode, header};
use poem::{Error, PathPattern, Response};
use uuid::Uuid;

use super::unknown_route;

/// The response to a request, and the route that it matched.
pub fn settle(answered: Result<Response, Error>, request: Uuid) -> (Response, Option<Arc<str>>) {
    match answered {
        Ok(response) => {
            let route = response.data::<PathPattern>().map(|pattern| pattern.0.clone());
            (response, route)
        }
        Err(error) => {
            let route = error.data::<PathPattern>().map(|pattern| pattern.0.clone());
            (problem_of(error).respond(Some(request)), route)
        }
    }
}

fn problem_of(error: Error) -> Problem {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        if problem.refusal().kind() == kernel::Kind::Internal {
            tracing::error!(code = problem.refusal().code(), detail = problem.refusal().detail(), "a request failed");
        }
        return problem.clone();
    }
    if error.is::<NotFoundError>() {
        return unknown_route().into();
    }
    if error.is::<ParsePathError>() {
        return Refusal::invalid("parameter_invalid", "a parameter in the path can't be decoded").into();
    }
    let status = error.status();
    if status.is_client_error() {
        let refusal = Refusal::invalid("request_refused", error.to_string());
        return Problem::with_status(refusal, status);
    }
    tracing::error!(%error, "a request failed");
    Refusal::internal("internal", "internal error; the server's log has the details under this request's id").into()
}

/// The response if a body ended early, for example because the instance that sent it was lost.
pub fn lost(request: Uuid) -> Response {
    let detail = "the response was lost; send a command again with the same Idempotency-Key";
    let refusal = Refusal::unavailable("answer_lost", detail);
    Problem::with_status(refusal, StatusCode::BAD_GATEWAY).respond(Some(request))
}

/// The refusal of a request whose handler panicked.
pub fn panicked() -> Refusal {
    Refusal::internal("internal", "internal error; the server's log has the details under this request's id")
}

/// The refusal of a request that took too long.
pub fn too_slow(limit: Duration) -> Refusal {
    Refusal::timeout(
        "request_timeout",
        format!(
            "the request took longer than {} s; whether a command was carried out is not known: send it again with the \
             same Idempotency-Key",
            limit.as_secs()
        ),
    )
}

/// A header that says how long to wait.
pub fn retry_after(problem: Problem, wait: Duration) -> Problem {
    problem.header(header::RETRY_AFTER, seconds(wait).into())
}

/// Whole seconds, rounded up.
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
