//! Tenants move from one cell to another under load: two Postgres clusters, two nats-servers, and a front that routes requests.

use std::time::{Duration, Instant};

use kernel::RecordedEvent;
use rand::Rng;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use testbed::{Hold, eventually};
use uuid::Uuid;

use crate::client::Client;
use crate::ledger::{self, Answered, Commands, Verdict};
use crate::load::Load;
use crate::world::World;
use crate::{log, stream};

const CLIENTS: usize = 4;
const CELL: usize = 1;
const FRONT: usize = 0;

/// Maximum pause of writes. It takes at most 2 seconds on an idle machine, but other tests with servers of their own run beside this one,
/// so allow ten times that. This finds a pause that hangs or that grows with the tenant; `inopsio tenant move` reports its length.
const PAUSED: Duration = Duration::from_secs(20);

/// Two cells, and a front that is configured in the first one's world.
struct Cells {
    west: World,
    east: World,
}

impl Cells {
    async fn new() -> Self {
        let mut west = World::new().await;
        west.set("INOPSIO_CELL", "west".to_owned());
        let mut east = World::another_cell(&west, "east").await;
        let ports = [testbed::free_port(), testbed::free_port()];
        let section = |name: &str, world: &World, port: u16| {
            format!(
                "[cells.{name}]\nurls = \"http://127.0.0.1:{port}\"\nadmin_url = \"{}\"\nnats_url = \"{}\"\n",
                format_args!("postgres://postgres@127.0.0.1:{}/postgres", world.postgres.port()),
                world.nats.url(),
            )
        };
        let file = section("west", &west, ports[0]) + &section("east", &east, ports[1]);
        std::fs::write(west.folder().join("inopsio.toml"), file).unwrap();
        west.start_cell(CELL, ports[0]).await;
        east.start_cell(CELL, ports[1]).await;
        west.start_front(FRONT).await;
        Self { west, east }
    }

    /// Creates a tenant in a cell. Returns a client that uses the front, and the tenant's id.
    fn tenant(&self, cell: &World, slug: &str) -> (Client, Uuid) {
        let made = cell.ok(&["--format", "json", "tenant", "create", slug]);
        let made: Value = serde_json::from_str(&made).unwrap();
        (self.west.client(slug), made["tenant_id"].as_str().unwrap().parse().unwrap())
    }

    /// Moves a tenant. Returns the command's report.
    fn relocate(&self, slug: &str, to: &str) -> Value {
        serde_json::from_str(&self.west.ok(&["--format", "json", "tenant", "move", slug, "--to", to])).unwrap()
    }

    /// Begins to move a tenant, and kills the command when `hold` stops its transaction.
    async fn killed(&self, slug: &str, hold: Hold) {
        let mut mover = self.west.spawn(&["tenant", "move", slug, "--to", "east"]);
        hold.reached().await;
        mover.kill().unwrap();
        mover.wait().unwrap();
        hold.end().await;
    }
}

/// The commands of a tenant's load, with their positions.
async fn commands_of(superuser: &mut PgConnection, tenant: Uuid) -> Commands {
    sqlx::query(
        "SELECT command_id, last_position FROM log.commands WHERE tenant_id = $1 AND command_id LIKE 'client-%'",
    )
    .bind(tenant)
    .map(|row: PgRow| (row.get(0), row.get::<i64, _>(1).cast_unsigned()))
    .fetch_all(superuser)
    .await
    .unwrap()
    .into_iter()
    .collect()
}

/// A tenant's events in a log: those of its load, and the others.
fn events_of(events: &[RecordedEvent], tenant: Uuid) -> (Vec<RecordedEvent>, Vec<RecordedEvent>) {
    let by_load = |event: &RecordedEvent| event.decode_metadata().unwrap().command_id.starts_with("client-");
    events.iter().filter(|event| event.tenant.uuid() == tenant).cloned().partition(by_load)
}

/// Audits a load against the log of the cell in which the tenant lives now. Answers from before the move have positions of the old cell;
/// they are checked there and then replaced by the new ones.
async fn audit(answered: &[Answered], tenant: Uuid, before: &mut PgConnection, now: &mut PgConnection) -> Verdict {
    let (there, here) = (commands_of(before, tenant).await, commands_of(now, tenant).await);
    let events = log::verified(now).await;
    let (by_load, _) = events_of(&events, tenant);
    let mut answered = answered.to_vec();
    for one in &mut answered {
        let (Some(old), Some(new)) = (there.get(&one.key), here.get(&one.key)) else { continue };
        let told = one.answer.body["position"].as_u64();
        assert!(told == Some(*old) || told == Some(*new), "{}: told {told:?}, it is at {old} and {new}", one.key);
        one.answer.body["position"] = (*new).into();
    }
    ledger::audit(&answered, &by_load, here)
}

fn assert_good(verdict: &Verdict) {
    println!("{verdict:?}");
    let Verdict { acknowledged, refused, .. } = *verdict;
    assert!(acknowledged > 50, "that was no load: {verdict:?}");
    assert_eq!(*verdict, Verdict { acknowledged, refused, ..Verdict::default() });
}

async fn count(world: &World, tenant: Uuid) -> i64 {
    let count = "SELECT count(*) FROM log.events WHERE tenant_id = $1";
    sqlx::query_scalar(count).bind(tenant).fetch_one(&mut world.sql().await).await.unwrap()
}

/// Waits until a tenant has this number of further events in a cell.
async fn grows(world: &World, tenant: Uuid, by: i64) {
    let before = count(world, tenant).await;
    eventually(&format!("the tenant has {by} more events"), async || {
        (count(world, tenant).await >= before + by).then_some(())
    })
    .await;
}

/// Enables the follow-up of qualified leads: sagas that run for days.
async fn follows_up(client: &Client) {
    let policy =
        json!({ "escalate_after_days": 3, "escalate_to": "boss", "reassign_after_days": 2, "reassign_to": "other" });
    client.done("/v1/crm/follow-up/set", policy).await;
}

/// Checks that every lead that was qualified after that has exactly one saga with a timer in this cell.
async fn every_saga_goes_on(world: &World, tenant: Uuid) {
    let asked = "SELECT (SELECT count(*) FROM log.events WHERE tenant_id = $1 AND event_type = 'crm.lead.qualified'),
                        (SELECT count(*) FROM log.events
                         WHERE tenant_id = $1 AND aggregate_type = 'crm.saga' AND sequence = 1),
                        (SELECT count(*) FROM saga.instances WHERE tenant_id = $1 AND wake_at IS NOT NULL),
                        (SELECT count(*) FROM (
                             SELECT DISTINCT ON (aggregate_id) event_type FROM log.events
                             WHERE tenant_id = $1 AND aggregate_type = 'crm.saga' ORDER BY aggregate_id, sequence DESC) l
                         WHERE event_type = 'crm.saga.step_waiting'),
                        (SELECT position FROM saga.checkpoint) >= (SELECT position FROM log.head)";
    let found =
        eventually("each qualified lead has its saga, which waits, and nothing is left to be looked at", async || {
            let row = sqlx::query(asked).bind(tenant).fetch_one(&mut world.sql().await).await.unwrap();
            let counts: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
            (counts.iter().all(|count| *count == counts[0]) && row.get(4)).then_some(counts)
        });
    println!("qualified, sagas, timers, waiting: {:?}", found.await);
}

/// Checks that leads that were qualified without the policy have no saga, after the sagas have read the whole log.
async fn nothing_was_followed_up(world: &World, tenant: Uuid) {
    let followed = "SELECT position >= (SELECT position FROM log.head) FROM saga.checkpoint";
    eventually("the log was followed", async || {
        let followed: bool = sqlx::query_scalar(followed).fetch_one(&mut world.sql().await).await.unwrap();
        followed.then_some(())
    })
    .await;
    let asked = "SELECT (SELECT count(*) FROM log.events WHERE tenant_id = $1 AND event_type = 'crm.lead.qualified'),
                        (SELECT count(*) FROM log.events WHERE tenant_id = $1 AND aggregate_type = 'crm.saga')";
    let row = sqlx::query(asked).bind(tenant).fetch_one(&mut world.sql().await).await.unwrap();
    let (qualified, sagas): (i64, i64) = (row.get(0), row.get(1));
    assert!(qualified > 0 && sagas == 0, "{qualified} qualified leads, {sagas} events of sagas");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_move_of_a_tenant_under_load_loses_doubles_and_reorders_nothing_and_disturbs_nobody() {
    let mut cells = Cells::new().await;
    let (acme, id) = cells.tenant(&cells.west, "acme");
    let (beside, beside_id) = cells.tenant(&cells.west, "beside");
    let (there, there_id) = cells.tenant(&cells.east, "there");
    follows_up(&acme).await;
    let hook = json!({ "url": "http://127.0.0.1:9/nobody", "types": ["crm.account.*"], "service": "crm" });
    let hook = acme.done("/v1/events/webhooks", hook).await;
    let first = acme.done("/v1/crm/leads", json!({ "name": "the first" })).await;
    let seed = rand::rng().random();
    let loads = [(&acme, 0), (&beside, 1), (&there, 2)]
        .map(|(client, nth)| Load::numbered(client, nth * CLIENTS..(nth + 1) * CLIENTS, seed));
    grows(&cells.west, id, 300).await;
    grows(&cells.east, there_id, 20).await;

    let moved = tokio::task::block_in_place(|| cells.relocate("acme", "east"));
    println!("moved: {moved}");
    let paused = Duration::from_secs_f64(moved["paused_seconds"].as_f64().unwrap());
    assert!(paused < PAUSED, "paused for {paused:?}");
    grows(&cells.east, id, 100).await;
    grows(&cells.west, beside_id, 20).await;
    let [of_acme, of_beside, of_there] = futures::future::join_all(loads.map(Load::end)).await.try_into().unwrap();

    // Sagas of the last leads may still start and append events, so wait for them before the log is read.
    every_saga_goes_on(&cells.east, id).await;
    let (mut west, mut east) = (cells.west.sql().await, cells.east.sql().await);
    let verdicts = [
        audit(&of_acme, id, &mut west, &mut east).await,
        audit(&of_beside, beside_id, &mut east, &mut west).await,
        audit(&of_there, there_id, &mut west, &mut east).await,
    ];
    verdicts.iter().for_each(assert_good);

    // Stored answers have moved: the same key gets the same answer. A position of the old cell does not make a query wait for ever.
    let again = acme.done("/v1/crm/leads", json!({ "name": "the first" })).await;
    assert_eq!(again.id(), first.id());
    let found = acme.ask(&format!("lead(id: \"{}\") {{ name }}", first.id()), 1_000_000).await;
    assert_eq!(found["lead"]["name"], "the first");
    let hooks = acme.get("/v1/events/webhooks").await;
    assert!(hooks.body.to_string().contains(hook.id()), "{hooks:?}");

    // The old copy serves nobody, and nothing is written there.
    let before = count(&cells.west, id).await;
    let old = cells.west.direct(CELL, "acme");
    let refused = old.post_once("a key", "/v1/crm/leads", &json!({ "name": "stray" })).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "tenant_elsewhere"));
    assert_eq!(count(&cells.west, id).await, before);
    old_copy_is_nobodys_history(&cells).await;

    // The streams equal the logs, and the read models equal a rebuild.
    let beside = cells.west.direct(CELL, "beside");
    cells.west.verify(&beside).await;
    let direct = cells.east.direct(CELL, "acme");
    cells.east.verify(&direct).await;

    // A tenant without sagas moves too. The tenants that already live there get sagas only for events from now on: earlier events are not
    // read again.
    follows_up(&there).await;
    let (_, idle) = cells.tenant(&cells.west, "idle");
    tokio::task::block_in_place(|| cells.relocate("idle", "east"));
    let wakes =
        cells.east.direct(CELL, "idle").post("wakes", "/v1/crm/accounts", &json!({ "name": "the first" })).await;
    assert!(wakes.status.is_success(), "{wakes:?}");
    assert_eq!(count(&cells.east, idle).await, 1);
    nothing_was_followed_up(&cells.east, there_id).await;

    // Enable the policy for the neighbour. Its leads that are already qualified must not be followed up.
    follows_up(&beside).await;
    purged(&cells.west, &cells, id).await;
    // Move back to the cell where only the encrypted history is left: keys, claims, answers and read models must be complete again.
    println!("moved back: {}", tokio::task::block_in_place(|| cells.relocate("acme", "west")));
    cells.west.verify(&cells.west.direct(CELL, "acme")).await;
    every_saga_goes_on(&cells.west, id).await;
    nothing_was_followed_up(&cells.west, beside_id).await;
    let found = acme.ask(&format!("lead(id: \"{}\") {{ name }}", first.id()), 1).await;
    assert_eq!(found["lead"]["name"], "the first");
    cells.west.stop(FRONT).await;
    cells.west.stop(CELL).await;
    cells.east.stop(CELL).await;
}

/// Commands that are given in the cell in which acme lived do not take the old copy for its history, and copy nothing of it.
async fn old_copy_is_nobodys_history(cells: &Cells) {
    let tenants = "SELECT count(DISTINCT tenant_id) FROM log.events";
    let before: i64 = sqlx::query_scalar(tenants).fetch_one(&mut cells.west.sql().await).await.unwrap();
    let commands: [&[&str]; 3] = [
        &["replay", "--tenant", "acme", "--service", "crm"],
        &["audit", "export", "--tenant", "acme", "--service", "crm"],
        &["restore", "--tenant", "acme", "--into", "acme-copy"],
    ];
    for command in commands {
        let ended = tokio::task::block_in_place(|| cells.west.run(command));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("lives in the cell east"), "{command:?}: {said}");
        assert!(ended.stdout.is_empty(), "{command:?}");
    }
    let after: i64 = sqlx::query_scalar(tenants).fetch_one(&mut cells.west.sql().await).await.unwrap();
    assert_eq!(before, after, "something was copied");
    let replayed = tokio::task::block_in_place(|| cells.east.ok(commands[0]));
    assert!(replayed.contains("crm.lead.captured"), "it lives there");
}

/// Purges the old copy, which must succeed once. Its events stay.
async fn purged(world: &World, cells: &Cells, id: Uuid) {
    let before = count(world, id).await;
    tokio::task::block_in_place(|| cells.west.ok(&["tenant", "move", "acme", "--purge"]));
    let left = "SELECT (SELECT count(*) FROM log.commands WHERE tenant_id = $1) + (SELECT count(*) FROM log.claims WHERE tenant_id = $1)
                     + (SELECT count(*) FROM crm.lead WHERE tenant_id = $1)";
    let left: i64 = sqlx::query_scalar(left).bind(id).fetch_one(&mut world.sql().await).await.unwrap();
    assert_eq!((left, count(world, id).await), (0, before));
    let again = tokio::task::block_in_place(|| cells.west.run(&["tenant", "move", "acme", "--purge"]));
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("no old copy"));
}

/// A lead as GraphQL shows it.
async fn lead_of(client: &Client, lead: &str) -> Value {
    let question = format!("lead(id: \"{lead}\") {{ name status owner }}");
    // The front may need a moment to learn where the tenant lives.
    let answer = eventually("its tenant is answered for", async || {
        let answer = client.ask_once(&question, 1).await?;
        (answer.status.is_success() && answer.body.get("errors").is_none()).then_some(answer)
    });
    answer.await.body["data"]["crm"]["lead"].take()
}

/// Assigns a lead in a way that the read model of the old cell can't apply. Returns the dead letter's id.
async fn assigned_to_nobody(cells: &Cells, acme: &Client, tenant: Uuid, lead: &str) -> String {
    let assigned = acme.done(&format!("/v1/crm/leads/{lead}/assign"), json!({ "owner": "nobody" })).await;
    let letter = format!("projection.leads.{}", assigned.position());
    eventually("it is parked where the tenant lives", async || {
        let parked = "SELECT count(*) FROM dead.letters WHERE tenant_id = $1 AND state = 'parked' AND consumer = 'projection.leads'";
        let parked: i64 = sqlx::query_scalar(parked).bind(tenant).fetch_one(&mut cells.west.sql().await).await.unwrap();
        (parked == 1).then_some(())
    })
    .await;
    letter
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_move_to_a_program_that_takes_what_had_to_be_decided_heeds_what_was_decided_also_meanwhile() {
    let mut cells = Cells::new().await;
    let (acme, id) = cells.tenant(&cells.west, "acme");
    let (neighbour, _) = cells.tenant(&cells.east, "neighbour");
    neighbour.done("/v1/crm/leads", json!({ "name": "a neighbour" })).await;
    let mut leads = Vec::new();
    for name in ["discarded before", "edited before", "discarded meanwhile", "edited in the pause"] {
        leads.push(acme.done("/v1/crm/leads", json!({ "name": name })).await.id().to_owned());
    }
    // Make the read model of the old cell unable to apply an event that the new one can.
    sqlx::query("ALTER TABLE crm.lead ADD CONSTRAINT older CHECK (owner <> 'nobody') NOT VALID")
        .execute(&mut cells.west.sql().await)
        .await
        .unwrap();
    let decide = |letter: &str, edited: bool| {
        let file = cells.west.folder().join("mended.json");
        std::fs::write(&file, json!({ "event": "crm.lead.assigned", "owner": "grace" }).to_string()).unwrap();
        let (file, reason) = (file.to_str().unwrap(), ["--reason", "nobody has it"]);
        let decision = if edited { vec!["edit", "--payload", file] } else { vec!["discard"] };
        let arguments = [&["dlq"][..], &decision[..1], &["--tenant", "acme", letter], &decision[1..], &reason].concat();
        tokio::task::block_in_place(|| cells.west.ok(&arguments));
    };
    for (nth, edited) in [(0, false), (1, true)] {
        let letter = assigned_to_nobody(&cells, &acme, id, &leads[nth]).await;
        decide(&letter, edited);
        settled(&cells.west, id).await;
    }
    let (east, west) = (cells.east.superuser(), cells.west.superuser());
    let copying = Hold::on(&east, "INSERT", "log.events", "true").await;
    let mut mover = cells.west.spawn(&["tenant", "move", "acme", "--to", "east"]);
    copying.reached().await;
    let letter = assigned_to_nobody(&cells, &acme, id, &leads[2]).await;
    decide(&letter, false);
    settled(&cells.west, id).await;
    // Kill the move just before the pause, after the decisions were copied, and decide once more: the next run has to copy that too.
    let counting = Hold::on(&west, "INSERT", "log.closed", "NEW.state = 'paused'").await;
    copying.end().await;
    counting.reached().await;
    mover.kill().unwrap();
    mover.wait().unwrap();
    counting.end().await;
    let letter = assigned_to_nobody(&cells, &acme, id, &leads[3]).await;
    decide(&letter, true);
    settled(&cells.west, id).await;
    println!("moved: {}", tokio::task::block_in_place(|| cells.relocate("acme", "east")));

    for (lead, expected) in
        leads.iter().zip([("NEW", None), ("ASSIGNED", Some("grace")), ("NEW", None), ("ASSIGNED", Some("grace"))])
    {
        let (status, owner) = expected;
        let found = lead_of(&acme, lead).await;
        assert_eq!((&found["status"], found["owner"].as_str()), (&json!(status), owner), "{found}");
    }
    let direct = cells.east.direct(CELL, "acme");
    cells.east.verify(&direct).await;
    cells.west.stop(FRONT).await;
    cells.west.stop(CELL).await;
    cells.east.stop(CELL).await;
}

/// Waits until none of a tenant's events is parked.
async fn settled(world: &World, tenant: Uuid) {
    eventually("nothing is parked", async || {
        let parked = "SELECT count(*) FROM dead.letters WHERE tenant_id = $1 AND state IN ('parked', 'waiting')";
        let parked: i64 = sqlx::query_scalar(parked).bind(tenant).fetch_one(&mut world.sql().await).await.unwrap();
        (parked == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_move_killed_in_each_phase_leaves_the_tenant_in_one_cell_and_goes_on_or_is_undone() {
    let mut cells = Cells::new().await;
    let (acme, id) = cells.tenant(&cells.west, "acme");
    follows_up(&acme).await;
    let load = Load::start(&acme, CLIENTS, rand::rng().random());
    grows(&cells.west, id, 100).await;
    let (west, east) = (cells.west.superuser(), cells.east.superuser());
    let directory = cells.west.postgres.admin().database("inopsio_directory");

    let before = [
        ("history is copied", Hold::on(&east, "INSERT", "log.events", "true")),
        ("the pause begins", Hold::on(&west, "INSERT", "log.closed", "NEW.state = 'paused'")),
        (
            "the pause is held",
            Hold::on(&west, "UPDATE", "log.closed", "NEW.state = 'paused' AND NEW.until = 'infinity'"),
        ),
        ("the map turns", Hold::on(&directory, "INSERT", "placements", "NEW.cell IS NOT NULL")),
    ];
    for (phase, hold) in before {
        cells.killed("acme", hold.await).await;
        // A pause ends by itself, until it is made permanent for the switch.
        if phase == "the map turns" {
            tokio::task::block_in_place(|| cells.west.ok(&["tenant", "move", "acme", "--undo"]));
            let again = tokio::task::block_in_place(|| cells.west.run(&["tenant", "move", "acme", "--undo"]));
            assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("not being moved"));
            let noted = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'moving_%'";
            let noted: i64 = sqlx::query_scalar(noted).fetch_one(&mut cells.west.sql().await).await.unwrap();
            assert_eq!(noted, 0, "what is touched is noted only while somebody moves");
            purged(&cells.east, &cells, id).await;
        }
        let began = Instant::now();
        grows(&cells.west, id, 20).await;
        println!("killed when {phase}: the tenant writes where it was, after {:?}", began.elapsed());
    }
    let after = [
        ("the old copy is closed", Hold::on(&west, "UPDATE", "log.closed", "NEW.state = 'left'")),
        ("the tenant is let in", Hold::on(&east, "DELETE", "log.closed", "OLD.state = 'arriving'")),
    ];
    for (phase, hold) in after {
        cells.killed("acme", hold.await).await;
        let (here, there) = (count(&cells.west, id).await, count(&cells.east, id).await);
        assert_eq!(here, there, "killed when {phase}");
        let too_late = tokio::task::block_in_place(|| cells.west.run(&["tenant", "move", "acme", "--undo"]));
        assert!(
            !too_late.status.success() && String::from_utf8_lossy(&too_late.stderr).contains("lives in the cell east")
        );
        println!("killed when {phase}: nobody writes, in neither cell");
    }
    let here = count(&cells.west, id).await;
    tokio::task::block_in_place(|| cells.relocate("acme", "east"));
    grows(&cells.east, id, 50).await;
    let answered = load.end().await;

    assert_eq!(count(&cells.west, id).await, here, "something was written where the tenant does not live any more");
    // Sagas of the last leads may still start and append events, so wait for them before the log is read.
    every_saga_goes_on(&cells.east, id).await;
    let verdict = audit(&answered, id, &mut cells.west.sql().await, &mut cells.east.sql().await).await;
    assert_good(&verdict);
    let events = log::verified(&mut cells.east.sql().await).await;
    stream::assert_is(&cells.east.bus().await, &events).await;

    cells.east.verify(&cells.east.direct(CELL, "acme")).await;

    // There and back again.
    println!("moved back: {}", tokio::task::block_in_place(|| cells.relocate("acme", "west")));
    // The cell learns of the move within a moment, and refuses the tenant until then.
    let mut home = cells.west.direct(CELL, "acme");
    let again = home.post("home again", "/v1/crm/leads", &json!({ "name": "home again" })).await;
    assert!(again.status.is_success(), "{again:?}");
    cells.west.stop(FRONT).await;
    cells.west.stop(CELL).await;
    cells.east.stop(CELL).await;
}
