//! A large import of one tenant must not delay another tenant. Measured in events that are ahead of the other tenant's event, in the log and
//! in the read model, because durations depend on the machine; `make bench` measures durations.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use sqlx::PgPool;

use crate::world::World;

/// Rows per chunk of an import. Each chunk is one append.
const CHUNK: u64 = 100;
/// Rows per file. `INOPSIO_FAIRNESS_ROWS` sets another number, up to the limit of an import, 100,000.
const ROWS: u64 = 4_000;
/// Files are imported one after another until the other tenant has sent this number of commands.
const COMMANDS: usize = 11;
/// Maximum number of files. If it is reached, the other tenant makes no progress.
const FILES: u64 = 12;

async fn number(superuser: &PgPool, query: &str) -> u64 {
    sqlx::query_scalar::<_, i64>(query).fetch_one(superuser).await.unwrap().cast_unsigned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ahead_of_a_tenant_does_not_grow_with_the_file_that_another_imports() {
    let rows = std::env::var("INOPSIO_FAIRNESS_ROWS").map_or(ROWS, |text| text.parse().unwrap());
    let mut world = World::new().await;
    let (importing, other) = (world.tenant("importing"), world.tenant("other"));
    world.start(0).await;
    let superuser = PgPool::connect_with(world.superuser()).await.unwrap();
    let file = |number: u64| {
        let mut csv = "name,email\n".to_owned();
        for row in 0..rows {
            let _ = writeln!(csv, "Lead {row} of {number},lead-{number}-{row}@example.com");
        }
        csv
    };

    let (imported, beside) = (AtomicBool::new(false), AtomicUsize::new(0));
    let import = async {
        for number in 0..FILES {
            let report = importing.upload(&format!("file {number}"), "/v1/crm/leads/import", file(number)).await;
            assert_eq!((report.status.as_u16(), &report.body["taken"]), (200, &json!(rows)), "{report:?}");
            if beside.load(Ordering::Relaxed) >= COMMANDS {
                break;
            }
        }
        imported.store(true, Ordering::Relaxed);
    };
    let asking = async {
        let (mut in_log, mut in_view) = (Vec::new(), Vec::new());
        while !imported.load(Ordering::Relaxed) {
            let before = number(&superuser, "SELECT position FROM log.head").await;
            let done = other.done("/v1/crm/leads", json!({ "name": format!("Theirs {}", in_log.len()) })).await;
            let shown =
                number(&superuser, "SELECT min(position) FROM projector.checkpoints WHERE projection = 'leads'").await;
            in_log.push(done.position() - before - 1);
            in_view.push(done.position().saturating_sub(shown));
            beside.fetch_add(1, Ordering::Relaxed);
            // Read the write before the next command.
            other.ask(&format!("lead(id: \"{}\") {{ version }}", done.id()), done.position()).await;
        }
        (in_log, in_view)
    };
    let ((), (in_log, in_view)) = tokio::join!(import, asking);
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or_default();
    println!(
        "{} commands beside files of {rows} rows: at most {} events ahead in the log, {} in the view",
        in_log.len(),
        most(&in_log),
        most(&in_view)
    );
    assert!(in_log.len() >= COMMANDS, "{} commands beside {FILES} files", in_log.len());
    // At most the chunk that is being written and one that came in between.
    assert!(most(&in_log) <= 2 * CHUNK, "{in_log:?}");
    // At most one chunk that the view has not applied, and two as above.
    assert!(most(&in_view) <= 3 * CHUNK, "{in_view:?}");
    world.verify(&other).await;
    world.stop(0).await;
}
