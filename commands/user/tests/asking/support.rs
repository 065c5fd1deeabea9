//! The test environment: a tenant, its log, and callers.

use std::sync::{Arc, Mutex};

use eventstore::EventStore;
use eventstore::admin::Mode;
use executor::{AskedJob, Command, Executor, Request, Settings};
use kernel::{
    Aggregate, Caller, Clock, Grant, IdSource, LookedUp, MachineStanding, Machines, ManualClock, NoMachines, Refusal,
    Role, SystemClock, SystemIds, TenantId, UserId,
};
use sqlx::{Connection, PgConnection};
use user_aggregates::{GroupId, InvitationId, User};
use user_commands::{
    AcceptInvitation, Catalogue, ChangeRole, DefineRole, GRANTS, LoginFields, ProfileFields, RegisterUser, RoleFields,
    SELF, SubjectsInLog,
};
use uuid::Uuid;

pub struct World {
    database: testbed::Database,
    pub store: EventStore,
    pub executor: Executor,
    pub clock: Arc<ManualClock>,
    pub request: Request,
}

pub fn catalogue() -> Catalogue {
    Catalogue::from(GRANTS.to_vec())
}

/// The only machine, with its state.
#[derive(Clone, Default)]
pub struct MachinesDouble(pub Arc<Mutex<Option<(Uuid, MachineStanding)>>>);

impl Machines for MachinesDouble {
    fn standing(&self, _: TenantId, machine: Uuid) -> LookedUp<'_> {
        let known = self.0.lock().unwrap().clone().filter(|(id, _)| *id == machine);
        Box::pin(std::future::ready(Ok(known.map(|(_, standing)| standing))))
    }
}

/// Looks up subjects where there are these machines.
pub fn subjects(machines: impl Machines + 'static) -> SubjectsInLog {
    SubjectsInLog { catalogue: catalogue(), machines: Arc::new(machines) }
}

/// The acceptance of an invitation with the link of this number. There are no machines.
pub fn accept(invitation: InvitationId, turn: u32) -> AcceptInvitation {
    AcceptInvitation { invitation, turn, name: "Ada Lovelace".to_owned(), senders: subjects(NoMachines) }
}

/// The job that deletes the stored files with a user's data.
pub fn forget() -> AskedJob {
    AskedJob {
        id: SystemIds.next(),
        kind: "forget_imports".to_owned(),
        queue: "default".to_owned(),
        unique_key: None,
        period_key: None,
        arguments: "{}".to_owned(),
        actor: "set-up".to_owned(),
        run_at: None,
        max_attempts: 1,
    }
}

/// The fields of a user whose e-mail address begins with this.
pub fn user(name: &str, roles: &[&str]) -> RegisterUser {
    RegisterUser {
        login: LoginFields { email: format!("{name}@example.com"), user_name: None },
        profile: ProfileFields { name: name.to_owned(), ..ProfileFields::default() },
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: vec![],
        catalogue: catalogue(),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A role of the tenant's own.
pub fn role(name: &str, permissions: &[&str], includes: &[&str]) -> DefineRole {
    let (permissions, includes) = (names(permissions), names(includes));
    let fields = RoleFields { title: name.to_owned(), permissions, includes };
    DefineRole { name: name.to_owned(), fields, catalogue: catalogue() }
}

/// What members may do, without what every user may, and these permissions.
pub fn of_members_and(more: &[&'static str]) -> Vec<&'static str> {
    let of_members = Role::Member.permissions(GRANTS).filter(|permission| *permission != SELF);
    of_members.chain(more.iter().copied()).collect()
}

impl World {
    pub async fn new() -> Self {
        let database = testbed::Database::fresh("user").await;
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let store = EventStore::open(&database, eventstore::Settings::default(), clock.clone()).await.unwrap();
        let executor = executor(&store, &clock);
        let request =
            executor.internal_request(&Caller::new(testbed::tenant(), "set-up", &[Role::Admin], GRANTS), None);
        Self { database, store, executor, clock, request }
    }

    /// An environment like that of another process: the same log, a separate cache.
    pub fn elsewhere(&self) -> Executor {
        executor(&self.store, &self.clock)
    }

    /// With the tables of jobs, for commands that enqueue jobs.
    pub async fn with_jobs() -> Self {
        let world = Self::new().await;
        jobs::migrate(&world.database.admin(), &world.database, Mode::Apply).await.unwrap();
        world
    }

    /// The kinds of all enqueued jobs.
    pub async fn jobs(&self) -> Vec<String> {
        let mut connection = PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        sqlx::query_scalar("SELECT kind FROM jobs.jobs ORDER BY created_at").fetch_all(&mut connection).await.unwrap()
    }

    /// Appends an event of a newer program to a stream.
    pub async fn insert_raw_event(&self, aggregate: impl std::fmt::Display, event_type: &str) {
        let mut connection = PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let payload = format!("{{\"event\":\"{event_type}\"}}");
        testbed::insert_raw_event(&mut connection, &aggregate.to_string(), event_type, &payload).await;
    }

    /// Changes the types of events in a stream to those of a newer program.
    pub async fn retype(&self, aggregate: impl std::fmt::Display, from: &str, to: &str) {
        let mut connection = PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let retyped = "UPDATE log.events SET event_type = $3 WHERE aggregate_id = $1 AND event_type = $2";
        let retyped = sqlx::query(retyped).bind(aggregate.to_string()).bind(from).bind(to);
        assert_ne!(retyped.execute(&mut connection).await.unwrap().rows_affected(), 0);
    }

    /// A request of a caller with these roles.
    pub fn as_roles(&self, roles: &[Role]) -> Request {
        self.executor.internal_request(&Caller::new(self.request.caller.tenant(), "grace", roles, GRANTS), None)
    }

    /// A request of a caller with exactly these permissions.
    pub fn with_permissions(&self, permissions: &[&'static str]) -> Request {
        let grants: Vec<Grant> =
            permissions.iter().map(|permission| Grant { permission, roles: &[Role::Viewer], meaning: "" }).collect();
        self.executor
            .internal_request(&Caller::new(self.request.caller.tenant(), "hedy", &[Role::Viewer], &grants), None)
    }

    /// A request of the user or machine with this id, whose token has all permissions.
    pub fn with_all_permissions(&self, id: impl std::fmt::Display) -> Request {
        let (tenant, all) = (self.request.caller.tenant(), catalogue().held_by(&self.request.caller));
        Request { caller: catalogue().holder(tenant, &id.to_string(), &all), ..self.request.clone() }
    }

    /// A request of a user on their own behalf.
    pub fn as_user(&self, user: UserId) -> Request {
        let caller = Caller::new(self.request.caller.tenant(), user.to_string(), &[Role::Member], GRANTS);
        self.executor.internal_request(&caller, None)
    }

    /// Executes a command as the administrator, and expects success.
    pub async fn done<C: Command>(&self, command: &C) -> C::Answer {
        self.done_as(&self.request, command).await
    }

    pub async fn done_as<C: Command>(&self, request: &Request, command: &C) -> C::Answer {
        self.executor.execute(request, command).await.unwrap().answer
    }

    /// Executes a command as the administrator, expects a refusal, and checks that nothing was written.
    pub async fn refused<C: Command<Answer: std::fmt::Debug>>(&self, command: &C) -> Refusal {
        self.refused_as(&self.request, command).await
    }

    pub async fn refused_as<C: Command<Answer: std::fmt::Debug>>(&self, request: &Request, command: &C) -> Refusal {
        let before = self.store.head().await.unwrap();
        let refusal = self.executor.execute(request, command).await.unwrap_err();
        assert_eq!(self.store.head().await.unwrap(), before, "something was written");
        refusal
    }

    pub async fn load<A: Aggregate>(&self, id: impl std::fmt::Display) -> A {
        let found = self.executor.load::<A>(&self.request.caller, &id.to_string()).await.unwrap();
        (*found.unwrap().0).clone()
    }

    pub async fn user(&self, name: &str, roles: &[&str]) -> UserId {
        self.done(&user(name, roles)).await
    }

    pub async fn state(&self, user: UserId) -> User {
        self.load(user).await
    }

    /// Makes a role, which this caller may change, include more roles than a command follows. Each change includes few.
    pub async fn include_very_many(&self, request: &Request, name: &str) {
        let change = |name: &str, includes: &[String]| ChangeRole {
            name: name.to_owned(),
            fields: RoleFields { title: name.to_owned(), permissions: vec![], includes: includes.to_vec() },
            catalogue: catalogue(),
        };
        let define = async |names: &[String]| {
            for name in names {
                self.done_as(request, &role(name, &[], &[])).await;
            }
        };
        let outer: Vec<String> = (0..5).map(|nth| format!("{name}{nth}")).collect();
        define(&outer).await;
        self.done_as(request, &change(name, &outer)).await;
        for name in &outer {
            let inner: Vec<String> = (0..50).map(|nth| format!("{name}_{nth}")).collect();
            define(&inner).await;
            self.done_as(request, &change(name, &inner)).await;
        }
    }

    pub async fn group(&self, name: &str, roles: &[&str]) -> GroupId {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.done(&user_commands::CreateGroup { name: name.to_owned(), roles, catalogue: catalogue() }).await
    }
}

fn executor(store: &EventStore, clock: &Arc<ManualClock>) -> Executor {
    let settings = Settings { cache_bytes: 1 << 20, claim_key: [7; 32], snapshot_events: 0 };
    Executor::new(store.clone(), clock.clone(), Arc::new(SystemIds), settings)
}
