//! The test environment: a tenant with a log of its own, callers by role, and helpers that create each kind of record.

use std::sync::Arc;

use chrono::NaiveDate;
use crm_aggregates::{ContactId, LeadId, OpportunityId, PipelineId, StageId};
use crm_commands::{
    AssignLead, CaptureLead, ContactFields, CreateContact, CreatePipeline, GRANTS, LeadFields, MoneyFields,
    OpenOpportunity, PipelineIds, QualifyLead, StageFields, StartLeadWork,
};
use eventstore::admin::Mode;
use eventstore::{EventStore, Sealing};
use executor::{Command, Done, Executor, Request, Settings};
use kernel::{Aggregate, Caller, Kind, Position, PostalAddress, Refusal, Role, SystemClock, SystemIds};
use keys::{LocalMasterKey, SystemRandom};
use sqlx::{Connection, PgConnection};

pub struct World {
    pub store: EventStore,
    pub executor: Executor,
    pub request: Request,
    database: testbed::Database,
}

impl World {
    pub async fn new() -> Self {
        let database = testbed::Database::fresh("crm").await;
        let clock = Arc::new(SystemClock);
        let master = LocalMasterKey::parse(&"a".repeat(64), SystemRandom).unwrap();
        let sealing = Some(Sealing { master: Arc::new(master), random: Arc::new(SystemRandom) });
        let settings = eventstore::Settings { sealing, ..eventstore::Settings::default() };
        let store = EventStore::open(&database, settings, clock.clone()).await.unwrap();
        let executor = executor(&store);
        let request = executor.internal_request(&Caller::new(testbed::tenant(), "ada", &[Role::Admin], GRANTS), None);
        Self { store, executor, request, database }
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

    /// An environment like that of another process: the same log, a separate cache.
    pub fn elsewhere(&self) -> Executor {
        executor(&self.store)
    }

    pub fn role(&self, role: Role) -> Request {
        self.executor.internal_request(&Caller::new(self.request.caller.tenant(), "ada", &[role], GRANTS), None)
    }

    /// A request of another tenant's administrator: a different tenant each time.
    pub fn stranger(&self) -> Request {
        self.executor.internal_request(&Caller::new(testbed::tenant(), "eve", &[Role::Admin], GRANTS), None)
    }

    pub fn keyed(&self, key: &str) -> Request {
        Request { command_id: Some(key.to_owned()), ..self.request.clone() }
    }

    /// A small append of another tenant.
    pub async fn another_tenant_writes(&self) {
        let command = CaptureLead { details: lead_fields(), ..CaptureLead::default() };
        self.executor.execute(&self.stranger(), &command).await.unwrap();
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.unwrap()
    }

    pub async fn done<C: Command>(&self, command: &C) -> Done<C::Answer> {
        self.executor.execute(&self.request, command).await.unwrap()
    }

    /// Expects a command to be refused, and checks that nothing was written.
    pub async fn refused<C: Command>(&self, command: &C) -> Refusal {
        self.refused_as(&self.request, command).await
    }

    pub async fn refused_as<C: Command>(&self, request: &Request, command: &C) -> Refusal {
        let before = self.head().await;
        let Err(refusal) = self.executor.execute(request, command).await else { panic!("carried out") };
        assert_eq!(self.head().await, before, "a refusal writes nothing");
        refusal
    }

    /// Expects errors in fields (invalid values or unknown references), and returns their pointers and codes.
    pub async fn wrong<C: Command>(&self, command: &C) -> Vec<(String, &'static str)> {
        let refusal = self.refused(command).await;
        let reference = |code: &str| code.ends_with("not_found") || code == "cannot_sign_in";
        let expected = if refusal.errors().iter().all(|error| reference(error.code)) {
            (Kind::Unprocessable, "reference_unknown")
        } else {
            (Kind::Invalid, "validation_failed")
        };
        assert_eq!((refusal.kind(), refusal.code()), expected, "{refusal}");
        refusal.errors().iter().map(|error| (error.pointer.clone(), error.code)).collect()
    }

    pub async fn state<A: Aggregate>(&self, id: impl std::fmt::Display) -> Arc<A> {
        self.executor.load::<A>(&self.request.caller, &id.to_string()).await.unwrap().unwrap().0
    }

    /// All events, of all tenants, by their types.
    pub async fn log(&self) -> Vec<String> {
        let events = self.store.read_after(Position::START, 10_000).await.unwrap();
        events.into_iter().map(|event| event.event_type).collect()
    }

    pub async fn lead(&self) -> LeadId {
        self.done(&CaptureLead { details: lead_fields(), ..CaptureLead::default() }).await.answer
    }

    pub async fn qualified_lead(&self) -> LeadId {
        let lead = self.lead().await;
        self.done(&AssignLead { lead, owner: "grace".to_owned() }).await;
        self.done(&StartLeadWork { lead }).await;
        self.done(&QualifyLead { lead, note: None }).await;
        lead
    }

    pub async fn contact(&self, email: &str) -> ContactId {
        self.done(&contact(email)).await.answer
    }

    pub async fn pipeline(&self) -> PipelineIds {
        self.done(&CreatePipeline { name: "New business".to_owned(), stages: stages() }).await.answer
    }

    pub async fn opportunity(&self, pipeline: PipelineId, stage: StageId) -> OpportunityId {
        self.done(&opportunity(pipeline, Some(stage))).await.answer
    }
}

fn executor(store: &EventStore) -> Executor {
    let settings = Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
    Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings)
}

#[expect(clippy::unnecessary_wraps, reason = "what an optional field is given")]
pub fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub fn lead_fields() -> LeadFields {
    LeadFields {
        name: "Ada Lovelace".to_owned(),
        company: text("Analytical Engines Ltd"),
        title: text("Countess"),
        email: text("Ada@Example.com"),
        phone: text("+44 20 7946 0958"),
        country: text("gb"),
        address: Some(address()),
    }
}

/// A postal address as typed.
pub fn address() -> PostalAddress {
    PostalAddress {
        street: text(" 12 St James's Square\r\nFlat 3 "),
        locality: text("London"),
        region: None,
        postal_code: text("SW1Y 4JH"),
        country: text("gb"),
    }
}

/// The same address as stored.
pub fn kept_address() -> PostalAddress {
    PostalAddress { street: text("12 St James's Square\nFlat 3"), country: text("GB"), ..address() }
}

/// An address with every possible error, and the expected errors.
pub fn wrong_address() -> (PostalAddress, [(&'static str, &'static str); 5]) {
    let address = PostalAddress {
        street: text(&"x".repeat(301)),
        locality: text("two\nlines"),
        region: text(""),
        postal_code: text("123456789012345678901"),
        country: text("Atlantis"),
    };
    let said = [
        ("/address/street", "length"),
        ("/address/locality", "control_character"),
        ("/address/region", "empty"),
        ("/address/postal_code", "length"),
        ("/address/country", "country"),
    ];
    (address, said)
}

pub fn contact(email: &str) -> CreateContact {
    let details = ContactFields { name: "Grace Hopper".to_owned(), email: text(email), ..ContactFields::default() };
    CreateContact { details, ..CreateContact::default() }
}

pub fn stage(name: &str, probability: u8) -> StageFields {
    StageFields { name: name.to_owned(), probability, rotten_after_days: None }
}

pub fn stages() -> Vec<StageFields> {
    vec![stage("Prospect", 10), stage("Offer", 50), stage("Signing", 90)]
}

pub fn euros(minor: i64) -> MoneyFields {
    MoneyFields { minor, currency: "EUR".to_owned() }
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub fn opportunity(pipeline: PipelineId, stage: Option<StageId>) -> OpenOpportunity {
    OpenOpportunity {
        name: "An engine".to_owned(),
        account: None,
        contact: None,
        pipeline,
        stage,
        amount: euros(1_000),
        close_date: day("2026-12-24"),
        owner: None,
        line_items: Vec::new(),
    }
}

/// An expected field error.
pub fn field(pointer: &str, code: &'static str) -> Vec<(String, &'static str)> {
    vec![(pointer.to_owned(), code)]
}
