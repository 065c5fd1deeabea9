//! Concurrent writers and processes: the log decides, never a cache.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use executor::{Command, Executor, Request, Work};
use futures::future::join_all;
use kernel::{Kind, Refusal, Versions};
use uuid::Uuid;

use super::lamp::{Dim, Dust, DustChandelier, Lamp, LampCommand, Light};
use super::support::World;

#[tokio::test]
async fn a_stale_cache_refuses_nothing_that_the_log_allows() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.done(&world.request(), &Light(lamp)).await;
    world.elsewhere().execute(&world.request(), &Dim(lamp)).await.unwrap();
    // This process still has the lit state in its cache.
    assert_eq!(world.done(&world.request(), &Light(lamp)).await.version, 4);
}

#[tokio::test]
async fn a_stale_cache_does_not_take_something_for_done() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.elsewhere().execute(&world.request(), &Light(lamp)).await.unwrap();
    // This process still has the dim state in its cache.
    let done = world.done(&world.request(), &Dim(lamp)).await;
    assert_eq!(done.version, 3);
    assert_eq!(world.events(lamp).await[2].event_type, "demo.lamp.dimmed");
}

#[tokio::test]
async fn a_conflict_is_decided_again_on_the_current_state() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let elsewhere = world.elsewhere();
    elsewhere.execute(&world.request(), &Light(lamp)).await.unwrap();
    // Version 1 is cached here, where lighting is still allowed.
    assert_eq!(world.refused(&world.request(), &Light(lamp)).await.code(), "lamp_lit");
    elsewhere.execute(&world.request(), &Dust(lamp)).await.unwrap();
    assert_eq!(world.done(&world.request(), &Dust(lamp)).await.version, 4);
}

/// Dusts a lamp, and has another writer dust it in the middle of each attempt.
struct Interrupted {
    lamp: Uuid,
    other: Executor,
    request: Request,
    attempts: AtomicU32,
    interruptions: u32,
}

impl Command for Interrupted {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Lamp>(self.lamp, LampCommand::Dust).await?;
        if self.attempts.fetch_add(1, Ordering::Relaxed) < self.interruptions {
            self.other.execute(&self.request, &Dust(self.lamp)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn three_retries_and_no_more() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let interrupted = |interruptions| Interrupted {
        lamp,
        other: world.elsewhere(),
        request: world.request(),
        attempts: AtomicU32::new(0),
        interruptions,
    };
    let patient = interrupted(3);
    assert_eq!(world.done(&world.request(), &patient).await.version, 5);
    assert_eq!(patient.attempts.into_inner(), 4);

    let hopeless = interrupted(4);
    let refusal = world.executor.execute(&world.request(), &hopeless).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "changed_meanwhile"));
    assert_eq!(hopeless.attempts.into_inner(), 4);
    assert_eq!(world.events(lamp).await.len(), 9, "the others' four, none of its own");

    let insisting = interrupted(1);
    let request = Request { if_match: Some(Versions::from(9)), ..world.request() };
    let refusal = world.executor.execute(&request, &insisting).await.unwrap_err();
    assert_eq!((refusal.code(), &refusal.extra()["version"]), ("version_differs", &10.into()));
    assert_eq!(insisting.attempts.into_inner(), 1, "with If-Match nothing is tried again");

    // It succeeds if `If-Match` also names the version that the lamp has by then.
    let content = interrupted(1);
    let request = Request { if_match: Some([10, 11].into_iter().collect()), ..world.request() };
    assert_eq!(world.done(&request, &content).await.version, 12);
    assert_eq!(content.attempts.into_inner(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_each_is_done_or_refused_and_none_is_lost() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let tasks = (0..64).map(|number| {
        let executor = if number % 2 == 0 { world.executor.clone() } else { world.elsewhere() };
        let request = world.request();
        tokio::spawn(async move { executor.execute(&request, &Dust(lamp)).await })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let mut versions: Vec<u64> = outcomes.iter().flatten().map(|done| done.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..2 + versions.len() as u64).collect::<Vec<_>>(), "no version twice");
    assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|refusal| refusal.code() == "changed_meanwhile"));
    assert_eq!(world.events(lamp).await.len(), 1 + versions.len());
}

/// Dusts a lamp if another one was neither lit nor dusted, and has another writer do something in the middle of the first attempt.
struct Relying<C> {
    lamp: Uuid,
    on: String,
    other: Executor,
    request: Request,
    meanwhile: Option<C>,
    interrupted: AtomicBool,
}

impl<C> Relying<C> {
    fn new(world: &World, lamp: Uuid, on: impl ToString, meanwhile: Option<C>) -> Self {
        let (other, request) = (world.elsewhere(), world.request());
        Self { lamp, on: on.to_string(), other, request, meanwhile, interrupted: AtomicBool::new(false) }
    }
}

impl<C: Command> Command for Relying<C> {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        if work.rely::<Lamp>(&self.on).await?.is_some_and(|on| on.lit || on.dusted > 0) {
            return Err(Refusal::conflict("lamp_in_use", "the other lamp is in use"));
        }
        work.update::<Lamp>(self.lamp, LampCommand::Dust).await?;
        if let (Some(meanwhile), false) = (&self.meanwhile, self.interrupted.swap(true, Ordering::Relaxed)) {
            self.other.execute(&self.request, meanwhile).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_a_command_relies_on_is_what_the_log_has_when_the_command_is_stored() {
    let world = World::new().await;
    let (desk, hall) = (world.lamp("desk").await, world.lamp("hall").await);
    let nothing = || None::<Light>;
    assert_eq!(world.done(&world.request(), &Relying::new(&world, desk, hall, nothing())).await.version, 2);
    // Changed in another process long before: this process still has the dim state in its cache.
    world.elsewhere().execute(&world.request(), &Light(hall)).await.unwrap();
    let refusal = world.refused(&world.request(), &Relying::new(&world, desk, hall, nothing())).await;
    assert_eq!(refusal.code(), "lamp_in_use");
    // Changed while the command ran; and an aggregate that was absent was created.
    let bath = world.lamp("bath").await;
    let raced = Relying::new(&world, desk, bath, Some(Light(bath)));
    let refusal = world.executor.execute(&world.request(), &raced).await.unwrap_err();
    assert_eq!(refusal.code(), "lamp_in_use");
    assert_eq!(world.done(&world.request(), &Relying::new(&world, desk, "chandelier", nothing())).await.version, 3);
    let raced = Relying::new(&world, desk, "chandelier", Some(DustChandelier));
    let refusal = world.executor.execute(&world.request(), &raced).await.unwrap_err();
    assert_eq!(refusal.code(), "lamp_in_use");
    assert_eq!(world.events(desk).await.len(), 3, "nothing of what was refused was written");
    // With `If-Match`: the version that differs is not that of the matched aggregate, so the command is retried. The state that it relies
    // on may be as before again.
    let attic = world.lamp("attic").await;
    world.elsewhere().execute(&world.request(), &Light(attic)).await.unwrap();
    world.elsewhere().execute(&world.request(), &Dim(attic)).await.unwrap();
    let matching = Request { if_match: Some(Versions::from(3)), ..world.request() };
    assert_eq!(world.done(&matching, &Relying::new(&world, desk, attic, nothing())).await.version, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_rely_on_the_same_are_all_done() {
    let world = World::new().await;
    let hall = world.lamp("hall").await;
    let mut lamps = Vec::new();
    for number in 0..32 {
        lamps.push(world.lamp(&format!("lamp {number}")).await);
    }
    let done = lamps.iter().map(|lamp| {
        let (executor, request) = (world.executor.clone(), world.request());
        let relying = Relying::new(&world, *lamp, hall, None::<Light>);
        async move { executor.execute(&request, &relying).await }
    });
    let done = join_all(done).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}
