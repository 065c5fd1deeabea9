//! Backup and restore of the tables beside the logs: webhooks, job queues and schedules, and unfinished jobs.
//!
//! Webhook secrets are encrypted in the backup under a key of its own, which is wrapped by the master key. Without a master key they are
//! stored in plain text, as in the log.

use anyhow::{Context as _, Result, ensure};
use eventstore::Sealing;
use eventstore::backup::{Restore, Secrets, SideTable, Snapshot, StoredRow};
use gateway::Config;
use indicatif::ProgressBar;

use super::archive::rows::{BesideRow, LetterRow};
use super::archive::{Archive, BesidePart, Draft, Manifest, Part, ServicePart};
use super::excluded_tenants::ExcludedTenants;
use super::selection::Selection;

/// The tables that are backed up.
pub fn tables() -> impl Iterator<Item = &'static SideTable> {
    webhooks::backup::TABLES.iter().chain(jobs::backup::TABLES)
}

/// Encrypts the secrets of a new backup. Its key is made, and wrapped by the master key, when the first secret comes.
pub struct Sealer {
    sealing: Option<Sealing>,
    made: Option<(Secrets, String)>,
}

impl Sealer {
    /// A sealer for a backup with this configuration.
    pub fn new(config: &Config) -> Self {
        Self { sealing: config.log_settings().sealing, made: None }
    }

    /// The wrapped key, as the manifest stores it; none if nothing was encrypted.
    pub fn into_key(self) -> Option<String> {
        self.made.map(|(_, wrapped)| wrapped)
    }

    async fn seal(&mut self, snapshot: &mut Snapshot, of: &SideTable, row: &mut StoredRow) -> Result<()> {
        let Some(sealing) = self.sealing.as_ref().filter(|_| !of.secrets.is_empty()) else { return Ok(()) };
        if self.made.is_none() {
            let made = async {
                snapshot.check_master_key(sealing).await?;
                Secrets::make(sealing).await
            };
            self.made = Some(made.await.with_context(|| format!("the secrets in {} can't be sealed", of.table))?);
        }
        if let Some((secrets, _)) = &self.made {
            secrets.seal(of, row)?;
        }
        Ok(())
    }
}

/// Writes the rows of the tables beside a log.
pub async fn write(snapshot: &mut Snapshot, draft: &Draft, sealer: &mut Sealer) -> Result<Vec<BesidePart>> {
    let service = snapshot.service();
    let mut parts = Vec::new();
    for of in tables() {
        let rows = snapshot.side_table(of).await?;
        if rows.is_empty() {
            continue;
        }
        let mut part = draft.part::<BesideRow>(&format!("{service}.{}", of.table))?;
        for mut row in rows {
            sealer.seal(snapshot, of, &mut row).await?;
            part.push(&row)?;
        }
        parts.push(BesidePart { table: of.table.to_owned(), part: part.finish()? });
    }
    Ok(parts)
}

/// Writes the webhooks' dead letters; none if there are none.
pub async fn letters(snapshot: &mut Snapshot, draft: &Draft) -> Result<Option<Part>> {
    let letters = webhooks::backup::waiting(snapshot).await?;
    if letters.is_empty() {
        return Ok(None);
    }
    let mut part = draft.part::<LetterRow>(&format!("{}.letters", snapshot.service()))?;
    letters.iter().try_for_each(|letter| part.push(letter))?;
    part.finish().map(Some)
}

/// The key that decrypts the secrets of a backup; none if the backup has no encrypted secrets.
pub async fn secrets(config: &Config, manifest: &Manifest) -> Result<Option<Secrets>> {
    let Some(wrapped) = &manifest.secrets_key else { return Ok(None) };
    let sealing = config.log_settings().sealing.context("auth.master_key (INOPSIO_MASTER_KEY) is not set")?;
    let secrets = Secrets::read(&sealing, wrapped).await.context("the secrets of webhooks can't be opened")?;
    Ok(Some(secrets))
}

/// The log that rows are restored to.
pub struct Target<'a> {
    /// The restore of the log.
    pub restore: &'a mut Restore,
    /// Decrypts the secrets in the rows.
    pub secrets: Option<&'a Secrets>,
    /// The tenants whose rows are not restored.
    pub excluded: &'a ExcludedTenants,
}

/// Reads the rows beside a log, and restores them if a target is given. The log's events must have been restored before.
pub async fn read(archive: &Archive, log: &ServicePart, mut into: Option<Target<'_>>, bar: &ProgressBar) -> Result<()> {
    for BesidePart { table, part } in &log.beside {
        let of = tables().find(|of| of.table == table);
        let of = of.with_context(|| format!("the backup has rows of {table}, which this program does not know"))?;
        let mut rows = archive.rows::<BesideRow>(part);
        while let Some(batch) = rows.recv().await {
            let mut batch = batch?;
            bar.inc(batch.len() as u64);
            if let Some(Target { restore, secrets, excluded }) = &mut into {
                batch.retain(|row| !excluded.has(row.tenant));
                for row in &mut batch {
                    if let Some(secrets) = secrets {
                        secrets.open(of, row)?;
                    }
                    (of.restored)(&mut row.columns);
                }
                restore.side_table(of, &batch).await?;
            }
        }
    }
    if let Some(part) = &log.letters {
        // Read all of them at once: which letter is the first of its aggregate depends on all letters.
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
        if let Some(Target { restore, excluded, .. }) = &mut into {
            letters.retain(|letter| !excluded.has(letter.tenant));
            deadletters::backup::park_again(restore, &letters).await?;
        }
    }
    Ok(())
}

/// Number of rows of a table beside a log, without those of excluded tenants.
pub async fn rows_of(archive: &Archive, log: &ServicePart, table: &str, excluded: &ExcludedTenants) -> Result<u64> {
    match log.beside.iter().find(|beside| beside.table == table) {
        Some(beside) if !excluded.is_empty() => {
            let rows = archive.all::<BesideRow>(&beside.part).await?;
            Ok(rows.iter().filter(|row| !excluded.has(row.tenant)).count() as u64)
        }
        _ => Ok(log.rows_of(table)),
    }
}

/// Number of rows of a table beside all logs, without those of excluded tenants.
pub async fn rows_of_all(archive: &Archive, table: &str, excluded: &ExcludedTenants) -> Result<u64> {
    let mut all = 0;
    for log in &archive.manifest.services {
        all += rows_of(archive, log, table, excluded).await?;
    }
    Ok(all)
}

/// Numbers of jobs that continue after a restore, and of jobs that have failed then because they worked on files; without those of excluded
/// tenants.
pub async fn jobs_of_all(archive: &Archive, excluded: &ExcludedTenants) -> Result<(u64, u64)> {
    let (mut continuing, mut failed) = (0, 0);
    let tables = archive.manifest.services.iter().flat_map(|log| &log.beside);
    for of_jobs in tables.filter(|beside| beside.table == "jobs.jobs") {
        let rows = archive.all::<BesideRow>(&of_jobs.part).await?;
        let (go_on, end): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .filter(|row| !excluded.has(row.tenant))
            .partition(|row| jobs::backup::continues(&row.columns));
        continuing += go_on.len() as u64;
        failed += end.len() as u64;
    }
    Ok((continuing, failed))
}

/// Checks that a restored log has as many rows beside it as were to be restored.
pub async fn compare(
    snapshot: &mut Snapshot,
    archive: &Archive,
    log: &ServicePart,
    Selection { excluded, rehearsed, .. }: Selection<'_>,
) -> Result<()> {
    for of in tables() {
        let mut rows = snapshot.side_table(of).await?;
        // Before a rehearsal somebody may have paused queues for all tenants.
        rows.retain(|row| !rehearsed || !row.tenant.uuid().is_nil());
        let (there, said) =
            (rows.len() as u64, if rehearsed { 0 } else { rows_of(archive, log, of.table, excluded).await? });
        ensure!(there == said, "{}: {} has {there} rows, {said} were to be restored", log.service, of.table);
    }
    let waiting = webhooks::backup::waiting(snapshot).await?.len();
    let said = match &log.letters {
        Some(part) if !rehearsed => {
            archive.all::<LetterRow>(part).await?.iter().filter(|letter| !excluded.has(letter.tenant)).count()
        }
        _ => 0,
    };
    ensure!(waiting == said, "{}: {waiting} events wait for webhooks, {said} were to be restored", log.service);
    Ok(())
}

#[cfg(test)]
mod tests {
    use directory::moving::COPIED_TABLES;

    use super::*;

    /// Tables that move with a tenant to another cell, but are not in backups or are in a separate part.
    const OTHERWISE: [&str; 9] = [
        // Has a part of its own.
        "dead.decisions",
        // First answers to commands, some with secrets.
        "dead.commands",
        "jobs.commands",
        "webhooks.commands",
        // Content of jobs.
        "jobs.lines",
        "jobs.parts",
        "jobs.inputs",
        // Records of delivery attempts.
        "webhooks.deliveries",
        // Mail that waits to be sent.
        "webhooks.notices",
    ];

    #[test]
    fn what_moves_with_a_tenant_is_in_backups_or_left_out_on_purpose() {
        let mut known: Vec<_> = tables().map(|of| of.table).chain(OTHERWISE).collect();
        let mut copied: Vec<_> = COPIED_TABLES.iter().map(|(table, _)| *table).collect();
        known.sort_unstable();
        copied.sort_unstable();
        assert_eq!(copied, known, "list a new table in `TABLES` of its crate's `backup`, or say here why not");
    }
}
