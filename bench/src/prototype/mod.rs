//! The prototype: the minimum for a durable, authenticated command over HTTP. It is the upper bound that ours is compared with.
//!
//! It has the same web framework and token check, and parses the body. All waiting commands go into one table by one insert on one
//! connection. It has no aggregates, tenants, row level security, versions, idempotency or fan-out.

mod insert;

use poem::http::StatusCode;
use poem::web::{Data, Json, Path};
use poem::{EndpointExt, Response, Route, handler, post};
use serde_json::value::RawValue;

use crate::server::Settings;
use insert::{Inserter, Row};

/// Serves until the process is killed.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let inserter = Inserter::open(&settings.postgres).await?;
    let routes =
        Route::new().at("/v1/crm/leads", post(capture)).at("/v1/crm/leads/:id/:step", post(step)).data(inserter);
    crate::server::serve(settings, routes).await
}

#[handler]
#[expect(clippy::disallowed_methods, reason = "the prototype is a bound, not a part of us")]
async fn capture(inserter: Data<&Inserter>, Json(body): Json<Box<RawValue>>) -> Response {
    insert(inserter.0, uuid::Uuid::now_v7().to_string(), "capture".to_owned(), body).await
}

#[handler]
async fn step(
    inserter: Data<&Inserter>,
    Path((id, step)): Path<(String, String)>,
    Json(body): Json<Box<RawValue>>,
) -> Response {
    insert(inserter.0, id, step, body).await
}

async fn insert(inserter: &Inserter, aggregate_id: String, event_type: String, body: Box<RawValue>) -> Response {
    let answer = format!(r#"{{"id":"{aggregate_id}"}}"#);
    match inserter.insert(Row { aggregate_id, event_type, payload: body.get().to_owned() }).await {
        Ok(()) => Response::builder().status(StatusCode::CREATED).content_type("application/json").body(answer),
        Err(error) => Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(error.to_string()),
    }
}
