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
use super::failure::{not_taken, refused};
use super::request::Asked;
use crate::auth::denials::of_fields;
use crate::domains::SERVICES;

const ENVELOPE: &str = "application/graphql-response+json";

/// Answers queries.
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
    let Asked(asked) = decode_json(&bytes)?;
    engine.limits.check(&engine.schema, &asked).map_err(in_graphql)?;

    let context = engine.context(caller, min_positions);
    let executed = tokio::time::timeout(engine.timeout, asked.execute(&engine.schema, &context)).await;
    context.renew().await;
    let answer = executed.map_err(|_| {
        let detail = format!("the query took longer than {} s", engine.timeout.as_secs());
        in_graphql(Refusal::timeout("query_timeout", detail))
    })?;
    Ok(respond(&asked.query, answer, envelope))
}

/// How far the read models have to be. The header's list may come in several lines (RFC 9110 section 5.3).
fn min_positions(headers: &HeaderMap) -> Result<MinPositions, Refusal> {
    let lines: Vec<_> =
        headers.get_all("x-min-position").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    if lines.is_empty() { Ok(MinPositions::default()) } else { MinPositions::parse(&lines.join(","), SERVICES) }
}

/// What is refused of a query, also as GraphQL's clients look for it: with a list of errors, each with its code.
fn in_graphql(refusal: Refusal) -> Refusal {
    let errors = refused(&refusal);
    refusal.with("errors", errors)
}

/// GraphQL over HTTP: a query that can't be carried out at all is a 400, but only for clients that know the envelope. One
/// that found nothing because the read models have not reached the wanted position is a 504 for all: they asked for it.
fn respond(query: &str, answer: GraphQLResponse, envelope: bool) -> Response {
    let carried_out = serde_json::to_vec(&answer);
    let (body, behind, denied, refused) = match answer.into_result() {
        Ok((data, errors)) => (carried_out, is_behind(&data, &errors), of_fields(query, &errors), false),
        Err(error) => (serde_json::to_vec(&json!({ "errors": not_taken(&error) })), false, Vec::new(), true),
    };
    let content_type = if envelope { ENVELOPE } else { "application/json" };
    let status = match (behind, envelope && refused) {
        (true, _) => StatusCode::GATEWAY_TIMEOUT,
        (_, true) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let mut response = Response::builder().status(status).body(body.unwrap_or_default());
    if !denied.is_empty() {
        response.set_data(Denials(denied));
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// Whether nothing was answered, for no other reason than that the read models are behind.
fn is_behind(data: &Value, errors: &[ExecutionError<DefaultScalarValue>]) -> bool {
    let behind = |error: &ExecutionError<DefaultScalarValue>| match error.error().extensions() {
        Value::Object(extensions) => {
            extensions.get_field_value("code") == Some(&Value::scalar("read_model_behind".to_owned()))
        }
        Value::Null | Value::Scalar(_) | Value::List(_) => false,
    };
    !errors.is_empty() && errors.iter().all(behind) && says_nothing(data)
}

fn says_nothing(data: &Value) -> bool {
    match data {
        Value::Null => true,
        Value::Scalar(_) => false,
        Value::List(values) => values.iter().all(says_nothing),
        Value::Object(fields) => fields.iter().all(|(_, value)| says_nothing(value)),
    }
}
