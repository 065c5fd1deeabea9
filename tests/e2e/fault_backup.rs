//! `inopsio backup` onto a full disk, or stopped in the middle: it says so, and nothing is left that could be taken for a backup.

use std::path::Path;
use std::process::Command;

use testbed::eventually;

use crate::backup::{refused, shown};
use crate::requirements::{Right, skip};
use crate::tmpfs::Tmpfs;
use crate::world::World;

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_backup_onto_a_full_disk_names_the_file_and_leaves_nothing() {
    let disk = match Tmpfs::mount(4) {
        Ok(disk) => disk,
        Err(reason) => return skip("fault_backup_onto_a_full_disk", &[Right::Mounting], &reason),
    };
    let world = World::new().await;
    world.tenant("acme");
    let backup = disk.folder().join("backup");
    disk.fill();
    let before = names(disk.folder());
    let said = refused(&world, &["backup", "--to", shown(&backup)]);
    assert!(said.contains("can't write") && said.contains(".ndjson.zst") && said.contains("No space left"), "{said}");
    assert_eq!(names(disk.folder()), before);

    disk.empty();
    world.ok(&["backup", "--to", shown(&backup)]);
    world.ok(&["backup", "verify", shown(&backup)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_backup_that_is_stopped_leaves_nothing() {
    let world = World::new().await;
    world.tenant("acme");
    // It waits until nobody appends to CRM's log.
    let mut holder = world.sql().await;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(eventstore::LockKey::Writing.number());
    lock.execute(&mut holder).await.unwrap();
    let before = names(world.folder());
    let backup = world.folder().join("backup");
    let mut running = world.spawn(&["backup", "--to", shown(&backup)]);
    eventually("it waits for the log", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut world.sql().await).await.unwrap();
        waits.then_some(())
    })
    .await;
    assert!(names(world.folder()).contains(&"backup.draft".to_owned()), "else this test shows nothing");
    let sent = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert_eq!(names(world.folder()), before);
}
