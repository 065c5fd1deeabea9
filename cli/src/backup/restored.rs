//! What the restore of a whole backup did, as text and as JSON.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::load::Built;
use super::selection::Selection;
use super::side_tables;

/// What was restored, and how long it took.
pub struct Restored<'a> {
    /// The backup.
    pub archive: &'a Archive,
    /// What of it was restored.
    pub selected: Selection<'a>,
    /// The services that an earlier run had restored.
    pub before: Vec<&'static str>,
    /// The numbers of rows beside the logs.
    pub beside: Beside,
    /// The read models that were built.
    pub read_models: Vec<Built>,
    /// How long it took until the logs were restored.
    pub loading: Duration,
    /// How long all of it took.
    pub took: Duration,
}

/// The numbers of rows beside the logs: none in a rehearsal.
#[derive(Default)]
pub struct Beside {
    webhooks: u64,
    schedules: u64,
    /// Jobs that continue.
    jobs: u64,
    /// Jobs that have failed, because the files that they worked on are in no backup.
    failed_jobs: u64,
}

impl Beside {
    /// Counts the rows of a backup that were restored.
    pub async fn of(archive: &Archive, Selection { excluded, rehearsed, .. }: Selection<'_>) -> Result<Self> {
        if rehearsed {
            return Ok(Self::default());
        }
        let (jobs, failed_jobs) = side_tables::jobs_of_all(archive, excluded).await?;
        let rows_of = |table| side_tables::rows_of_all(archive, table, excluded);
        let (webhooks, schedules) = (rows_of("webhooks.endpoints").await?, rows_of("jobs.schedules").await?);
        Ok(Self { webhooks, schedules, jobs, failed_jobs })
    }
}

impl Restored<'_> {
    fn tenants(&self) -> u64 {
        self.archive.manifest.directory.rows - self.selected.excluded.listed()
    }

    fn seals(&self) -> u64 {
        let logs = self.archive.manifest.services.iter().map(|log| self.selected.of(log));
        logs.flat_map(|log| log.tenants).map(|tenant| tenant.seals).sum()
    }

    fn events_per_second(&self) -> f64 {
        self.archive.manifest.events() as f64 / self.loading.as_secs_f64()
    }

    /// It as JSON.
    pub fn json(&self) -> Value {
        let manifest = &self.archive.manifest;
        let positions = manifest.services.iter().map(|log| (log.service.clone(), json!(log.position)));
        json!({
            "digest": self.archive.digest,
            "taken_at": manifest.taken_at,
            "positions": positions.collect::<Map<_, _>>(),
            "tenants": self.tenants(),
            "left_out": self.selected.excluded.json(),
            "restored_before": self.before,
            "events": manifest.events(),
            "seals": self.seals(),
            "webhooks": self.beside.webhooks,
            "schedules": self.beside.schedules,
            "jobs": self.beside.jobs,
            "failed_jobs": self.beside.failed_jobs,
            "load_seconds": self.loading.as_secs_f64(),
            "events_per_second": self.events_per_second(),
            "read_models": self.read_models,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

impl fmt::Display for Restored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Beside { webhooks, schedules, jobs, failed_jobs } = self.beside;
        write!(
            f,
            "restored {} events and {} seals of {} tenants, every hash as it was written, in {:.1} s ({:.0} events/s)",
            self.archive.manifest.events(),
            self.seals(),
            self.tenants(),
            self.loading.as_secs_f64(),
            self.events_per_second()
        )?;
        if !self.before.is_empty() {
            let before = self.before.join(", ");
            write!(f, "\nan earlier run had restored these services, which were compared with the backup: {before}")?;
        }
        for one in &self.read_models {
            let parked = if one.parked_events == 0 { String::new() } else { format!(", {} parked", one.parked_events) };
            write!(f, "\nbuilt {} of {} in {:.1} s{parked}", one.projection, one.service, one.seconds)?;
        }
        write!(
            f,
            "\nall in {:.1} s; `inopsio serve` fills the stream, and {webhooks} webhooks, {schedules} schedules and {jobs} jobs continue \
             with it",
            self.took.as_secs_f64()
        )?;
        if failed_jobs > 0 {
            write!(
                f,
                "\n{failed_jobs} jobs have failed, because the files that they worked on are in no backup; `inopsio job list` with \
                 --state discarded shows them: these files have to be sent again"
            )?;
        }
        let excluded = self.selected.excluded;
        if excluded.is_empty() {
            return Ok(());
        }
        write!(
            f,
            "\nleft out: {}; their history is there, encrypted, and nobody can read it or write to it",
            excluded.why()
        )
    }
}
