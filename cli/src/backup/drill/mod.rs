//! `inopsio backup drill`: proves a backup by restoring it into a private Postgres.

mod checks;
mod private;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use serde_json::json;

use super::archive::Archive;
use super::excluded_tenants::ExcludedTenants;
use super::seals::Trust;
use super::selection::Selection;
use super::{Drill, load};
use crate::context::{Context, Place};
use crate::output::{self, Format};
use crate::{failure, signals};
use private::Private;

/// The outcome of one check.
#[derive(Clone, Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    found: String,
    seconds: f64,
}

/// Runs the drill and prints its result. Fails unless every check passes.
pub async fn run(drilled: &Drill, place: &Place, format: Format) -> Result<()> {
    let began = Instant::now();
    let mut checks = Vec::new();
    let stop = signals::stop()?;
    tokio::select! {
        () = prove(drilled, place, format, &mut checks) => {}
        // Dropping the future removes the private server and its folder.
        () = stop => bail!("stopped before there was a verdict"),
    }
    let proven = checks.iter().all(|check| check.ok);
    say(format, &checks, proven, began.elapsed())?;
    if proven { Ok(()) } else { bail!("the backup {} is not proven", drilled.given.folder.display()) }
}

/// Runs the checks in order, up to the first failure that makes the next ones impossible.
async fn prove(drilled: &Drill, place: &Place, format: Format, checks: &mut Vec<Check>) {
    let Some(archive) = check(checks, "the manifest fits its hashes, every part is there", async {
        let archive = drilled.given.open()?;
        let manifest = &archive.manifest;
        let taken_at = kernel::write_time(manifest.taken_at);
        let found = format!("format version {}, taken at {taken_at}, digest {}", manifest.version, archive.digest);
        Ok((archive, found))
    })
    .await
    else {
        return;
    };
    let (here, unreadable) = match Context::load(place, Vec::new(), format) {
        Ok(here) => (Some(here.config), None),
        Err(error) => (None, Some(error)),
    };
    // Claims are hashed with the claim key. Without the right one everything else can still be proven.
    let key = here.as_ref().and_then(config::claim_key);
    let claim_key = check(checks, "the claim key is that of the backup", async {
        let Some(here) = here.as_ref().filter(|_| key.is_some()) else {
            return Ok(((), "none is configured here, and a restore needs it".to_owned()));
        };
        let named = archive.manifest.claim_key_mark.as_deref();
        load::hashes_alike(here, named)?;
        Ok(((), named.unwrap_or("the backup does not name it").to_owned()))
    });
    let key = claim_key.await.and(key);
    // The master keys decrypt the data that claims and read models are built from.
    let lost = &drilled.without_key;
    let Some(excluded) = check(checks, "the master keys that it needs are configured", async {
        load::opens(here.as_ref(), &archive.manifest, lost, false).map_err(|lacking| match &unreadable {
            Some(error) => lacking.context(format!("the configuration can't be read: {}", failure::reasons(error))),
            None => lacking,
        })?;
        let excluded = ExcludedTenants::of(&archive, lost).await?;
        let keys = archive.manifest.master_keys().into_iter().filter(|key| !lost.contains(key));
        Ok((excluded, keys.collect::<Vec<_>>().join(", ")))
    })
    .await
    else {
        return;
    };
    // Continue: it is worth knowing whether the other tenants can be restored.
    if !excluded.is_empty() {
        let left_out: Result<((), String)> = Err(anyhow!("not proven: {}", excluded.why()));
        check(checks, "no tenant is left out", async { left_out }).await;
    }
    // Continue here as well: without trusted keys the log would be sealed again.
    let known = check(checks, "the keys that signed its seals are trusted", async {
        let trust = Trust::of(here.as_ref(), &drilled.seal_key, &archive.manifest)?;
        let keys: Vec<_> = archive.manifest.seal_keys().into_iter().collect();
        let keys = if keys.is_empty() { "it has no seals".to_owned() } else { keys.join(", ") };
        Ok((trust, keys))
    });
    let trust = known.await.unwrap_or(Trust::NoSeals);
    let Some(mut private) = check(checks, "a private Postgres starts", async {
        let private = Private::start().await?;
        let found = format!("on port {}", private.config.postgres.port);
        Ok((private, found))
    })
    .await
    else {
        return;
    };
    if let Some(here) = here {
        private.config.auth.master_key = here.auth.master_key;
        private.config.auth.former_master_key = here.auth.former_master_key;
        private.config.vault = here.vault;
    }
    let selected = Selection { excluded: &excluded, trust: &trust, rehearsed: false };
    restored(&archive, selected, &private, key, format, checks).await;
    check(checks, "the private Postgres stops and is removed", async { Ok((private.stop().await?, String::new())) })
        .await;
}

async fn restored(
    archive: &Archive,
    selected: Selection<'_>,
    private: &Private,
    key: Option<[u8; 32]>,
    format: Format,
    checks: &mut Vec<Check>,
) {
    let context = &Context { config: private.config.clone(), format };
    let loading = checks::load(context, archive, selected);
    let comparing = checks::compare_all(context, archive, selected);
    if check(checks, "it can be restored, every leaf hash is that of its bytes", loading).await.is_none()
        || check(checks, "the restored logs have the same roots, seals and counts", comparing).await.is_none()
        || check(checks, "the claims are those of the events", checks::claims(context, archive, key)).await.is_none()
    {
        return;
    }
    check(checks, "the read models can be built", checks::build(context)).await;
}

/// Runs a check and records its outcome. Returns its result if it passed.
async fn check<T>(
    checks: &mut Vec<Check>,
    what: &'static str,
    work: impl Future<Output = Result<(T, String)>>,
) -> Option<T> {
    let began = Instant::now();
    let (done, ok, found) = match work.await {
        Ok((done, found)) => (Some(done), true, found),
        Err(error) => (None, false, failure::reasons(&error)),
    };
    checks.push(Check { what, ok, found, seconds: began.elapsed().as_secs_f64() });
    done
}

fn say(format: Format, checks: &[Check], proven: bool, took: Duration) -> Result<()> {
    let verdict = if proven { "proven" } else { "failed" };
    if format == Format::Json {
        return output::print_json(&json!({ "verdict": verdict, "checks": checks, "seconds": took.as_secs_f64() }));
    }
    let mut table = output::table(["", "check", "found", "seconds"]);
    for check in checks {
        let mark = if check.ok { "ok" } else { "FAILED" };
        table.add_row([mark, check.what, &check.found, &format!("{:.1}", check.seconds)]);
    }
    output::print(table)?;
    output::print(format!("verdict: {verdict}, after {:.1} s", took.as_secs_f64()))
}
