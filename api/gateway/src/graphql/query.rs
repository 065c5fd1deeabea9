//! Queries: POST with a JSON body.

use std::sync::Arc;

use face::{Denials, Incoming, MinPositions, Problem, RawBody, decode_json};
use juniper::http::GraphQLResponse;
use juniper::{DefaultScalarValue, ExecutionError, Value};
use kernel::Refusal;
use poem::endpoint::make;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response};
use serde_json::json;

use super::Engine;
use super::failure::{refused, rejected};
use super::request::{ParsedRequest, has_hash_only};
use crate::auth::denials::of_fields;
use crate::domains::SERVICES;

const ENVELOPE: &str = "application/graphql-response+json";

/// The endpoint for POST.
pub fn endpoint(engine: Arc<Engine>) -> impl Endpoint<Output = Response> {
    make(move |request| {
        let engine = engine.clone();
        async move { answer(&engine, request).await.map_err(|refusal| poem::Error::from(Problem::from(refusal))) }
    })
}

async fn answer(engine: &Engine, request: Request) -> Result<Response, Refusal> {
    let incoming = Incoming::of(&request)?.clone();
    let caller = incoming.identity.caller()?.clone();
    let min_positions = min_positions(request.headers())?;
    let envelope = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accepted| accepted.contains(ENVELOPE));
    let (request, mut body) = request.split();
    let bytes = RawBody::of(&request, &mut body, incoming.limits.body, "application/json").await?.0;
    let ParsedRequest(query) = match decode_json(&bytes) {
        Ok(parsed) => parsed,
        Err(_) if has_hash_only(&bytes) => return Ok(without_persisted_queries()),
        Err(refusal) => return Err(refusal),
    };
    engine.limits.check(&engine.schema, &query).map_err(in_graphql)?;

    let context = engine.context(caller, min_positions);
    let executed = tokio::time::timeout(engine.timeout, query.execute(&engine.schema, &context)).await;
    context.renew().await;
    let answer = executed.map_err(|_| {
        let detail = format!("the query took longer than {} s", engine.timeout.as_secs());
        in_graphql(Refusal::timeout("query_timeout", detail))
    })?;
    Ok(respond(&query.query, answer, envelope))
}

/// Reads `X-Min-Position`, whose list may be spread over several header lines (RFC 9110 section 5.3).
fn min_positions(headers: &HeaderMap) -> Result<MinPositions, Refusal> {
    let lines: Vec<_> =
        headers.get_all("x-min-position").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    if lines.is_empty() { Ok(MinPositions::default()) } else { MinPositions::parse(&lines.join(","), SERVICES) }
}

/// Adds a GraphQL error list to the problem document of a refusal, for GraphQL clients.
fn in_graphql(refusal: Refusal) -> Refusal {
    let errors = refused(&refusal);
    refusal.with("errors", errors)
}

/// The response according to GraphQL over HTTP. A query that can't be executed at all gets 400, but only if the client accepts
/// `application/graphql-response+json`. A query without data because the read models have not reached the requested position gets 504
/// for all clients.
fn respond(query: &str, answer: GraphQLResponse, envelope: bool) -> Response {
    let carried_out = serde_json::to_vec(&answer);
    let (body, behind, denied, refused) = match answer.into_result() {
        Ok((data, errors)) => (carried_out, is_behind(&data, &errors), of_fields(query, &errors), false),
        Err(error) => (serde_json::to_vec(&json!({ "errors": rejected(&error) })), false, Vec::new(), true),
    };
    let content_type = if envelope { ENVELOPE } else { "application/json" };
    let status = match (behind, envelope && refused) {
        (true, _) => StatusCode::GATEWAY_TIMEOUT,
        (_, true) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let mut response = of_caller(status, content_type, body.unwrap_or_default());
    if !denied.is_empty() {
        response.set_data(Denials(denied));
    }
    response
}

/// Says that the query itself has to be sent, in the words that Apollo's clients expect. Always 200, because some of them read it only then.
fn without_persisted_queries() -> Response {
    let extensions = json!({ "code": "PERSISTED_QUERY_NOT_SUPPORTED" });
    let errors = json!({ "errors": [{ "message": "PersistedQueryNotSupported", "extensions": extensions }] });
    of_caller(StatusCode::OK, "application/json", errors.to_string().into_bytes())
}

/// A response that nobody else may store.
fn of_caller(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::builder().status(status).body(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// Whether the response has no data, and the only reason is that the read models are behind the requested position.
fn is_behind(data: &Value, errors: &[ExecutionError<DefaultScalarValue>]) -> bool {
    let behind = |error: &ExecutionError<DefaultScalarValue>| match error.error().extensions() {
        Value::Object(extensions) => {
            extensions.get_field_value("code") == Some(&Value::scalar("read_model_behind".to_owned()))
        }
        Value::Null | Value::Scalar(_) | Value::List(_) => false,
    };
    !errors.is_empty() && errors.iter().all(behind) && has_no_data(data)
}

fn has_no_data(data: &Value) -> bool {
    match data {
        Value::Null => true,
        Value::Scalar(_) => false,
        Value::List(values) => values.iter().all(has_no_data),
        Value::Object(fields) => fields.iter().all(|(_, value)| has_no_data(value)),
    }
}
