//! Destroying a tenant while the coordinator writes rows of its sagas: no row remains, in either order.

use std::sync::Arc;

use coordinator::{Point, Probe};
use crm_commands::{AssignLead, GRANTS};
use eventstore::Role;
use futures::future::BoxFuture;
use kernel::TenantId;
use sagabed::{Bed, Case, Story};
use testbed::{Hold, eventually};
use tokio::sync::{Notify, Semaphore};

use crate::coming_and_going::{execute, rows, waits};
use crate::dead_letters::{broken, mended, parked};
use crate::follow_up::{FollowUp, qualify, set};

/// A probe that stops at a point until it is released.
struct Gate {
    at: Point,
    reached: Notify,
    open: Semaphore,
    /// Where what follows it is over.
    end: Point,
    ended: Notify,
}

impl Gate {
    fn new(at: Point, end: Point) -> Arc<Self> {
        Arc::new(Self { at, reached: Notify::new(), open: Semaphore::new(0), end, ended: Notify::new() })
    }

    fn let_go(&self) {
        self.open.add_permits(1);
    }
}

impl Probe for Gate {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if *point == self.at {
                self.reached.notify_one();
                // Once it is released, it stays so.
                drop(self.open.acquire().await.unwrap());
            }
            if *point == self.end {
                self.ended.notify_one();
            }
        })
    }
}

/// Waits until a transaction of this role waits for a lock.
async fn held_up(bed: &Bed, role: Role) {
    bed.database.until_session(role, "wait_event_type = 'Lock'").await;
}

/// Waits until the destroying transaction waits for those that write.
async fn waited_for(bed: &Bed) {
    bed.database.until_session(Role::Append, "query LIKE '%log.writers%'").await;
}

/// The number of the tenant's rows in the tables of dead letters.
async fn letters(bed: &Bed, tenant: TenantId) -> i64 {
    let count = "SELECT (SELECT count(*) FROM dead.letters WHERE tenant_id = $1)
                      + (SELECT count(*) FROM dead.attempts WHERE tenant_id = $1)
                      + (SELECT count(*) FROM dead.changes WHERE tenant_id = $1)";
    sqlx::query_scalar(count).bind(tenant.uuid()).fetch_one(&mut bed.superuser().await).await.unwrap()
}

async fn destroy(case: &Case<'_>) {
    eventstore::destroy(&case.bed.database, case.tenant(), &[]).await.unwrap();
}

/// A tenant with a waiting instance, whose last event was not processed yet; no coordinator runs.
async fn behind_by_one(bed: &Bed) -> Case<'_> {
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    FollowUp.begin(&case).await;
    waits(&case).await;
    bed.followed().await;
    running.stop().await;
    execute(bed, "UPDATE saga.checkpoint SET position = (SELECT position - 1 FROM log.head)", case.tenant()).await;
    case
}

/// A coordinator starts while the deletion of the tenant's rows is not committed: it has read that the tenant exists, waits, and leaves no
/// row.
async fn begun_while_destroyed(bed: &Bed, case: &Case<'_>) {
    let hold = Hold::on(&bed.database.superuser(), "DELETE", "saga.instances", "true").await;
    tokio::join!(destroy(case), async {
        hold.reached().await;
        let running = bed.start();
        held_up(bed, Role::Project).await;
        hold.end().await;
        bed.followed().await;
        running.stop().await;
    });
    assert_eq!(rows(bed, case.tenant()).await, 0);
}

#[tokio::test]
async fn a_row_that_is_to_be_written_while_its_tenant_is_destroyed_is_not() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = behind_by_one(&bed).await;
    execute(&bed, "UPDATE saga.instances SET version = version - 1 WHERE tenant_id = {}", case.tenant()).await;
    begun_while_destroyed(&bed, &case).await;
}

#[tokio::test]
async fn a_row_that_was_written_and_not_committed_when_its_tenant_is_destroyed_is_deleted() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = behind_by_one(&bed).await;
    execute(&bed, "DELETE FROM saga.instances WHERE tenant_id = {}", case.tenant()).await;
    let gate = Gate::new(Point::BeforeCheckpoint, Point::AfterCheckpoint);
    let running = bed.start_with(gate.clone());
    gate.reached.notified().await;
    tokio::join!(destroy(&case), async {
        waited_for(&bed).await;
        gate.let_go();
        gate.ended.notified().await;
    });
    assert_eq!(rows(&bed, case.tenant()).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn an_instance_that_comes_to_rest_while_its_tenant_is_destroyed_has_no_row_any_more() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let gate = Gate::new(Point::BeforeRow, Point::AfterRow);
    let running = bed.start_with(gate.clone());
    FollowUp.begin(&case).await;
    gate.reached.notified().await;
    // So that only the row of the waiting instance remains to be written.
    bed.followed().await;
    let hold = Hold::on(&bed.database.superuser(), "DELETE", "saga.instances", "true").await;
    tokio::join!(destroy(&case), async {
        hold.reached().await;
        gate.let_go();
        held_up(&bed, Role::Project).await;
        hold.end().await;
        gate.ended.notified().await;
    });
    assert_eq!(rows(&bed, case.tenant()).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_saga_that_has_to_hear_of_something_while_its_tenant_is_destroyed_is_not_woken_before_that_is_over() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    set(&case).await;
    let lead = qualify(&case).await;
    waits(&case).await;
    bed.followed().await;
    running.stop().await;
    // An event that wakes the instance, and starts nothing.
    case.execute(&AssignLead { lead, owner: "eve".to_owned() }).await;
    begun_while_destroyed(&bed, &case).await;
}

#[tokio::test]
async fn an_event_that_was_parked_and_not_committed_when_its_tenant_is_destroyed_is_parked_no_more() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    broken(&bed, &case).await;
    let gate = Gate::new(Point::BeforeCheckpoint, Point::AfterCheckpoint);
    let running = bed.start_with(gate.clone());
    qualify(&case).await;
    gate.reached.notified().await;
    tokio::join!(destroy(&case), async {
        waited_for(&bed).await;
        gate.let_go();
        gate.ended.notified().await;
    });
    assert_eq!(letters(&bed, case.tenant()).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_parked_event_that_is_asked_about_again_while_its_tenant_is_destroyed_leaves_nothing_and_holds_nobody_up() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let position = broken(&bed, &case).await;
    let running = bed.start();
    qualify(&case).await;
    eventually("it is parked", async || (!parked(&bed, &case).await.is_empty()).then_some(())).await;
    bed.followed().await;
    running.stop().await;
    mended(&bed, position).await;
    let gate = Gate::new(Point::BeforeStart, Point::AfterStart);
    let running = bed.start_with(gate.clone());
    // It has locked the dead letter, and is about to start an instance.
    gate.reached.notified().await;
    tokio::join!(destroy(&case), async {
        waited_for(&bed).await;
        gate.let_go();
    });
    bed.followed().await;
    assert_eq!((letters(&bed, case.tenant()).await, rows(&bed, case.tenant()).await), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn what_a_tenant_had_parked_is_counted_no_more_when_it_is_destroyed_by_somebody_else() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    broken(&bed, &case).await;
    let running = bed.start();
    qualify(&case).await;
    eventually("it is counted", async || (running.status().borrow().parked == 1).then_some(())).await;
    destroy(&case).await;
    eventually("nothing is counted", async || (running.status().borrow().parked == 0).then_some(())).await;
    running.stop().await;
}
