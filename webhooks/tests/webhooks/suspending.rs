//! Suspended tenants: their webhooks pause, and continue where they stood.

use std::collections::HashSet;
use std::time::Duration;

use eventstore::SuspendedTenants;
use kernel::{Backoff, Position, Role, TenantId};
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};
use tokio::sync::watch;
use webhooks::{Deliverer, EndpointCommand, Settings};

use crate::world::{World, fields, quick, request};

/// An environment whose deliverer pauses these tenants.
async fn pausing(
    paused: Option<HashSet<TenantId>>,
    settings: Settings,
) -> (World, watch::Sender<Option<HashSet<TenantId>>>) {
    let world = World::idle(settings).await;
    let (pause, paused) = watch::channel(paused);
    let deliverer = Deliverer::new(world.webhooks.clone(), world.store.clone()).pausing(SuspendedTenants::new(paused));
    tokio::spawn(deliverer.run(world.stop.clone()));
    (world, pause)
}

/// Waits until an event of another tenant is delivered to an endpoint that is created now: whatever could be sent before it was sent.
async fn others_get_theirs(world: &World) {
    let (other, receiver) = (testbed::tenant(), Receiver::start().await);
    let act = EndpointCommand::Create { fields: fields(&receiver.url), after: Some(Position::START) };
    world.webhooks.carry_out(&request(other, Role::Admin), act).await.unwrap();
    world.append_as(other, "demo.lamp.lit", 1).await;
    eventually("the other tenant has its event", async || (receiver.got().len() == 1).then_some(())).await;
}

#[tokio::test]
async fn webhooks_of_a_suspended_tenant_pause_and_continue_where_they_stood() {
    let (world, pause) = pausing(Some(HashSet::new()), quick()).await;
    let receiver = Receiver::start().await;
    let created = world.endpoint(&receiver.url).await;
    world.append(2).await;
    eventually("both arrive", async || (receiver.positions() == [1, 2]).then_some(())).await;

    pause.send_replace(Some(HashSet::from([world.tenant])));
    world.append(2).await;
    others_get_theirs(&world).await;
    assert_eq!(receiver.positions(), [1, 2]);
    // Neither is anything delivered that somebody asks for meanwhile.
    world.act(EndpointCommand::Replay { id: created.id, after: Position(1) }).await;
    others_get_theirs(&world).await;
    assert_eq!((receiver.positions(), world.find(created.id).await.position), (vec![1, 2], Position(1)));
    let is_paused = |tenant: TenantId| tenant == world.tenant;
    let counts = eventually("the others are not late", async || {
        Some(world.webhooks.counts(is_paused).await.unwrap()).filter(|counts| counts.lag == 0)
    })
    .await;
    assert_eq!((counts.enabled, counts.longest_lag), (3, 0));
    assert!(world.webhooks.counts(|_| false).await.unwrap().lag > 0, "it is behind");

    pause.send_replace(Some(HashSet::new()));
    eventually("the rest arrives", async || (receiver.positions() == [1, 2, 2, 3, 4]).then_some(())).await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_not_tried_while_its_tenant_is_suspended() {
    // Longer than the test: it is tried again only if it is enabled again.
    let backoff = Backoff { first: Duration::from_mins(10), longest: Duration::from_mins(10) };
    let (world, pause) = pausing(Some(HashSet::new()), Settings { backoff, ..quick() }).await;
    let broken = Receiver::answering(|_, _| Reply::Status("503 Service Unavailable")).await;
    let created = world.endpoint(&broken.url).await;
    world.append(1).await;
    eventually("it failed", async || (world.find(created.id).await.attempts == 1).then_some(())).await;
    pause.send_replace(Some(HashSet::from([world.tenant])));
    world.act(EndpointCommand::Enable { id: created.id }).await;
    others_get_theirs(&world).await;
    assert_eq!(broken.got().len(), 1);
    pause.send_replace(Some(HashSet::new()));
    eventually("it is tried again", async || (broken.got().len() == 2).then_some(())).await;
}

#[tokio::test]
async fn nothing_is_delivered_before_it_is_known_who_is_suspended() {
    let (world, pause) = pausing(None, quick()).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    world.endpoint(&receiver.url).await;
    let others = testbed::tenant();
    let act = EndpointCommand::Create { fields: fields(&other.url), after: Some(Position::START) };
    world.webhooks.carry_out(&request(others, Role::Admin), act).await.unwrap();
    world.append(1).await;
    world.append_as(others, "demo.lamp.lit", 1).await;
    pause.send_replace(Some(HashSet::from([world.tenant])));
    eventually("the other one has its event", async || (other.got().len() == 1).then_some(())).await;
    others_get_theirs(&world).await;
    assert_eq!(receiver.got().len(), 0);
    pause.send_replace(Some(HashSet::new()));
    eventually("it arrives", async || (receiver.positions() == [1]).then_some(())).await;
}
