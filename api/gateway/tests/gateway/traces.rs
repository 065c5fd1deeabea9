//! One trace from HTTP to the projection, at a real OTLP receiver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testbed::eventually;
use tonic::{Request, Response, Status};

use crate::world::{Answer, World};

#[derive(Clone, Default)]
pub struct Receiver(Arc<Mutex<Vec<Span>>>);

impl Receiver {
    /// All spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(spans.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The generated gRPC service on a plain HTTP/2 server, because tonic's own server would need features that the program does not use.
pub async fn receive() -> (Receiver, SocketAddr) {
    let receiver = Receiver::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(TraceServiceServer::new(receiver.clone()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new()).http2_only();
                server.serve_connection(TokioIo::new(connection), service).await
            });
        }
    });
    (receiver, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_through_the_log_to_the_projections() {
    let (receiver, address) = receive().await;
    let mut config = gateway::Config::default();
    config.telemetry.otlp_endpoint = Some(format!("http://{address}"));
    config.telemetry.sample = 0.0;
    let telemetry = gateway::telemetry::init(&config).unwrap();
    let world = World::start().await;

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let captured = world
        .request(Method::POST, "/v1/crm/leads")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({ "name": "Ada" }));
    assert_eq!(Answer::of(captured).await.status, StatusCode::CREATED);
    // Sampled neither by us nor by the caller, so it is not exported.
    world.lead("Grace").await;

    let trace = hex::decode(trace).unwrap();
    let telemetry = Arc::new(telemetry);
    let spans = eventually("the request's span and a projection's span arrive", async || {
        let flushing = telemetry.clone();
        tokio::task::spawn_blocking(move || flushing.flush()).await.unwrap();
        let spans: Vec<Span> =
            receiver.0.lock().unwrap().iter().filter(|span| span.trace_id == trace).cloned().collect();
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        (has("POST /v1/crm/leads") && has("project")).then_some(spans)
    })
    .await;
    let request = spans.iter().find(|span| span.name == "POST /v1/crm/leads").unwrap();
    assert_eq!(hex::encode(&request.parent_span_id), "00f067aa0ba902b7", "the request continues the caller's trace");
    let applied = spans.iter().find(|span| span.name == "project").unwrap();
    assert_eq!(applied.parent_span_id, request.span_id, "what was applied continues the request");
    let others = receiver.0.lock().unwrap().iter().filter(|span| span.trace_id != trace).count();
    assert_eq!(others, 0, "what nobody asked to trace is traced");
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
}
