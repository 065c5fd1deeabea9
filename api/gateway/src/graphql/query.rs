//! Queries: POST with a JSON body.

use std::sync::Arc;

use face::{Incoming, MinPositions, Problem, RawBody, decode_json};
use juniper::GraphQLError;
use juniper::http::{GraphQLRequest, GraphQLResponse};
use kernel::Refusal;
use poem::endpoint::make;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response};

use super::Engine;

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
    let content_type = request.content_type().unwrap_or_default();
    if !content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::unsupported_media(
            "content_type_unsupported",
            format!("the content type {content_type:?} is not read here; send application/json in UTF-8"),
        )
        .with("allowed", "application/json"));
    }
    let min_positions = match request.headers().get("x-min-position") {
        None => MinPositions::default(),
        Some(value) => MinPositions::parse(value.to_str().unwrap_or_default())?,
    };
    let envelope = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accepted| accepted.contains(ENVELOPE));
    let (_, mut body) = request.split();
    let bytes = RawBody::read(&mut body, incoming.limits.body).await?.0;
    let asked: GraphQLRequest = decode_json(&bytes)?;
    engine.limits.check(&engine.schema, &asked)?;

    let context = engine.context(caller, min_positions);
    let executed = tokio::time::timeout(engine.timeout, asked.execute(&engine.schema, &context)).await;
    context.renew().await;
    let answer = executed.map_err(|_| {
        Refusal::timeout("query_timeout", format!("the query took longer than {} s", engine.timeout.as_secs()))
    })?;
    Ok(respond(answer, envelope))
}

/// GraphQL over HTTP: a query that can't be carried out at all is a 400, but only for clients that know the envelope.
fn respond(answer: GraphQLResponse, envelope: bool) -> Response {
    let body = serde_json::to_vec(&answer).unwrap_or_default();
    let refused = matches!(
        answer.into_result(),
        Err(GraphQLError::ParseError(_)
            | GraphQLError::ValidationError(_)
            | GraphQLError::NoOperationProvided
            | GraphQLError::MultipleOperationsProvided
            | GraphQLError::UnknownOperationName
            | GraphQLError::IsSubscription
            | GraphQLError::NotSubscription)
    );
    let content_type = if envelope { ENVELOPE } else { "application/json" };
    let status = if envelope && refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let mut response = Response::builder().status(status).body(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
