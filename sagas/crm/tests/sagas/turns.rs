//! Fairness between tenants: a tenant's backlog does not delay the others. Measured by what runs before, not by time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::Duration;
use coordinator::{Point, Probe, Settings};
use crm_commands::GRANTS;
use futures::future::BoxFuture;
use sagabed::{Bed, Case, Story};
use testbed::eventually;
use tokio::sync::Notify;

use crate::follow_up::{FollowUp, qualify, set};

/// A probe that lets no instance start before this many are about to.
struct Gathering {
    wanted: usize,
    here: AtomicUsize,
    enough: Notify,
}

impl Probe for Gathering {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if *point == Point::BeforeStart {
                let enough = self.enough.notified();
                if self.here.fetch_add(1, Ordering::SeqCst) + 1 < self.wanted {
                    enough.await;
                } else {
                    self.enough.notify_waiters();
                }
            }
        })
    }
}

/// A probe that stops each step before it runs, as with a mail server that does not answer.
#[derive(Default)]
struct Hanging {
    hangs: AtomicBool,
    here: AtomicUsize,
}

impl Probe for Hanging {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        if !matches!(point, Point::BeforeStep { .. }) || !self.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(()));
        }
        self.here.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

/// The positions of a tenant's events of one type.
async fn positions(case: &Case<'_>, event_type: &str) -> Vec<u64> {
    let events = case.events().await;
    events.iter().filter(|event| event.event_type == event_type).map(|event| event.position.0).collect()
}

#[tokio::test]
async fn one_tenants_many_starts_are_begun_together_and_do_not_come_before_anothers_one() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let (many, one) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    set(&many).await;
    for _ in 0..90 {
        qualify(&many).await;
    }
    FollowUp.begin(&one).await;
    // Waits for all that start concurrently. With fewer, those that got a connection at once could all have started while another
    // connection was still being opened. If they started one after the other, they would wait for each other for ever.
    let together = Settings::default().begun_together;
    let gathering = Gathering { wanted: together, here: AtomicUsize::new(0), enough: Notify::new() };
    let running = bed.start_with(Arc::new(gathering));
    eventually("all have begun", async || {
        let begun = many.count("crm.saga.started").await + one.count("crm.saga.started").await;
        (begun == 91).then_some(())
    })
    .await;
    let [at] = positions(&one, "crm.saga.started").await[..] else { panic!("it did not begin once") };
    let ahead = positions(&many, "crm.saga.started").await.into_iter().filter(|other| *other < at).count();
    assert!(ahead < together, "{ahead} of 90 were begun before the other tenant's one");
    running.stop().await;
}

#[tokio::test]
async fn one_tenants_many_slow_steps_leave_places_to_whoever_else_is_due() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let (many, one, late) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    let probe = Arc::new(Hanging::default());
    let running = bed.start_with(probe.clone());
    set(&many).await;
    for _ in 0..40 {
        qualify(&many).await;
    }
    // Due after all of those.
    bed.clock.advance(Duration::seconds(1));
    FollowUp.begin(&one).await;
    bed.clock.advance(Duration::seconds(1));
    let waits = async |case: &Case<'_>, count: usize| {
        eventually("all wait for their time", async || {
            let listed = case.listed().await;
            (listed.iter().filter(|one| case.later(one).is_some()).count() == count).then_some(())
        })
        .await;
    };
    waits(&many, 40).await;
    waits(&one, 1).await;
    let steps = async |case: &Case<'_>| case.count("crm.saga.step_begun").await;
    let (of_many, of_one) = (steps(&many).await, steps(&one).await);

    probe.hangs.store(true, Ordering::SeqCst);
    bed.clock.advance(Duration::days(3));
    running.wake();
    eventually("the other tenant's one is carried on", async || (steps(&one).await > of_one).then_some(())).await;
    // A newcomer finds a free slot, too, although no running instance ends.
    FollowUp.begin(&late).await;
    eventually("a newcomer's is begun", async || (steps(&late).await > 0).then_some(())).await;
    eventually("each place is taken", async || (probe.here.load(Ordering::SeqCst) == 16).then_some(())).await;
    let taken = [steps(&many).await - of_many, steps(&one).await - of_one, steps(&late).await];
    assert_eq!(taken, [14, 1, 1], "who has the sixteen places");
    running.kill().await;
}
