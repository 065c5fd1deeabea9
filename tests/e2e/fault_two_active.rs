//! Two processes that both believe to be the active one.

use rand::Rng;
use testbed::eventually;

use crate::ledger;
use crate::load::Load;
use crate::world::{CRM, World};

const CLIENTS: usize = 8;

/// A process is suspended until the other one has its locks. When it wakes up, it continues where it was: publishing, applying events, or
/// driving sagas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_two_relays_and_two_projectors_at_once_lose_double_and_reorder_nothing() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    world.start(1).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(100).await;
    let bus = world.bus().await;
    // The active process is one of the two, so suspend each in turn.
    for sleeper in [0, 1] {
        world.signal(sleeper, "STOP");
        world.grows(100).await;
        let last = world.count().await;
        eventually("the other one relays", async || {
            let state = bus.stream_state(CRM).await.ok()??;
            (state.last >= last.cast_unsigned()).then_some(())
        })
        .await;
        eventually("the other one applies", async || {
            let behind = "SELECT count(*) FROM projector.checkpoints WHERE position < $1";
            let behind: i64 = sqlx::query_scalar(behind).bind(last).fetch_one(&mut world.sql().await).await.unwrap();
            (behind == 0).then_some(())
        })
        .await;
        world.signal(sleeper, "CONT");
        world.grows(200).await;
    }
    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
    world.stop(1).await;
}
