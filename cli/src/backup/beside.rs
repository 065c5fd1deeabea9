//! What people set up beside the logs: webhooks, and what is asked for again and again.
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

/// Where rows go, and what opens their secrets.
pub type Target<'a> = (&'a mut Restore, Option<&'a Secrets>);

/// Reads what stands beside a log, and writes it where it is to go, if anywhere: after the log's events.
pub async fn pour(archive: &Archive, log: &ServicePart, mut into: Option<Target<'_>>, bar: &ProgressBar) -> Result<()> {
    for BesidePart { table, part } in &log.beside {
        let of = tables().find(|of| of.table == table);
        let of = of.with_context(|| format!("the backup has rows of {table}, which this program does not know"))?;
        let mut rows = archive.rows::<BesideRow>(part);
        while let Some(batch) = rows.recv().await {
            let mut batch = batch?;
            if let Some((restore, secrets)) = &mut into {
                for row in &mut batch {
                    if let Some(secrets) = secrets {
                        secrets.open(of, row)?;
                    }
                    (of.restored)(&mut row.columns);
                }
                restore.beside(of, &batch).await?;
            }
            bar.inc(batch.len() as u64);
        }
    }
    if let Some(part) = &log.letters {
        // Who comes first of an aggregate is said by all of them together.
        let letters = archive.all::<LetterRow>(part).await?;
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
        if let Some((restore, _)) = &mut into {
            deadletters::backup::wait_again(restore, &letters).await?;
        }
        bar.inc(letters.len() as u64);
    }
    Ok(())
}

/// That a restored log has beside it what the manifest says.
pub async fn compare(snapshot: &mut Snapshot, log: &ServicePart) -> Result<()> {
    for of in tables() {
        let (there, said) = (snapshot.beside(of).await?.len() as u64, log.rows_of(of.table));
        ensure!(there == said, "{}: {} has {there} rows, the manifest says {said}", log.service, of.table);
    }
    let waiting = webhooks::backup::waiting(snapshot).await?.len() as u64;
    let said = log.letters.as_ref().map_or(0, |letters| letters.rows);
    ensure!(waiting == said, "{}: {waiting} events wait for webhooks, the manifest says {said}", log.service);
    Ok(())
}

#[cfg(test)]
mod tests {
    use directory::moving::CARRIED;

    use super::*;

    /// What moves with a tenant to another cell, and is in no backup, or in a part of its own.
    const OTHERWISE: [&str; 11] = [
        // A part of its own.
        "dead.decisions",
        // First answers, some with secrets.
        "dead.commands",
        "jobs.commands",
        "webhooks.commands",
        // Jobs, and what they have.
        "jobs.jobs",
        "jobs.turns",
        "jobs.lines",
        "jobs.parts",
        "jobs.inputs",
        "jobs.batches",
        // What was tried.
        "webhooks.deliveries",
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
