//! Upcasting: a history that an older program wrote is loaded as current events.

use executor::{Command, Work};
use kernel::{AggregateType, Refusal, Versions};
use testbed::lanterns::{self, Lantern, LanternCommand};

use super::support::World;

/// Switches a lantern off.
struct Dim(&'static str);

impl Command for Dim {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = Lantern;

    async fn run(&self, work: &mut Work<'_>) -> Result<Lantern, Refusal> {
        let before = work.read::<Lantern>(self.0).await?;
        work.update::<Lantern>(self.0, LanternCommand::Dim).await?;
        Ok(Lantern::clone(&before))
    }
}

#[tokio::test]
async fn a_retired_event_is_loaded_as_the_several_it_stands_for_and_counts_once() {
    let world = World::new().await;
    lanterns::append(&world.store, world.tenant).await;
    for (id, today, version) in lanterns::today() {
        let loaded = world.executor.load::<Lantern>(&world.request().caller, id).await.unwrap().unwrap();
        assert_eq!((loaded.0.as_ref(), loaded.1), (&today, version));
        // `inopsio show` makes its state in the same way.
        let stored = world.store.load(world.tenant, "demo.lantern", id, 0).await.unwrap();
        let shown = (AggregateType::of::<Lantern>().state)(&stored).unwrap();
        assert_eq!(shown, serde_json::to_value(&today).unwrap());

        // Sequence numbers continue from the stored events, not from the upcast ones, in the cache and in the log.
        let request = executor::Request { if_match: Some(Versions::from(version)), ..world.request() };
        let done = world.elsewhere().execute(&request, &Dim(id)).await.unwrap();
        assert_eq!((&done.answer, done.version), (&today, version + 1));
        let again = world.done(&world.request(), &Dim(id)).await;
        assert_eq!(again.version, version + 1, "nothing to do any more");
        let stored = world.store.load(world.tenant, "demo.lantern", id, version).await.unwrap();
        assert_eq!(stored.iter().map(|event| event.sequence).collect::<Vec<_>>(), [version + 1]);
    }
}
