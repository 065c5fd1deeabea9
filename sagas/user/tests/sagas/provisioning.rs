//! `provision_tenant`: a tenant is provisioned, or everything is undone, with every failure injected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Duration, Utc};
use coordinator::{Sagas, Status};
use futures::future::{BoxFuture, FutureExt, ready};
use kernel::{Clock, Grant, Role, Service, TenantId};
use mailer::Caught;
use sagabed::{Bed, Case, Story};
use tokio::sync::Notify;
use user_aggregates::{Tenant, TenantStatus};
use user_commands::{CodeKey, GRANTS, LinkKey, RequestTenant, RequestTenantDeletion, ResumeTenant, SuspendTenant};
use user_sagas::{Ports, ResourceError, TenantResources, TenantStanding, UserSagas};

use crate::end_access::AccessDouble;

/// A directory in memory.
#[derive(Clone, Default)]
pub struct ResourcesDouble(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    reserved: BTreeMap<String, TenantId>,
    open: BTreeSet<TenantId>,
    standing: BTreeMap<TenantId, TenantStanding>,
    keys: BTreeSet<TenantId>,
    /// Whether opening fails now.
    shut: bool,
    /// What the next status waits for before it is recorded.
    held: Option<Arc<Notify>>,
    /// What was destroyed and recorded, in order.
    ends: Vec<(TenantId, &'static str)>,
}

impl ResourcesDouble {
    pub fn slug_of(&self, tenant: TenantId) -> Option<String> {
        let inner = self.0.lock().unwrap();
        inner.reserved.iter().find(|(_, holder)| **holder == tenant).map(|(slug, _)| slug.clone())
    }

    fn is_open(&self, tenant: TenantId) -> bool {
        self.0.lock().unwrap().open.contains(&tenant)
    }

    fn shut(&self, shut: bool) {
        self.0.lock().unwrap().shut = shut;
    }

    /// The next status is recorded only after this is notified.
    pub fn hold(&self, until: &Arc<Notify>) {
        self.0.lock().unwrap().held = Some(until.clone());
    }

    /// Whether the status that is [held](Self::hold) was on its way.
    pub fn has_held(&self) -> bool {
        self.0.lock().unwrap().held.is_none()
    }

    fn has_keys(&self, tenant: TenantId) -> bool {
        self.0.lock().unwrap().keys.contains(&tenant)
    }

    pub fn standing(&self, tenant: TenantId) -> Option<TenantStanding> {
        self.0.lock().unwrap().standing.get(&tenant).copied()
    }

    /// What was destroyed and recorded of a tenant, including repetitions.
    pub fn ends(&self, tenant: TenantId) -> Vec<&'static str> {
        let inner = self.0.lock().unwrap();
        inner.ends.iter().filter(|(ended, _)| *ended == tenant).map(|(_, end)| *end).collect()
    }
}

impl TenantResources for ResourcesDouble {
    fn reserve<'a>(
        &'a self,
        tenant: TenantId,
        slug: &'a str,
        _: &'a str,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), ResourceError>> {
        let holder = *self.0.lock().unwrap().reserved.entry(slug.to_owned()).or_insert(tenant);
        let answer = if holder == tenant { Ok(()) } else { Err(ResourceError::Taken(slug.to_owned())) };
        ready(answer).boxed()
    }

    fn release(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        let mut inner = self.0.lock().unwrap();
        inner.open.remove(&tenant);
        inner.reserved.retain(|_, holder| *holder != tenant);
        ready(Ok(())).boxed()
    }

    fn open(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        let mut inner = self.0.lock().unwrap();
        if inner.shut {
            return ready(Err(ResourceError::Transient("nothing is opened now".to_owned()))).boxed();
        }
        inner.open.insert(tenant);
        ready(Ok(())).boxed()
    }

    fn note_standing(&self, tenant: TenantId, standing: TenantStanding) -> BoxFuture<'_, Result<(), ResourceError>> {
        let mut inner = self.0.lock().unwrap();
        let reserved = inner.reserved.values().any(|holder| *holder == tenant) && !inner.open.contains(&tenant);
        if reserved {
            return ready(Err(ResourceError::Transient("it is not open yet".to_owned()))).boxed();
        }
        let held = inner.held.take();
        async move {
            if let Some(held) = held {
                held.notified().await;
            }
            self.0.lock().unwrap().standing.insert(tenant, standing);
            Ok(())
        }
        .boxed()
    }

    fn services(&self) -> Vec<Service> {
        ["crm", "auth", "user"].map(Service::new).to_vec()
    }

    fn record_deletion(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        let mut inner = self.0.lock().unwrap();
        inner.ends.push((tenant, "recorded"));
        inner.reserved.retain(|_, holder| *holder != tenant);
        ready(Ok(())).boxed()
    }

    fn destroy(&self, tenant: TenantId, service: Service) -> BoxFuture<'_, Result<(), ResourceError>> {
        self.0.lock().unwrap().ends.push((tenant, service.name()));
        ready(Ok(())).boxed()
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        ready(Ok(())).boxed()
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        ready(Ok(())).boxed()
    }

    fn make_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        self.0.lock().unwrap().keys.insert(tenant);
        ready(Ok(())).boxed()
    }

    fn close_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        self.0.lock().unwrap().keys.remove(&tenant);
        ready(Ok(())).boxed()
    }
}

/// The permission table, with the operators' permissions added.
pub fn operators_grants() -> &'static [Grant] {
    let operate = Grant { permission: "user:tenant:operate", roles: &[Role::Admin], meaning: "" };
    Vec::leak(GRANTS.iter().filter(|grant| grant.permission != operate.permission).copied().chain([operate]).collect())
}

pub fn ports(resources: &ResourcesDouble) -> Ports {
    let mailer = Arc::new(Caught::default());
    let (links, codes) = (LinkKey::derive(&[7; 32]), CodeKey::derive(&[7; 32]));
    let (texts, url) = (Arc::new(texting::Caught::default()), "https://inopsio.example".into());
    Ports {
        mailer,
        texts,
        links,
        codes,
        url,
        resources: Arc::new(resources.clone()),
        access: Arc::new(AccessDouble::default()),
    }
}

/// Only the saga with this name, with these resources.
pub fn only(name: &str, resources: &ResourcesDouble) -> Sagas {
    let all = user_sagas::sagas(&ports(resources));
    let definitions = all.definitions().iter().filter(|definition| definition.name() == name);
    Sagas::of::<UserSagas>(GRANTS, definitions.cloned().collect())
}

#[derive(Default)]
struct Provisioning {
    resources: ResourcesDouble,
}

fn slug(case: &Case<'_>) -> String {
    format!("t{}", &case.tenant().uuid().simple().to_string()[12..])
}

pub async fn request(case: &Case<'_>, slug: String) {
    let owner = Some(format!("ada@{}.example", case.tenant()));
    case.execute(&RequestTenant { slug, name: "Acme Inc.".to_owned(), owner }).await;
}

impl Story for Provisioning {
    fn sagas(&self) -> Sagas {
        user_sagas::sagas(&ports(&self.resources))
    }

    fn saga(&self) -> &'static str {
        "provision_tenant"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move { request(case, slug(case)).await })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Active);
            assert!(self.resources.is_open(case.tenant()));
            assert!(self.resources.has_keys(case.tenant()), "it is open, and nobody can sign in");
            assert_eq!(self.resources.slug_of(case.tenant()), Some(slug(case)));
            assert_eq!(case.count("user.invitation.sent").await, 1, "the owner is invited once");
        })
    }

    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Abandoned);
            assert_eq!(self.resources.slug_of(case.tenant()), None, "the name is free again");
            assert!(!self.resources.has_keys(case.tenant()), "keys are left that look good");
            let (sent, revoked) =
                (case.count("user.invitation.sent").await, case.count("user.invitation.revoked").await);
            assert_eq!(sent, revoked, "no invitation is left that leads nowhere");
        })
    }
}

#[tokio::test]
async fn a_tenant_that_is_asked_for_gets_its_place_and_its_owner_is_invited() {
    sagabed::completes(&Provisioning::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_failure_at_each_step_takes_back_all_that_was_made() {
    sagabed::unwinds_from_each_step(&Provisioning::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_makes_no_half_tenant() {
    sagabed::survives_each_crash(&Provisioning::default(), operators_grants()).await;
}

#[tokio::test]
async fn events_delivered_again_make_nothing_again() {
    sagabed::bears_repetition(&Provisioning::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_step_that_is_to_be_tried_again_while_nobody_runs_is_tried_then() {
    sagabed::catches_up_with_attempts(&Provisioning::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_short_name_that_another_has_is_refused_and_nothing_is_left() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (first, second) = (bed.case(story.saga()), bed.case(story.saga()));
    let running = bed.start();
    request(&first, "acme".to_owned()).await;
    first.assert_status(&first.end(&running).await, Status::Completed, "the first");
    request(&second, "acme".to_owned()).await;
    second.assert_status(&second.end(&running).await, Status::Compensated, "the second");
    story.undone(&second).await;
    assert_eq!(story.resources.slug_of(first.tenant()).as_deref(), Some("acme"));
    running.stop().await;
}

#[tokio::test]
async fn what_the_log_says_of_a_suspension_is_noted_in_the_directory() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    request(&case, "acme".to_owned()).await;
    case.assert_status(&case.end(&running).await, Status::Completed, "made");
    case.execute(&SuspendTenant { reason: "not paid".to_owned() }).await;
    testbed::eventually("it is noted", || async {
        (story.resources.standing(case.tenant()) == Some(TenantStanding::Suspended)).then_some(())
    })
    .await;
    case.execute(&ResumeTenant).await;
    testbed::eventually("it is noted", || async {
        (story.resources.standing(case.tenant()) == Some(TenantStanding::Active)).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn nobody_is_led_to_a_tenant_before_it_is_active_and_a_suspension_from_before_that_is_noted_after_it() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (case, running) = (bed.case(story.saga()), bed.start());
    story.resources.shut(true);
    request(&case, "acme".to_owned()).await;
    case.until("waiting for its place", |one| case.later(one).is_some()).await;
    assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Active);
    assert!(!story.resources.is_open(case.tenant()));
    case.execute(&SuspendTenant { reason: "not paid".to_owned() }).await;
    let noting = bed.case_of("note_tenant_status", case.tenant());
    noting.until("waiting for its place, too", |one| noting.later(one).is_some()).await;
    assert_eq!(story.resources.standing(case.tenant()), None);
    story.resources.shut(false);
    case.assert_status(&case.end(&running).await, Status::Completed, "made");
    noting.assert_status(&noting.end(&running).await, Status::Completed, "noted");
    assert!(story.resources.is_open(case.tenant()));
    assert_eq!(story.resources.standing(case.tenant()), Some(TenantStanding::Suspended));
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_given_up_is_undone_also_if_it_was_suspended_or_is_to_be_deleted() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let running = bed.start();
    story.resources.shut(true);
    for is_to_be_deleted in [false, true] {
        let case = bed.case(story.saga());
        story.begin(&case).await;
        case.until("waiting for its place", |one| case.later(one).is_some()).await;
        assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Active);
        let reason = "a mistake".to_owned();
        if is_to_be_deleted {
            case.execute(&RequestTenantDeletion { reason, grace_days: 30 }).await;
        } else {
            case.execute(&SuspendTenant { reason }).await;
        }
        bed.clock.advance(Duration::hours(2));
        running.wake();
        case.assert_status(&case.end(&running).await, Status::Compensated, "given up");
        story.undone(&case).await;
        let noting = bed.case_of("note_tenant_status", case.tenant());
        noting.assert_status(&noting.end(&running).await, Status::Completed, "there is nothing to note");
        if is_to_be_deleted {
            let deleting = bed.case_of("delete_tenant", case.tenant());
            deleting.assert_status(&deleting.end(&running).await, Status::Completed, "there is nothing to delete");
            assert_eq!(story.resources.ends(case.tenant()), [""; 0]);
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_whose_reservation_was_lost_in_a_restore_gets_it_again_unless_somebody_else_has_the_name_by_now() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let running = bed.start();
    for is_taken in [false, true] {
        story.resources.shut(true);
        let case = bed.case(story.saga());
        story.begin(&case).await;
        case.until("waiting for its place", |one| case.later(one).is_some()).await;
        story.resources.release(case.tenant()).await.unwrap();
        let other = testbed::tenant();
        if is_taken {
            story.resources.reserve(other, &slug(&case), "Other", bed.clock.now()).await.unwrap();
        }
        story.resources.shut(false);
        let state = case.end(&running).await;
        if is_taken {
            case.assert_status(&state, Status::Compensated, "its name is another's");
            assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Abandoned);
            assert_eq!(story.resources.slug_of(other), Some(slug(&case)));
        } else {
            case.assert_status(&state, Status::Completed, "made");
            story.done(&case).await;
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_deleted_before_its_place_is_open_gets_none() {
    let story = Provisioning::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (case, running) = (bed.case(story.saga()), bed.start());
    story.resources.shut(true);
    story.begin(&case).await;
    case.until("waiting for its place", |one| case.later(one).is_some()).await;
    case.execute(&RequestTenantDeletion { reason: "a mistake".to_owned(), grace_days: 0 }).await;
    let deleting = bed.case_of("delete_tenant", case.tenant());
    deleting.until("deleted", |one| !one.status.is_active()).await;
    assert_eq!(story.resources.slug_of(case.tenant()), None);
    story.resources.shut(false);
    case.assert_status(&case.end(&running).await, Status::Completed, "there is nothing to open");
    assert_eq!((story.resources.slug_of(case.tenant()), story.resources.is_open(case.tenant())), (None, false));
    running.stop().await;
}
