//! `/ready`: each dependency with its state and latency, each projection with its lag.

use std::sync::Arc;
use std::time::{Duration, Instant};

use events_api::feed::RunningFeeds;
use eventstore::admin;
use face::{ReadSide, Runtime};
use kernel::Service;
use keys::MasterKey as _;
use nats::Bus;
use poem::http::StatusCode;
use projector::ProjectionState;
use remote::{InstanceStatus, Remote};
use serde::Serialize;
use tokio::sync::Mutex;
use vault::Transit;

use super::consumers;
use crate::auth::suspension::Suspended;
use crate::service::{RelayState, Running, SagasState, SealingState};

/// How long a dependency may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a report is reused.
const REPORT_MAX_AGE: Duration = Duration::from_secs(1);

/// Checks all dependencies.
pub struct Readiness {
    bus: Bus,
    services: Vec<Running>,
    remotes: Vec<(Arc<Remote>, ReadSide)>,
    running_feeds: RunningFeeds,
    suspended: Suspended,
    /// The master keys that are in Vault.
    vaults: Vec<Arc<Transit>>,
    /// The last report, and when it was made.
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

/// The overall status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything works.
    Ready,
    /// Requests are answered, but read models are behind or have parked events, or something else does not work completely.
    Degraded,
    /// Requests can't be answered.
    Unavailable,
}

impl Status {
    /// The HTTP status: success as long as requests are answered, so that load balancers keep sending traffic.
    pub const fn http(self) -> StatusCode {
        match self {
            Self::Ready | Self::Degraded => StatusCode::OK,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The overall status: the worst of all.
    pub status: Status,
    /// The dependencies and background tasks.
    dependencies: Vec<Dependency>,
    /// The read models.
    projections: Vec<Projection>,
    /// The webhooks of each service.
    webhooks: Vec<consumers::Webhooks>,
    /// The feeds of each service, in this process.
    feeds: Vec<consumers::Feeds>,
    /// The instances of services that run in other processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<InstanceStatus>,
}

#[derive(Debug, Serialize)]
struct Dependency {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_events: Option<u64>,
    #[serde(skip)]
    status: Status,
}

impl Dependency {
    fn up(name: String) -> Self {
        Self { name, state: "up", latency_ms: None, detail: None, lag_events: None, status: Status::Ready }
    }

    fn down(name: String, detail: String, status: Status) -> Self {
        Self { name, state: "down", latency_ms: None, detail: Some(detail), lag_events: None, status }
    }
}

#[derive(Debug, Serialize)]
struct Projection {
    service: &'static str,
    name: &'static str,
    partition: u32,
    partitions: u32,
    version: u32,
    state: &'static str,
    position: u64,
    lag_events: u64,
    parked_events: u64,
    parked_aggregates: u64,
}

impl Readiness {
    /// Checks these dependencies.
    pub fn new(
        bus: Bus,
        services: Vec<Running>,
        remotes: Vec<(Arc<Remote>, ReadSide)>,
        running_feeds: RunningFeeds,
        suspended: Suspended,
        vaults: Vec<Arc<Transit>>,
    ) -> Self {
        Self { bus, services, remotes, running_feeds, suspended, vaults, last: Mutex::default() }
    }

    /// A report that is at most a second old. The endpoint is public, so requests share a report instead of each querying the databases.
    pub async fn report(&self) -> Arc<Report> {
        let mut last = self.last.lock().await;
        if let Some((asked, report)) = &*last
            && asked.elapsed() < REPORT_MAX_AGE
        {
            return report.clone();
        }
        let report = Arc::new(self.ask().await);
        *last = Some((Instant::now(), report.clone()));
        report
    }

    /// Checks all dependencies concurrently.
    async fn ask(&self) -> Report {
        let bus = ask("nats".to_owned(), Status::Degraded, async {
            self.bus.ping().await.map(drop).map_err(|error| error.to_string())
        });
        let logs = futures::future::join_all(self.services.iter().map(|Running { runtime, .. }| {
            ask(format!("postgres/{}", runtime.service), Status::Unavailable, async {
                if !runtime.store.is_open() {
                    return Err("the log accepts no appends: it is closing, or its committer panicked and is started again in a moment".to_owned());
                }
                runtime.store.head().await.map(drop).map_err(|error| advised(&error))
            })
        }));
        let here = self.services.iter().map(|running| running.runtime.read_side());
        let elsewhere = self.remotes.iter().map(|(_, read_side)| read_side.clone());
        let read_models = futures::future::join_all(here.chain(elsewhere).map(projections));
        let consumers = futures::future::join_all(self.services.iter().map(|running| self.consumers(running)));
        let streams = futures::future::join_all(self.services.iter().map(|running| copies(&running.runtime)));
        let vaults = futures::future::join_all(self.vaults.iter().map(|transit| vault(transit)));
        let (bus, logs, read_models, consumers, streams, vaults) =
            tokio::join!(bus, logs, read_models, consumers, streams, vaults);
        let relays = self.services.iter().map(|running| relay_dependency(&running.runtime, &running.relay));
        let mut dependencies: Vec<Dependency> =
            logs.into_iter().chain([bus]).chain(vaults).chain(streams.into_iter().flatten()).chain(relays).collect();
        dependencies.extend(self.services.iter().zip(&consumers).filter_map(|(running, asked)| {
            let (_, sagas) = running.sagas.as_ref()?;
            let lag_events = asked.as_ref().ok().and_then(|asked| asked.sagas_lag);
            Some(Dependency { lag_events, ..sagas_dependency(running.runtime.service, sagas) })
        }));
        dependencies.extend(self.services.iter().filter_map(|running| {
            running.sealer.as_ref().map(|sealer| sealer_dependency(running.runtime.service, sealer))
        }));
        let mut worst = Status::Ready;
        let mut all = Vec::new();
        for (found, status, unanswered) in read_models {
            all.extend(found);
            dependencies.extend(unanswered);
            worst = worst.max(status);
        }
        let (mut webhooks, mut feeds) = (Vec::new(), Vec::new());
        for asked in consumers {
            match asked {
                Ok(found) => {
                    webhooks.push(found.webhooks);
                    feeds.push(found.feeds);
                }
                Err(unanswered) => dependencies.push(unanswered),
            }
        }
        dependencies.extend(self.remotes.iter().map(|(remote, _)| remote_dependency(remote)));
        dependencies.extend(eventstore::panicked().into_iter().map(panicked_dependency));
        if !self.suspended.is_known() {
            let detail = "the suspended tenants are not loaded yet".to_owned();
            dependencies.push(Dependency::down("suspensions".to_owned(), detail, Status::Unavailable));
        }
        let instances = self.remotes.iter().flat_map(|(remote, _)| remote.instances().iter());
        let instances = instances.map(|instance| instance.status()).collect();
        let worst = dependencies.iter().map(|dependency| dependency.status).fold(worst, Status::max);
        Report { status: worst, dependencies, projections: all, webhooks, feeds, instances }
    }

    async fn consumers(&self, running: &Running) -> Result<consumers::Consumers, Dependency> {
        let unanswered = |detail: String| {
            Dependency::down(format!("webhooks/{}", running.runtime.service), detail, Status::Degraded)
        };
        match tokio::time::timeout(TIMEOUT, consumers::ask(running, &self.running_feeds)).await {
            Ok(Ok(asked)) => Ok(asked),
            Ok(Err(error)) => Err(unanswered(error)),
            Err(_) => Err(unanswered(no_answer())),
        }
    }
}

async fn ask(name: String, if_down: Status, question: impl Future<Output = Result<(), String>>) -> Dependency {
    let start = Instant::now();
    match tokio::time::timeout(TIMEOUT, question).await {
        Ok(Ok(())) => Dependency { latency_ms: Some(start.elapsed().as_secs_f64() * 1e3), ..Dependency::up(name) },
        Ok(Err(error)) => Dependency::down(name, error, if_down),
        Err(_) => Dependency::down(name, no_answer(), if_down),
    }
}

/// The error, with what to do about it if the database is not prepared.
fn advised(error: &eventstore::Error) -> String {
    if admin::is_unprepared(error) { format!("{error}. {}", admin::ADVICE) } else { error.to_string() }
}

fn no_answer() -> String {
    format!("no answer within {} s", TIMEOUT.as_secs())
}

/// The replicas of a service's stream, if it has several. If the bus does not answer, the dependency `nats` reports that.
async fn copies(runtime: &Runtime) -> Option<Dependency> {
    let asked = tokio::time::timeout(TIMEOUT, runtime.bus.stream_copies(runtime.service)).await;
    let copies = asked.ok()?.ok()??;
    let name = format!("stream/{}", runtime.service);
    match (copies.wanted, copies.current) {
        (..=1, _) => None,
        (wanted, current) if current >= wanted => Some(Dependency::up(name)),
        (wanted, current) => {
            let detail = format!("{current} of {wanted} copies are current");
            Some(Dependency { state: "degraded", ..Dependency::down(name, detail, Status::Degraded) })
        }
    }
}

/// A master key in Vault. Keys that were unwrapped before keep working without it; if it never answered, no key was unwrapped yet.
async fn vault(transit: &Transit) -> Dependency {
    let if_down = if transit.client().has_answered() { Status::Degraded } else { Status::Unavailable };
    ask(transit.name().to_owned(), if_down, async { transit.check().await.map_err(|error| error.to_string()) }).await
}

fn relay_dependency(runtime: &Runtime, relay: &RelayState) -> Dependency {
    let name = format!("relay/{}", runtime.service);
    let dependency = match relay.trouble() {
        None => Dependency::up(name),
        Some(detail) => Dependency::down(name, detail, Status::Degraded),
    };
    Dependency { lag_events: Some(relay.lag()), ..dependency }
}

fn sealer_dependency(service: Service, sealer: &SealingState) -> Dependency {
    let name = format!("sealer/{service}");
    match sealer.trouble() {
        None => Dependency::up(name),
        Some(detail) => Dependency::down(name, detail, Status::Degraded),
    }
}

fn sagas_dependency(service: Service, sagas: &SagasState) -> Dependency {
    let name = format!("sagas/{service}");
    match sagas.trouble() {
        None => Dependency::up(name),
        Some(detail) => Dependency::down(name, detail, Status::Degraded),
    }
}

/// A background task that panicked, until it is started again.
fn panicked_dependency(task: String) -> Dependency {
    let detail = "it panicked, and is started again in a moment; the log says where it did".to_owned();
    Dependency::down(format!("task/{task}"), detail, Status::Degraded)
}

/// The instances of a service in other processes. Without any ready instance, its requests can't be answered.
fn remote_dependency(remote: &Remote) -> Dependency {
    let name = format!("instances/{}", remote.service);
    let all = remote.instances().len();
    match remote.instances().iter().filter(|instance| instance.status().state == "up").count() {
        0 => Dependency::down(name, format!("none of {all} is ready"), Status::Unavailable),
        up if up < all => {
            let detail = format!("{up} of {all} are ready");
            Dependency { state: "degraded", ..Dependency::down(name, detail, Status::Degraded) }
        }
        _ => Dependency::up(name),
    }
}

async fn projections(read_side: ReadSide) -> (Vec<Projection>, Status, Option<Dependency>) {
    let unanswered = |detail: String| {
        let name = format!("read models/{}", read_side.service);
        (Vec::new(), Status::Unavailable, Some(Dependency::down(name, detail, Status::Unavailable)))
    };
    let statuses = match tokio::time::timeout(TIMEOUT, read_side.read_models.status()).await {
        Ok(Ok(statuses)) => statuses,
        Ok(Err(error)) => return unanswered(error.to_string()),
        Err(_) => return unanswered(no_answer()),
    };
    let worst = statuses
        .iter()
        .map(|status| match status.state {
            ProjectionState::Live => Status::Ready,
            ProjectionState::Parked | ProjectionState::Failing | ProjectionState::NeedsRebuild => Status::Degraded,
            ProjectionState::Missing => Status::Unavailable,
        })
        .max()
        .unwrap_or(Status::Ready);
    let all = statuses
        .into_iter()
        .map(|status| Projection {
            service: read_side.service.name(),
            name: status.name,
            partition: status.partition.number(),
            partitions: status.partition.of(),
            version: status.version,
            state: status.state.as_str(),
            position: status.position.0,
            lag_events: status.lag,
            parked_events: status.parked_events,
            parked_aggregates: status.parked_aggregates,
        })
        .collect();
    (all, worst, None)
}
