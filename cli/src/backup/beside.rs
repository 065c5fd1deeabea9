//! What people set up beside the logs: webhooks, and what is asked for again and again; and the jobs that are open.
//!
//! Secrets of webhooks leave the database sealed under a key of the backup's own, which the master key wraps; without a master key
//! nothing is sealed, as in the log.

use anyhow::{Context as _, Result, ensure};
use eventstore::Sealing;
use eventstore::backup::{Beside, Restore, Secrets, Snapshot, StoredRow};
use gateway::Config;
use indicatif::ProgressBar;

use super::archive::rows::{BesideRow, LetterRow};
use super::archive::{Archive, BesidePart, Draft, Manifest, Part, ServicePart};
use super::excluded_tenants::ExcludedTenants;

/// The tables that are taken along.
pub fn tables() -> impl Iterator<Item = &'static Beside> {
    webhooks::backup::TABLES.iter().chain(jobs::backup::TABLES)
}

/// Seals the secrets of a backup that is taken. The master key is asked when the first one comes.
pub struct Sealer {
    sealing: Option<Sealing>,
    made: Option<(Secrets, String)>,
}

impl Sealer {
    /// For a backup with this configuration.
    pub fn new(config: &Config) -> Self {
        Self { sealing: config.log_settings().sealing, made: None }
    }

    /// The key, as it is kept with the backup; none: nothing was sealed.
    pub fn into_key(self) -> Option<String> {
        self.made.map(|(_, wrapped)| wrapped)
    }

    async fn seal(&mut self, of: &Beside, row: &mut StoredRow) -> Result<()> {
        let Some(sealing) = self.sealing.as_ref().filter(|_| !of.secrets.is_empty()) else { return Ok(()) };
        if self.made.is_none() {
            let made = Secrets::make(sealing).await;
            self.made = Some(made.with_context(|| format!("the secrets in {} can't be sealed", of.table))?);
        }
        if let Some((secrets, _)) = &self.made {
            secrets.seal(of, row)?;
        }
        Ok(())
    }
}

/// Writes what stands beside a log.
pub async fn write(snapshot: &mut Snapshot, draft: &Draft, sealer: &mut Sealer) -> Result<Vec<BesidePart>> {
    let service = snapshot.service();
    let mut parts = Vec::new();
    for of in tables() {
        let rows = snapshot.beside(of).await?;
        if rows.is_empty() {
            continue;
        }
        let mut part = draft.part::<BesideRow>(&format!("{service}.{}", of.table))?;
        for mut row in rows {
            sealer.seal(of, &mut row).await?;
            part.push(&row)?;
        }
        parts.push(BesidePart { table: of.table.to_owned(), part: part.finish()? });
    }
    Ok(parts)
}

/// Writes which events wait for webhooks, if any do.
pub async fn letters(snapshot: &mut Snapshot, draft: &Draft) -> Result<Option<Part>> {
    let letters = webhooks::backup::waiting(snapshot).await?;
    if letters.is_empty() {
        return Ok(None);
    }
    let mut part = draft.part::<LetterRow>(&format!("{}.letters", snapshot.service()))?;
    letters.iter().try_for_each(|letter| part.push(letter))?;
    part.finish().map(Some)
}

/// What opens the secrets of a backup; none: nothing in it is sealed so.
pub async fn secrets(config: &Config, manifest: &Manifest) -> Result<Option<Secrets>> {
    let Some(wrapped) = &manifest.secrets_key else { return Ok(None) };
    let sealing = config.log_settings().sealing.context("auth.master_key (INOPSIO_MASTER_KEY) is not set")?;
    let secrets = Secrets::read(&sealing, wrapped).await.context("the secrets of webhooks can't be opened")?;
    Ok(Some(secrets))
}

/// Where rows go.
pub struct Target<'a> {
    /// The log that is filled.
    pub restore: &'a mut Restore,
    /// What opens their secrets.
    pub secrets: Option<&'a Secrets>,
    /// Whose rows go nowhere.
    pub left: &'a ExcludedTenants,
}

/// Reads what stands beside a log, and writes it where it is to go, if anywhere: after the log's events.
pub async fn pour(archive: &Archive, log: &ServicePart, mut into: Option<Target<'_>>, bar: &ProgressBar) -> Result<()> {
    for BesidePart { table, part } in &log.beside {
        let of = tables().find(|of| of.table == table);
        let of = of.with_context(|| format!("the backup has rows of {table}, which this program does not know"))?;
        let mut rows = archive.rows::<BesideRow>(part);
        while let Some(batch) = rows.recv().await {
            let mut batch = batch?;
            bar.inc(batch.len() as u64);
            if let Some(Target { restore, secrets, left }) = &mut into {
                batch.retain(|row| !left.has(row.tenant));
                for row in &mut batch {
                    if let Some(secrets) = secrets {
                        secrets.open(of, row)?;
                    }
                    (of.restored)(&mut row.columns);
                }
                restore.beside(of, &batch).await?;
            }
        }
    }
    if let Some(part) = &log.letters {
        // Who comes first of an aggregate is said by all of them together.
        let mut letters = archive.all::<LetterRow>(part).await?;
        bar.inc(letters.len() as u64);
        for letter in &letters {
            ensure!(
                letter.position <= log.position,
                "{} waits for the event at {}, the log of {} ends at {}",
                letter.consumer,
                letter.position,
                log.service,
                log.position
            );
        }
        if let Some(Target { restore, left, .. }) = &mut into {
            letters.retain(|letter| !left.has(letter.tenant));
            deadletters::backup::wait_again(restore, &letters).await?;
        }
    }
    Ok(())
}

/// How many rows of a table there are beside a log, but for those of who is left out.
pub async fn rows_of(archive: &Archive, log: &ServicePart, table: &str, left: &ExcludedTenants) -> Result<u64> {
    match log.beside.iter().find(|beside| beside.table == table) {
        Some(beside) if !left.is_empty() => {
            let rows = archive.all::<BesideRow>(&beside.part).await?;
            Ok(rows.iter().filter(|row| !left.has(row.tenant)).count() as u64)
        }
        _ => Ok(log.rows_of(table)),
    }
}

/// The same beside all logs.
pub async fn rows_of_all(archive: &Archive, table: &str, left: &ExcludedTenants) -> Result<u64> {
    let mut all = 0;
    for log in &archive.manifest.services {
        all += rows_of(archive, log, table, left).await?;
    }
    Ok(all)
}

/// That a restored log has beside it what the backup has, but for those of who is left out.
pub async fn compare(
    snapshot: &mut Snapshot,
    archive: &Archive,
    log: &ServicePart,
    left: &ExcludedTenants,
) -> Result<()> {
    for of in tables() {
        let (there, said) = (snapshot.beside(of).await?.len() as u64, rows_of(archive, log, of.table, left).await?);
        ensure!(there == said, "{}: {} has {there} rows, the backup has {said}", log.service, of.table);
    }
    let waiting = webhooks::backup::waiting(snapshot).await?.len();
    let said = match &log.letters {
        Some(part) => archive.all::<LetterRow>(part).await?.iter().filter(|letter| !left.has(letter.tenant)).count(),
        None => 0,
    };
    ensure!(waiting == said, "{}: {waiting} events wait for webhooks, in the backup {said}", log.service);
    Ok(())
}

#[cfg(test)]
mod tests {
    use directory::moving::CARRIED;

    use super::*;

    /// What moves with a tenant to another cell, and is in no backup, or in a part of its own.
    const OTHERWISE: [&str; 9] = [
        // A part of its own.
        "dead.decisions",
        // First answers, some with secrets.
        "dead.commands",
        "jobs.commands",
        "webhooks.commands",
        // What jobs have.
        "jobs.lines",
        "jobs.parts",
        "jobs.inputs",
        // What was tried.
        "webhooks.deliveries",
        // Mail that is about to be sent.
        "webhooks.notices",
    ];

    #[test]
    fn what_moves_with_a_tenant_is_in_backups_or_left_out_on_purpose() {
        let mut known: Vec<_> = tables().map(|of| of.table).chain(OTHERWISE).collect();
        let mut carried: Vec<_> = CARRIED.iter().map(|(table, _)| *table).collect();
        known.sort_unstable();
        carried.sort_unstable();
        assert_eq!(carried, known, "list a new table in `TABLES` of its crate's `backup`, or say here why not");
    }
}
