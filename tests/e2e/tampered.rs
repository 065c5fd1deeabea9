//! Altered and truncated backups, backups of other versions, and folders that are no backup.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest;

use crate::backup::{LOG, business, json_of, log_rows, refused, shown};
use crate::world::World;

/// The files of a backup, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A cluster with other keys refuses the backup.
fn is_not_restored_with_other_keys(fresh: &World, backup: &Path) {
    for key in ["INOPSIO_CLAIM_KEY", "INOPSIO_MASTER_KEY"] {
        let ended = fresh.configured(&["restore", shown(backup)], key, &"7a".repeat(32));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && said.contains(key), "{said}");
    }
    // A drill also runs without a configuration, but does not keep it to itself if there is one that it can't read.
    let drill = ["--format", "json", "backup", "drill", shown(backup)];
    let ended = fresh.configured(&drill, "INOPSIO_PORT", "no port");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.code() == Some(1) && said.contains("the configuration can't be read"), "{said}");
}

/// A backup never overwrites, and is refused if the logs have different claim keys, or if a database lacks migrations of this program.
async fn is_not_taken(world: &World, backup: &Path) {
    let said = refused(world, &["backup", "--to", shown(backup)]);
    assert!(said.contains("there already"), "{said}");
    let elsewhere = world.folder().join("elsewhere");
    let turned = "UPDATE log.claim_key SET mark = reverse(mark)";
    sqlx::query(turned).execute(&mut world.sql().await).await.unwrap();
    let said = refused(world, &["backup", "--to", shown(&elsewhere)]);
    assert!(said.contains("different claim keys"), "{said}");
    sqlx::query(turned).execute(&mut world.sql().await).await.unwrap();
    // A missing grant looks like a database that an earlier program migrated.
    let revoke = "REVOKE SELECT ON log.closed FROM inopsio_crm_backup";
    sqlx::query(revoke).execute(&mut world.sql().await).await.unwrap();
    let said = refused(world, &["backup", "--to", shown(&elsewhere)]);
    assert!(said.contains("database of crm") && said.contains("run `inopsio migrate`"), "{said}");
    assert!(!elsewhere.exists());
    let names: Vec<_> =
        files(world.folder()).into_iter().filter(|file| file.extension().is_some_and(|end| end == "draft")).collect();
    assert!(names.is_empty(), "{names:?}");
}

/// Checks that the databases are still empty.
async fn is_fresh(fresh: &World) {
    for table in ["events", "commands", "claims"] {
        let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM log.{table}"))
            .fetch_one(&mut fresh.sql().await)
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(json_of(fresh, &["tenant", "list"]), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_truncated_or_of_another_kind_is_refused_and_nothing_is_written() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    world.stop(0).await;
    let backup = world.folder().join("backup");
    let taken = json_of(&world, &["backup", "--to", shown(&backup)]);
    let fresh = World::new().await;
    let by = |commands: &[&[&str]], folder: &Path, what: &str, words: &[&str]| {
        for command in commands {
            let arguments = [*command, &[shown(folder)]].concat();
            let ended = fresh.run(&arguments);
            // The drill prints its reason in a table, the others in one line.
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            let said = said.split_whitespace().filter(|word| !word.contains('│')).collect::<Vec<_>>().join(" ");
            assert_eq!(ended.status.code(), Some(1), "{what}, {command:?}: {said}");
            assert!(words.iter().any(|word| said.contains(word)), "{what}, {command:?}: {said}");
        }
    };
    let is_refused = |folder: &Path, what: &str, words: &[&str]| {
        by(&[&["backup", "verify"], &["backup", "drill"], &["restore"]], folder, what, words);
    };

    // Flip one bit anywhere. (All three commands use the same reader, so check all of them only once per file.)
    for file in files(&backup) {
        let whole = std::fs::read(&file).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(&file, altered).unwrap();
            let what = format!("{} with byte {at} flipped", file.display());
            by(&[&["backup", "verify"]], &backup, &what, &["altered", "version"]);
        }
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        by(&[&["backup", "verify"]], &backup, &format!("{} cut short", file.display()), &["truncated", "altered"]);
        std::fs::remove_file(&file).unwrap();
        is_refused(&backup, &format!("{} taken away", file.display()), &["missing", "not a complete backup"]);
        std::fs::write(&file, whole).unwrap();
    }

    // A deliberate alteration with correct file hashes. The event's leaf hash and the printed digest detect it.
    let forged = world.folder().join("forged");
    forge(&backup, &forged, "events", |text| {
        assert!(text.contains("An engine"));
        text.replace("An engine", "Two engine")
    });
    is_refused(&forged, "an altered event", &["not the one that was written"]);
    let digest = taken["digest"].as_str().unwrap();
    let said = refused(&fresh, &["restore", shown(&forged), "--digest", digest]);
    assert!(said.contains("digest"), "{said}");

    // Another version, another cluster, and no backup at all.
    let manifest = backup.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"version\": 6", "\"version\": 7")).unwrap();
    is_refused(&backup, "a later version", &["format version 7"]);
    std::fs::write(&manifest, &text).unwrap();
    is_not_restored_with_other_keys(&fresh, &backup);
    is_refused(fresh.folder(), "a folder with something else", &["not a complete backup"]);

    is_not_taken(&world, &backup).await;

    // Nothing was written by any of them: the databases are empty, and accept the original backup.
    is_fresh(&fresh).await;
    fresh.ok(&["restore", shown(&backup)]);
    assert_eq!(log_rows(&mut fresh.sql().await, &LOG).await, log_rows(&mut world.sql().await, &LOG).await);
}

/// A copy of a backup in the form of an earlier version: without these parts, and with a fingerprint of the master key.
pub fn as_version(backup: &Path, former: &Path, version: u32, without: &[&str], mark: Option<&str>) {
    std::fs::create_dir(former).unwrap();
    let is_without = |name: &str| without.iter().any(|part| name.contains(&format!(".{part}.")));
    for file in files(backup).iter().filter(|file| !is_without(&file.to_string_lossy())) {
        std::fs::copy(file, former.join(file.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read(former.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    manifest["version"] = json!(version);
    if let Some(mark) = mark {
        manifest["master_key_mark"] = json!(mark);
    }
    for service in manifest["services"].as_array_mut().unwrap() {
        for part in without {
            service.as_object_mut().unwrap().remove(*part);
            for tenant in service["tenants"].as_array_mut().unwrap() {
                tenant.as_object_mut().unwrap().remove(*part);
            }
        }
    }
    let fitted = serde_json::to_vec_pretty(&manifest).unwrap();
    let sums = std::fs::read_to_string(former.join("SHA256SUMS")).unwrap();
    let kept = sums.lines().filter(|line| !is_without(line)).collect::<Vec<_>>().join("\n") + "\n";
    std::fs::write(former.join("SHA256SUMS"), kept.replace(&digest(&text), &digest(&fitted))).unwrap();
    std::fs::write(former.join("manifest.json"), fitted).unwrap();
}

/// A copy of a backup with a changed part of CRM, and with matching file hashes.
pub fn forge(backup: &Path, forged: &Path, part: &str, change: impl FnOnce(&str) -> String) {
    let file = format!("crm.{part}.ndjson.zst");
    std::fs::create_dir(forged).unwrap();
    for file in files(backup) {
        std::fs::copy(&file, forged.join(file.file_name().unwrap())).unwrap();
    }
    let read = |name: &str| std::fs::read(forged.join(name)).unwrap();
    let changed = change(&unpacked(backup, &file));
    let packed = zstd::encode_all(changed.as_bytes(), 0).unwrap();
    std::fs::write(forged.join(&file), &packed).unwrap();

    let mut sums = String::from_utf8(read("SHA256SUMS")).unwrap();
    let mut refit = |old: &[u8], new: &[u8]| sums = sums.replace(&digest(old), &digest(new));
    let old = std::fs::read(backup.join(&file)).unwrap();
    refit(&old, &packed);
    let manifest = String::from_utf8(read("manifest.json")).unwrap();
    let mut fitted: Value = serde_json::from_str(&manifest).unwrap();
    let said = &mut fitted["services"][0][part];
    said["rows"] = json!(changed.lines().count());
    said["bytes"] = json!(packed.len());
    said["sha256"] = json!(digest(&packed));
    let fitted = serde_json::to_string_pretty(&fitted).unwrap();
    refit(manifest.as_bytes(), fitted.as_bytes());
    std::fs::write(forged.join("manifest.json"), fitted).unwrap();
    std::fs::write(forged.join("SHA256SUMS"), sums).unwrap();
}

/// The uncompressed text of a part.
pub fn unpacked(backup: &Path, file: &str) -> String {
    let packed = std::fs::read(backup.join(file)).unwrap();
    String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}
