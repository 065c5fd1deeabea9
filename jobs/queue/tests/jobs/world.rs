//! The test environment: tables, a bus, runners, and handlers that a test controls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::admin::Mode;
use eventstore::backup::{Restore, freeze};
use jobs::{Fault, Job, Jobs, Kind, Kinds, NewJob, Request, Runner, Settings, Sources, State, Step, Work};
use kernel::{Backoff, Caller, Grant, Role, SystemClock, SystemIds, TenantId};
use nats::{Bus, Credentials};
use serde_json::{Value, json};
use sqlx::Connection;
use testbed::eventually;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

const GRANTS: [Grant; 4] = [
    Grant { permission: "demo:job:read", roles: &[Role::Admin, Role::Auditor], meaning: "" },
    Grant { permission: "demo:job:write", roles: &[Role::Admin, Role::Member], meaning: "" },
    Grant { permission: "demo:file:read", roles: &[Role::Admin], meaning: "" },
    Grant { permission: "demo:note:ask", roles: &[Role::Admin, Role::Manager], meaning: "" },
];

pub struct World {
    pub database: testbed::Database,
    pub bus: Bus,
    pub jobs: Jobs,
    pub tenant: TenantId,
    pub stage: Stage,
    pub stop: CancellationToken,
    tasks: TaskTracker,
    _nats: testbed::Nats,
}

/// What the handlers do, and have done.
#[derive(Clone)]
pub struct Stage {
    /// Tenant and attempt number, in the order in which the attempts began.
    pub begun: Arc<Mutex<Vec<(TenantId, Uuid, u32)>>>,
    /// The running attempts, and the largest numbers of concurrent ones of one job and of one tenant.
    pub now: Arc<Mutex<Vec<(TenantId, Uuid)>>>,
    pub most_of_tenant: Arc<Mutex<usize>>,
    pub most: Arc<Mutex<usize>>,
    pub doubled: Arc<Mutex<usize>>,
    /// The gate where `hold` jobs wait, and `write` jobs before each part.
    pub gate: Arc<Semaphore>,
    /// How many `write` jobs wait at the gate.
    pub at_gate: Arc<AtomicUsize>,
    /// The `Work` of `lend` jobs, in the order in which they began.
    pub lent: Arc<Mutex<Vec<Work>>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stage.lent.lock().unwrap().clear();
        self.stop.cancel();
    }
}

/// Settings with which tests do not take longer than necessary.
pub fn quick() -> Settings {
    Settings {
        lease: Duration::from_millis(1500),
        grace: Duration::from_millis(100),
        backoff: Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(100) },
        // Longer than a test waits, so that wake-ups have to arrive.
        poll_interval: Duration::from_mins(10),
        ..Settings::default()
    }
}

pub fn new_job(arguments: Value) -> NewJob {
    NewJob { arguments, actor: "ada".to_owned(), run_at: None, unique: None }
}

impl World {
    pub async fn start() -> Self {
        let world = Self::idle(quick()).await;
        world.runner(&world.jobs);
        world
    }

    /// An environment without a runner.
    pub async fn idle(settings: Settings) -> Self {
        Self::over(testbed::Database::fresh("demo").await, settings).await
    }

    /// The same with this database.
    pub async fn over(database: testbed::Database, settings: Settings) -> Self {
        assert!(jobs::migrate(&database.admin(), &database, Mode::DryRun).await.unwrap());
        assert!(jobs::migrate(&database.admin(), &database, Mode::Apply).await.unwrap());
        assert!(!jobs::migrate(&database.admin(), &database, Mode::Apply).await.unwrap());
        let nats = testbed::Nats::start().await;
        let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "test")).await.unwrap();
        let stage = Stage {
            begun: Arc::default(),
            now: Arc::default(),
            most_of_tenant: Arc::default(),
            most: Arc::default(),
            doubled: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            at_gate: Arc::default(),
            lent: Arc::default(),
        };
        let jobs = open(&database, &bus, settings, &stage);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { database, bus, jobs, tenant: testbed::tenant(), stage, stop, tasks, _nats: nats }
    }

    /// Restores a backup of these tables into a new environment without a runner.
    pub async fn restored(&self) -> Self {
        let mut other = Self::idle(quick()).await;
        other.tenant = self.tenant;
        let mut snapshot = freeze(&[(*self.database).clone()]).await.unwrap().remove(0);
        let mut restore = Restore::begin(&other.database.admin(), &other.database).await.unwrap();
        for of in jobs::backup::TABLES {
            let mut rows = snapshot.side_table(of).await.unwrap();
            for row in &mut rows {
                (of.restored)(&mut row.columns);
            }
            restore.side_table(of, &rows).await.unwrap();
        }
        restore.finish(snapshot.head(), snapshot.head().position).await.unwrap();
        other
    }

    /// Access to the jobs as from another process.
    pub fn elsewhere(&self, settings: Settings) -> Jobs {
        open(&self.database, &self.bus, settings, &self.stage)
    }

    /// Access to the jobs as from another process whose clock is wrong by this much.
    pub fn with_clock(&self, wrong_by: chrono::Duration) -> Jobs {
        let clock = kernel::ManualClock::at(now() + wrong_by);
        let sources = Sources { clock: Arc::new(clock), ids: Arc::new(SystemIds) };
        Jobs::open(
            &self.database,
            Some(self.bus.clone()),
            kinds(&self.stage),
            Settings { sweep: Duration::ZERO, ..quick() },
            sources,
        )
    }

    /// Starts a runner, as each process has one. Cancelling the returned token stops it cleanly; aborting the task kills it.
    pub fn runner(&self, jobs: &Jobs) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = self.stop.child_token();
        (stop.clone(), self.tasks.spawn(Runner::new(jobs.clone()).run(stop)))
    }

    pub fn request(&self) -> Request {
        request(self.tenant, Role::Admin)
    }

    pub async fn submit(&self, kind: &str, arguments: Value) -> Uuid {
        self.jobs.submit(&self.request(), kind, &new_job(arguments)).await.unwrap().id
    }

    pub async fn find(&self, id: Uuid) -> Job {
        self.jobs.find(&self.request().caller, id).await.unwrap().0
    }

    pub async fn lines(&self, id: Uuid) -> Vec<String> {
        self.jobs.find(&self.request().caller, id).await.unwrap().1.into_iter().map(|line| line.message).collect()
    }

    pub async fn until(&self, id: Uuid, state: State) -> Job {
        let what = format!("the job is {}", state.as_str());
        eventually(&what, async || Some(self.find(id).await).filter(|job| job.state == state)).await
    }

    /// The content of a table as text, to check that nothing was written.
    pub async fn dump(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in ["jobs", "turns", "lines", "parts", "inputs", "commands", "queues", "schedules", "batches"] {
            all.extend(self.strings(&format!("SELECT t::text FROM jobs.{table} t ORDER BY 1")).await);
        }
        all
    }

    pub async fn strings(&self, query: &str) -> Vec<String> {
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        sqlx::query_scalar(query).fetch_all(&mut connection).await.unwrap()
    }

    pub async fn execute(&self, statement: &str) {
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
}

pub fn now() -> DateTime<Utc> {
    kernel::Clock::now(&SystemClock)
}

pub fn request(tenant: TenantId, role: Role) -> Request {
    Request { caller: Caller::new(tenant, "ada", &[role], &GRANTS), command_id: None, request_hash: [1; 32] }
}

pub fn kinds(stage: &Stage) -> Kinds {
    let play = |name, act: Act| {
        let stage = stage.clone();
        Kind::new(name, move |work| played(stage.clone(), act, work))
    };
    Kinds::new(
        "demo:job:read",
        "demo:job:write",
        vec![
            play("note", Act::Note).offered::<Note>("demo:note:ask"),
            play("read", Act::Read),
            play("keep", Act::Hold).queue("slow").offered::<Anything>("demo:note:ask"),
            play("fail", Act::Fail).attempts(3),
            play("hopeless", Act::Permanent),
            play("panic", Act::Panic).attempts(1),
            play("slow", Act::Deaf).attempts(1).time_limit(Duration::from_millis(50)),
            play("hold", Act::Hold),
            play("lend", Act::Lend),
            play("deaf", Act::Deaf),
            play("write", Act::Write).output("text/plain", "demo:file:read"),
            play("forget", Act::Forget).attempts(10_000).guarded("demo:file:read").even_if_suspended(),
        ],
    )
}

/// The arguments of notes.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    n: u32,
}

impl jobs::Arguments for Note {}

/// Whatever somebody sends.
#[derive(serde::Serialize, serde::Deserialize)]
struct Anything(Value);

impl jobs::Arguments for Anything {}

#[derive(Clone, Copy)]
enum Act {
    /// Returns the size of its input file.
    Read,
    /// Returns its arguments.
    Note,
    Fail,
    Permanent,
    Panic,
    /// Waits at the gate, or until it is cancelled.
    Hold,
    /// The same, and passes its `Work` to the test.
    Lend,
    /// Never ends, and ignores cancellation.
    Deaf,
    /// Writes this many parts, and passes the gate before each.
    Write,
    /// Removes the files of all other kinds that were submitted before it.
    Forget,
}

/// Removes itself from the list of running attempts, also when it is dropped.
struct Playing(Stage, (TenantId, Uuid));

impl Drop for Playing {
    fn drop(&mut self) {
        let mut now = self.0.now.lock().unwrap();
        let place = now.iter().position(|one| *one == self.1).unwrap();
        now.remove(place);
    }
}

/// Counts as waiting at the gate until this is dropped.
struct AtGate<'a>(&'a Stage);

impl<'a> AtGate<'a> {
    fn comes(stage: &'a Stage) -> Self {
        stage.at_gate.fetch_add(1, Ordering::SeqCst);
        Self(stage)
    }
}

impl Drop for AtGate<'_> {
    fn drop(&mut self) {
        self.0.at_gate.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn played(stage: Stage, act: Act, work: Work) -> Result<Value, Fault> {
    let me = (work.tenant(), work.id());
    stage.begun.lock().unwrap().push((me.0, me.1, work.attempt()));
    {
        let mut now = stage.now.lock().unwrap();
        if now.contains(&me) {
            *stage.doubled.lock().unwrap() += 1;
        }
        now.push(me);
        let of_tenant = now.iter().filter(|(tenant, _)| *tenant == me.0).count();
        let mut most_of_tenant = stage.most_of_tenant.lock().unwrap();
        *most_of_tenant = (*most_of_tenant).max(of_tenant);
        let mut most = stage.most.lock().unwrap();
        *most = (*most).max(now.len());
    }
    let _playing = Playing(stage.clone(), me);
    match act {
        Act::Note => {
            work.log("noted").await?;
            work.arguments()
        }
        Act::Read => Ok(json!(work.input().await?.len())),
        Act::Fail => Err(Fault::failed("out_of_luck", format!("attempt {}", work.attempt()))),
        Act::Permanent => Err(Fault::permanent("no_such_thing", "it will never be")),
        Act::Panic => panic!("as the test wants it"),
        Act::Hold | Act::Lend => {
            if let Act::Lend = act {
                stage.lent.lock().unwrap().push(work.clone());
            }
            tokio::select! {
                place = stage.gate.acquire() => place.unwrap().forget(),
                () = work.cancelled() => return Err(Fault::Cancelled),
            }
            Ok(json!("held"))
        }
        Act::Deaf => std::future::pending().await,
        Act::Forget => Ok(json!(work.forget_files(&["hold", "hopeless", "write"], work.created_at()).await?)),
        Act::Write => {
            let parts: u64 = work.arguments()?;
            let mut done: u64 = work.checkpoint()?.unwrap_or_default();
            while done < parts {
                let waits = AtGate::comes(&stage);
                stage.gate.acquire().await.unwrap().forget();
                drop(waits);
                done += 1;
                let part = Some(format!("part {done}\n").into_bytes());
                work.step(Step { checkpoint: json!(done), done, total: Some(parts), part }).await?;
            }
            Ok(json!({ "parts": parts }))
        }
    }
}

fn open(database: &testbed::Database, bus: &Bus, settings: Settings, stage: &Stage) -> Jobs {
    let sources = Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds) };
    Jobs::open(database, Some(bus.clone()), kinds(stage), settings, sources)
}
