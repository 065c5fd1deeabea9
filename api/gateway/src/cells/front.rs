//! `inopsio serve --cells`: forwards each request to the cell of its tenant. It stores nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth_api::provider::ClientAddressHeader;
use config::Config;
use directory::Placements;
use directory::cell_map::{CellMap, Destination};
use face::{Identity, Incoming, Limits, Problem, Uploads};
use kernel::{IdSource, Refusal, Service};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response};
use remote::{Forward, ForwardedHeaders, Remote};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{tenant_hint, upgrade};
use crate::auth::issuers;
use crate::front::{failure, host, request_id};
use crate::operations::{self, Pools};
use crate::server::StartError;
use crate::service::Background;

/// The front of several cells.
pub(crate) struct Cells {
    /// The processes of each cell, by the cell's name.
    remotes: BTreeMap<String, Arc<Remote>>,
    /// The cell for tenants without a recorded cell, and for requests without a tenant.
    home: String,
    map: Arc<CellMap>,
    ids: Arc<dyn IdSource>,
    limits: Arc<Limits>,
    pools: Pools,
    /// Determines client addresses, and signs the header that tells them to the cells.
    client_address: ClientAddressHeader,
    /// The tasks that a shutdown waits for.
    tasks: TaskTracker,
    stop: CancellationToken,
    timeout: Duration,
}

/// Creates the front, and spawns the task that follows changes of the directory.
///
/// # Errors
/// When no cells are configured.
pub(crate) async fn serve(
    config: &Config,
    ids: Arc<dyn IdSource>,
    background: &Background,
    stop: CancellationToken,
) -> Result<Cells, StartError> {
    let home = config.home_cell().filter(|home| config.cells.contains_key(*home)).ok_or(StartError::NoCells)?;
    let http = &config.http;
    let cells = config.cells.iter().map(|(name, cell)| {
        // For forwarding, a cell counts as a service with instances. The name is leaked once, because a service's name is static.
        let named = Service::new(Box::leak(format!("cell_{}", name.replace('-', "_")).into_boxed_str()));
        (name.clone(), background.remote(named, &config.cell_urls(cell), http.body_limit))
    });
    Pools::describe();
    let map = Arc::new(CellMap::new(Placements::of(&background.pools.directory(config))));
    if let Err(error) = map.catch_up().await {
        tracing::warn!(%error, "the directory of tenants does not answer yet");
    }
    let followed = map.clone();
    background.spawn("places of tenants", move |shutdown| {
        let map = followed.clone();
        async move { map.follow(shutdown).await }
    });
    let limits = Limits {
        body: http.body_limit,
        upload: http.upload_limit,
        uploads: Arc::new(Uploads::new(http.uploads, http.uploads_of_a_tenant)),
    };
    Ok(Cells {
        remotes: cells.collect(),
        home: home.to_owned(),
        map,
        ids,
        limits: Arc::new(limits),
        pools: background.pools.clone(),
        client_address: issuers::client_address(config)?,
        tasks: background.tasks.clone(),
        stop,
        timeout: Duration::from_secs(http.timeout_seconds),
    })
}

impl Cells {
    async fn answer(&self, mut request: Request) -> Result<Response, Problem> {
        host::check(&request)?;
        match request.original_uri().path() {
            "/health" => return Ok(said(StatusCode::OK, &json!({ "status": "alive" }))),
            "/ready" => return Ok(self.ready()),
            "/metrics" => return Ok(operations::exposition(&self.pools)),
            _ => {}
        }
        let destination = tokio::time::timeout(self.timeout, self.destination(&mut request)).await;
        let destination = destination.map_err(|_| failure::too_slow(self.timeout))??;
        let (cell, tenant) = destination.map_or((None, uuid::Uuid::nil()), |found| (found.cell, found.tenant));
        let cell = cell.as_deref().unwrap_or(&self.home);
        let Some(remote) = self.remotes.get(cell) else {
            tracing::error!(cell, %tenant, "a tenant lives in a cell that is not configured here");
            let detail = format!("the cell {cell} is not known to this gateway");
            return Err(Refusal::unavailable("cell_unknown", detail).into());
        };
        self.seen(&mut request);
        if upgrade::is_wanted(&request) {
            return upgrade::Joining { remote, tasks: &self.tasks, stop: &self.stop, timeout: self.timeout }
                .forward(request, tenant)
                .await;
        }
        let forward = Forward { remote: remote.clone(), stop: self.stop.clone(), headers: ForwardedHeaders::All };
        match tokio::time::timeout(self.timeout + Duration::from_secs(1), forward.forward(request, tenant)).await {
            Ok(answered) => answered,
            Err(_) => Err(failure::too_slow(self.timeout).into()),
        }
    }

    async fn destination(&self, request: &mut Request) -> Result<Option<Destination>, Refusal> {
        let hint = tenant_hint::of(request, self.limits.body).await?;
        self.map.find(&hint).await.map_err(|error| {
            tracing::warn!(%error, "the directory of tenants can't be asked");
            let detail = "the directory of tenants does not answer; nothing was done: try again";
            Refusal::unavailable("directory_unavailable", detail)
        })
    }

    /// Adds the header that tells the cell the client's address.
    fn seen(&self, request: &mut Request) {
        self.client_address.set_header(request);
    }

    fn ready(&self) -> Response {
        let mut statuses = BTreeMap::new();
        let panicked = eventstore::panicked();
        let (mut some, mut all) = (false, self.map.is_known() && panicked.is_empty());
        for (name, remote) in &self.remotes {
            let of_cell: Vec<_> = remote.instances().iter().map(|instance| instance.status()).collect();
            some |= of_cell.iter().any(|status| status.state != "down");
            all &= of_cell.iter().all(|status| status.state == "up");
            statuses.insert(name, of_cell);
        }
        let (status, code) = match (some && self.map.is_known(), all) {
            (false, _) => ("unready", StatusCode::SERVICE_UNAVAILABLE),
            (true, false) => ("degraded", StatusCode::OK),
            (true, true) => ("ready", StatusCode::OK),
        };
        let directory = if self.map.is_known() { "up" } else { "down" };
        said(code, &json!({ "status": status, "directory": directory, "cells": statuses, "panicked": panicked }))
    }
}

fn said(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder()
        .status(status)
        .content_type("application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(body.to_string())
}

impl Endpoint for Cells {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let id = request_id::of(request.headers(), &*self.ids);
        let traceparent = request.header("traceparent").map(str::to_owned);
        // The cell authenticates the caller.
        let incoming = Incoming { id, identity: Identity::Anonymous, traceparent, limits: self.limits.clone() };
        request.extensions_mut().insert(incoming);
        let answered = self.answer(request).await.map_err(poem::Error::from);
        let problem = answered.is_err();
        let (mut response, _) = failure::settle(answered, id);
        if problem && let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert("x-request-id", value);
        }
        Ok(response)
    }
}
