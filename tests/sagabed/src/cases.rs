//! The cases that every saga has to pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coordinator::{Point, Status, Step};
use kernel::Grant;

use crate::{Bed, Counting, Crash, Failing, FailingOnce, Story};

/// The saga completes.
pub async fn completes(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    story.begin(&case).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "undisturbed");
    story.done(&case).await;
}

/// Each step fails, before and after its effect. Completed steps are compensated, or past the pivot the saga is stuck.
pub async fn unwinds_from_each_step(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    let mut steps = 0;
    for failing in faults(story) {
        let context = format!("{failing:?}");
        let case = bed.case(story.saga());
        let running = bed.start_with(Arc::new(failing.clone()));
        story.begin(&case).await;
        let state = case.end(&running).await;
        let wanted = refused_at(story, &failing);
        case.assert_status(&state, wanted, &context);
        assert_eq!(state.why.as_ref().map(|(code, _)| code.as_str()), Some("test_refused"), "{context}");
        assert!(wanted == Status::Stuck || state.done.iter().all(|done| !has_undo(story, &done.step)), "{state:#?}");
        story.undone(&case).await;
        running.stop().await;
        steps += 1;
    }
    assert!(steps >= 2, "the story has no step");
}

/// The coordinator crashes at each point between two writes, forward and while compensating. Another coordinator continues.
pub async fn survives_each_crash(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    let last = faults(story).pop();
    for failing in [None, last] {
        let wanted = failing.as_ref().map_or(Status::Completed, |failing| refused_at(story, failing));
        // Count the points first.
        let counting = Arc::new(Counting { failing: failing.clone(), ..Counting::default() });
        let case = bed.case(story.saga());
        let running = bed.start_with(counting.clone());
        story.begin(&case).await;
        let state = case.end(&running).await;
        case.assert_status(&state, wanted, "undisturbed");
        bed.followed().await;
        running.stop().await;
        let places = counting.points.lock().unwrap().len();
        assert!(places > 10, "{places} places are none");
        for at in 0..places {
            let case = bed.case(story.saga());
            let crash = Arc::new(Crash::at(at, failing.clone()));
            let running = bed.start_with(crash.clone());
            story.begin(&case).await;
            // Move the clock until it has crashed. The number of points may differ by a batch of the feed.
            tokio::select! {
                biased;
                () = crash.crashed.notified() => {}
                _ = case.end(&running) => {}
            }
            running.kill().await;
            let context = format!("crashed at {at} of {places}: {:?}", crash.place.lock().unwrap());
            let again: Arc<dyn coordinator::Probe> = match &failing {
                Some(failing) => Arc::new(failing.clone()),
                None => Arc::new(coordinator::NoProbe),
            };
            let running = bed.start_with(again);
            let state = case.end(&running).await;
            case.assert_status(&state, wanted, &context);
            if wanted == Status::Completed {
                story.done(&case).await;
            } else {
                story.undone(&case).await;
            }
            running.stop().await;
        }
    }
}

/// All events are delivered again, during the saga and after its end, and all rows are deleted once. Nothing happens twice.
pub async fn bears_repetition(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    story.begin(&case).await;
    case.until("at rest", |one| !one.status.is_active() || case.later(one).is_some()).await;
    running.kill().await;
    bed.redeliver().await;
    // Two coordinators, one of which is on standby.
    let (running, other) = (bed.start(), bed.start());
    let ended = async {
        let state = case.end(&running).await;
        case.assert_status(&state, Status::Completed, "delivered twice");
    };
    let waking = async {
        loop {
            other.wake();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = waking => {}
    }
    // What the saga did may begin other sagas of the service.
    bed.rested().await;
    story.done(&case).await;
    running.stop().await;
    other.stop().await;
    let head = bed.store.head().await.unwrap();
    for forget in [false, true] {
        if forget {
            bed.forget().await;
        } else {
            bed.redeliver().await;
        }
        let running = bed.start();
        bed.rested().await;
        let state = case.until("over", |one| !one.status.is_active()).await;
        case.assert_status(&state, Status::Completed, "delivered again");
        running.stop().await;
        assert_eq!(bed.store.head().await.unwrap(), head, "what was delivered again was done again");
    }
    story.done(&case).await;
}

/// Each timer becomes due while no coordinator is running.
pub async fn catches_up_with_timers(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    let case = bed.case(story.saga());
    story.begin(&case).await;
    let mut slept = 0;
    loop {
        let running = bed.start();
        let state = case.until("at rest", |one| !one.status.is_active() || case.later(one).is_some()).await;
        running.kill().await;
        if !state.status.is_active() {
            case.assert_status(&state, Status::Completed, "asleep");
            break;
        }
        case.sleep().await;
        slept += 1;
    }
    assert!(slept > 0, "the story has no timer");
    story.done(&case).await;
}

/// Each step fails once with a transient error, and the time of its retry comes while no coordinator is running.
pub async fn catches_up_with_attempts(story: &impl Story, grants: &'static [Grant]) {
    let bed = Bed::new(story.sagas(), grants).await;
    for at in faults(story).into_iter().map(|Failing(at)| at).filter(|at| matches!(at, Point::BeforeStep { .. })) {
        let case = bed.case(story.saga());
        let probe = Arc::new(FailingOnce { at: at.clone(), failed: AtomicBool::new(false) });
        let mut running = bed.start_with(probe.clone());
        story.begin(&case).await;
        let mut slept = 0;
        loop {
            let state = case.until("at rest", |one| !one.status.is_active() || case.later(one).is_some()).await;
            running.kill().await;
            if !state.status.is_active() {
                case.assert_status(&state, Status::Completed, &format!("{at:?} failed once"));
                break;
            }
            case.sleep().await;
            slept += 1;
            running = bed.start_with(probe.clone());
        }
        assert!(slept > 0 && probe.failed.load(Ordering::SeqCst), "{at:?} did not fail");
        story.done(&case).await;
    }
}

/// The faults of all steps: before and after their effect.
fn faults(story: &impl Story) -> Vec<Failing> {
    let steps = steps(story).into_iter().map(|step| step.name().to_owned());
    steps
        .flat_map(|step| {
            [Point::BeforeStep { step: step.clone(), undo: false }, Point::AfterStep { step, undo: false }]
        })
        .map(Failing)
        .collect()
}

/// The final status of a saga if a step is refused: past the pivot nothing is compensated.
fn refused_at(story: &impl Story, Failing(at): &Failing) -> Status {
    let (Point::BeforeStep { step: at, .. } | Point::AfterStep { step: at, .. }) = at else {
        return Status::Compensated;
    };
    let is_past_pivot = steps(story).iter().any(|step| step.name() == at && step.is_past_pivot());
    if is_past_pivot { Status::Stuck } else { Status::Compensated }
}

fn has_undo(story: &impl Story, step: &str) -> bool {
    steps(story).iter().any(|known| known.name() == step && known.has_undo())
}

fn steps(story: &impl Story) -> Vec<Step> {
    let sagas = story.sagas();
    let definition = sagas.definitions().iter().find(|definition| definition.name() == story.saga()).unwrap();
    definition.steps().to_vec()
}
