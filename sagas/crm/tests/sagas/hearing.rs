//! The feeds of the follower: the relay of its own process, the bus, and the log.

use coordinator::{CoordinatorState, Status};
use crm_commands::GRANTS;
use kernel::Position;
use nats::{Bus, Credentials, StreamSettings};
use sagabed::{Bed, Story};

use crate::follow_up::{FollowUp, qualify};

#[tokio::test]
async fn a_stream_that_is_not_this_logs_begins_nothing_and_hides_nothing() {
    // The stream has events from before the log was restored from a backup. The relay is stuck, and it is not in this process.
    let before = Bed::new(FollowUp.sagas(), GRANTS).await;
    for _ in 0..5 {
        qualify(&before.case("follow_up_lead")).await;
    }
    let lost = before.store.read_after(Position::START, 100).await.unwrap();
    let nats = testbed::Nats::start().await;
    let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "test")).await.unwrap();
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    bus.ensure_stream(bed.sagas.service(), StreamSettings::default()).await.unwrap();
    bus.publish(bed.sagas.service(), &lost, Position::START).await.unwrap();

    let running = bed.start_with_bus(bus);
    let mut status = running.status();
    status.wait_for(|status| status.state == CoordinatorState::Active).await.unwrap();
    let case = bed.case("follow_up_lead");
    // The log has fewer events than the stream.
    FollowUp.begin(&case).await;
    assert!(bed.store.head().await.unwrap() < Position(lost.len() as u64));
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "beside another log's stream");
    FollowUp.done(&case).await;
    running.stop().await;
}
