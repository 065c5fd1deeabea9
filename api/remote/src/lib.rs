//! Forwards requests to services that run in other processes.
//!
//! [`Remote`] is a service with its instances, and [`Forward`] is the endpoint that forwards to them. A request goes to the instance
//! that its tenant's hash prefers (`instance`): always the same one as long as it is healthy, so that a tenant's requests use one
//! cache and keep their order. Health comes from regular [checks](Remote::watch) (`health`) and from the results of requests (`breaker`). A failed
//! request is repeated at another instance only if that is safe: nothing was sent yet, or sending it twice does no harm (it only
//! reads, or it carries an `Idempotency-Key`). A `budget` limits repetitions, so that they never become the main load. `body` keeps
//! what may have to be sent again. Which operations belong to which service is decided by the gateway.
//!
//! To add a criterion for choosing instances: store it in `instance.rs`, and weigh it in `choose` there.

mod body;
mod breaker;
mod budget;
mod forward;
mod health;
mod instance;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kernel::Service;
use tokio_util::sync::CancellationToken;

use budget::Budget;
pub use forward::{Forward, ForwardedHeaders};
pub use instance::{Instance, InstanceStatus};

/// The timeout for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle connection stays in the pool: shorter than the instances keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type HttpClient = Client<HttpConnector, BoxBody<Bytes, std::io::Error>>;

/// A service that runs in other processes.
pub struct Remote {
    /// The service.
    pub service: Service,
    instances: Vec<Arc<Instance>>,
    client: HttpClient,
    budget: Budget,
    /// The size up to which bodies are buffered for retries, in bytes.
    kept_bytes: usize,
}

impl Remote {
    /// A service with instances at these URLs. Bodies of at most `kept_bytes` bytes are buffered for retries. Each instance has to be
    /// [watched](Self::watch); until it is, it counts as healthy.
    pub fn open(service: Service, urls: &[http::Uri], kept_bytes: usize) -> Arc<Self> {
        describe();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let instances = urls
            .iter()
            .filter_map(|url| url.authority().cloned())
            .map(|authority| Arc::new(Instance::new(service, authority)))
            .collect();
        Arc::new(Self { service, instances, client, budget: Budget::default(), kept_bytes })
    }

    /// The instances of the service.
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// Checks the health of one of its instances until `shutdown`.
    pub async fn watch(self: Arc<Self>, instance: Arc<Instance>, shutdown: CancellationToken) {
        health::watch(&instance, &self.client, shutdown).await;
    }
}

fn describe() {
    metrics::describe_counter!(
        "inopsio_remote_requests_total",
        "Requests sent to an instance of a service, by outcome"
    );
    metrics::describe_histogram!("inopsio_remote_seconds", "Time until an instance begins to answer");
    metrics::describe_counter!("inopsio_remote_retries_total", "Requests that were sent to another instance");
    metrics::describe_gauge!("inopsio_remote_up", "Whether an instance answers (1)");
    metrics::describe_gauge!("inopsio_remote_breaker", "An instance's circuit breaker: closed 0, half-open 1, open 2");
}
