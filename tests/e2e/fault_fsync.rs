//! Failing `fsync` calls of Postgres.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rand::Rng;
use testbed::{Postgres, eventually};

use crate::ledger;
use crate::load::Load;
use crate::requirements::{Right, skip};
use crate::world::World;

const CLIENTS: usize = 8;

/// Makes every fsync of a server and its children fail with EIO, until it is dropped.
struct FailingSyncs {
    strace: Child,
    said: PathBuf,
}

impl FailingSyncs {
    fn of(pids: &[u32], said: &Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-o"]);
        strace.arg(said).args(pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]));
        let strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { strace, said: said.to_owned() }
    }

    /// Waits until a sync has failed. Returns an error if strace can't attach here.
    async fn have_failed(&mut self) -> Result<(), String> {
        let (strace, said) = (Mutex::new(&mut self.strace), &self.said);
        eventually("a sync fails", async || {
            if std::fs::read_to_string(said).is_ok_and(|said| said.contains("INJECTED")) {
                return Some(Ok(()));
            }
            let ended = strace.lock().unwrap().try_wait().unwrap();
            ended.map(|status| Err(format!("strace ended: {status}")))
        })
        .await
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        // On SIGTERM strace detaches from the processes. If it were killed, they would stay stopped.
        let _ = Command::new("kill").args(["-TERM", &self.strace.id().to_string()]).status();
        let _ = self.strace.wait();
    }
}

/// Postgres stops at the first failed sync and is started again. All acknowledged commands are there; the others were not acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_fsync_error_under_load_loses_doubles_and_reorders_nothing() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("fault_fsync_error", &[Right::Tracing], "there is no strace here; run `scripts/setup test`");
    }
    let mut world = World::on(Postgres::private()).await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(50).await;
    for round in 0..2 {
        let said = world.folder().join(format!("syncs-{round}"));
        let mut failing = FailingSyncs::of(&world.postgres.processes(), &said);
        if let Err(reason) = failing.have_failed().await {
            return skip("fault_fsync_error", &[Right::Tracing], &reason);
        }
        drop(failing);
        world.postgres_comes_back().await;
        world.grows(50).await;
        println!("round {round}: a sync failed; it goes on");
    }
    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
}
