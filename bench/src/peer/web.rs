//! The peer's routes: those of our paths that the load uses, and a query of the read model.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::web::{Data, Json, Path};
use poem::{Endpoint, EndpointExt, Response, Route, get, handler, post};
use postgres_es::PostgresCqrs;
use serde::Deserialize;
use sqlx::PgPool;

use super::lead::{Command, Details, Lead};

type Cqrs = Arc<PostgresCqrs<Lead>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignBody {
    owner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QualifyBody {
    note: Option<String>,
}

/// All routes, without the token check.
pub fn routes(cqrs: Cqrs, pool: PgPool) -> impl Endpoint {
    Route::new()
        .at("/v1/crm/leads", post(capture))
        .at("/v1/crm/leads/:id", get(show))
        .at("/v1/crm/leads/:id/assign", post(assign))
        .at("/v1/crm/leads/:id/start-work", post(start_work))
        .at("/v1/crm/leads/:id/qualify", post(qualify))
        .data(cqrs)
        .data(pool)
}

#[handler]
#[expect(clippy::disallowed_methods, reason = "the peer is not ours: it makes its identifiers where it needs them")]
async fn capture(cqrs: Data<&Cqrs>, Json(details): Json<Details>) -> Response {
    run(cqrs.0, &uuid::Uuid::now_v7().to_string(), Command::Capture(details)).await
}

#[handler]
async fn assign(cqrs: Data<&Cqrs>, Path(id): Path<String>, Json(body): Json<AssignBody>) -> Response {
    run(cqrs.0, &id, Command::Assign { owner: body.owner }).await
}

#[handler]
async fn start_work(cqrs: Data<&Cqrs>, Path(id): Path<String>) -> Response {
    run(cqrs.0, &id, Command::StartWork).await
}

#[handler]
async fn qualify(cqrs: Data<&Cqrs>, Path(id): Path<String>, Json(body): Json<QualifyBody>) -> Response {
    run(cqrs.0, &id, Command::Qualify { note: body.note }).await
}

async fn run(cqrs: &Cqrs, id: &str, command: Command) -> Response {
    match cqrs.execute(id, command).await {
        Ok(()) => created(id),
        Err(error) => Response::builder().status(StatusCode::CONFLICT).body(error.to_string()),
    }
}

fn created(id: &str) -> Response {
    Response::builder().status(StatusCode::CREATED).content_type("application/json").body(format!(r#"{{"id":"{id}"}}"#))
}

/// 200 if the row is visible, else 404.
#[handler]
async fn show(pool: Data<&PgPool>, Path(id): Path<String>) -> Response {
    match sqlx::query_scalar::<_, String>("SELECT status FROM leads WHERE id = $1")
        .bind(&id)
        .fetch_optional(pool.0)
        .await
    {
        Ok(Some(status)) => {
            Response::builder().content_type("application/json").body(format!(r#"{{"status":"{status}"}}"#))
        }
        Ok(None) => Response::builder().status(StatusCode::NOT_FOUND).finish(),
        Err(error) => Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(error.to_string()),
    }
}
