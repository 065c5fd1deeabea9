//! `inopsio demo`: loads a demo data set and queries it.
//!
//! A data set of eighteen months is generated ([`data`]) and loaded through the REST API as an application would do it ([`load`], [`api`]).
//! Then five questions are answered, by GraphQL and from the log ([`questions`]). If no server is running, one is started ([`server`]). The
//! data stays and can be explored with `inopsio dev`.

mod api;
mod data;
mod load;
mod questions;
mod remembered;
mod report;
mod server;
mod show;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use chrono::NaiveDate;
use directory::{Directory, DirectoryError};
use gateway::{ProvisionError, operator};
use kernel::{Clock, Role, SystemClock, TenantId};

use crate::context::{Context, Place};
use crate::output::Format;
use crate::{progress, signals};
use api::Api;
use data::DataSet;
use load::Loaded;
use remembered::Remembered;
use report::Report;

/// Fills a tenant with 18 months of history through the REST API, and answers five questions about it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio demo
  inopsio demo --leads 1000 --tenant small
  inopsio demo --until 2026-06-30

It uses the configured server or the one of `inopsio dev`; if none is running, it starts one for itself.
The same size and end give the same data. Data that was already loaded is not loaded again. The default end is today, or that of
the history that the tenant already has.")]
pub struct Demo {
    /// The tenant to fill; created if it does not exist
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// Number of leads; plus a fifth as many accounts, half as many contacts, three tenths as many opportunities
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    leads: u32,
    /// The history ends at the start of this day; today unless given
    #[arg(long, value_name = "DATE", value_parser = kernel::read_day)]
    until: Option<NaiveDate>,
    /// Number of concurrent requests
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
}

impl Demo {
    /// A demo with this many leads for a tenant, whose history ends at the start of the day `until`.
    pub fn sized(tenant: String, leads: u32, until: NaiveDate) -> Self {
        Self { tenant, leads, until: Some(until), at_once: 64 }
    }

    /// Runs the command: loads the data and answers the questions.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        with_server(place, format, async |context| {
            let mut report = Report::new(format);
            self.show(place, context, &mut report).await?;
            report.end()
        })
        .await
    }

    /// Only loads the data.
    pub async fn seed(self, place: &Place, format: Format) -> Result<()> {
        with_server(place, format, async |context| {
            let mut report = Report::new(format);
            self.fill(place, context, &mut report).await?;
            report.end()
        })
        .await
    }

    async fn show(&self, place: &Place, context: &Context, report: &mut Report) -> Result<()> {
        let filled = self.fill(place, context, report).await?;
        questions::ask(&filled, context, &self.tenant, report).await?;
        report.note(format!(
            "Look around: `inopsio dev`, then http://{}/graphql with the token of `inopsio token --tenant {} --role viewer`",
            context.config.http.address(),
            self.tenant
        ))
    }

    async fn fill(&self, place: &Place, context: &Context, report: &mut Report) -> Result<Filled> {
        let today = SystemClock.now().date_naive();
        if let Some(until) = self.until {
            ensure!(until <= today, "--until {until} is in the future");
        }
        // Remember the history only for the private environment: a configured server's data may change without us.
        let until = if place.is_private() {
            Remembered::at(&place.home).or_new(&self.tenant, self.leads, self.until, today)?.until
        } else {
            self.until.unwrap_or(today)
        };
        let tenant = self.tenant(context).await?;
        let config = &context.config;
        let (found, lifetime) = (Directory::open(config).find(&self.tenant).await?, Duration::from_hours(2));
        let token = operator::issue(config, operator::address(config)?, &found, &[Role::Admin], lifetime).await?;
        let api = Api::new(&format!("http://{}", config.http.address()), &token)?;

        let set = DataSet::generate(self.leads as usize, until);
        let loaded = self.load(&api, &set, until).await?;
        report.loaded(&loaded.parts)?;
        Ok(Filled { api, tenant, set, loaded, until })
    }

    async fn tenant(&self, context: &Context) -> Result<TenantId> {
        match gateway::provision(&context.config, &self.tenant, &self.tenant, None).await {
            Err(ProvisionError::Directory(DirectoryError::Exists(_))) => context.tenant(&self.tenant).await,
            made => Ok(made?.tenant_id),
        }
    }

    async fn load(&self, api: &Api, set: &DataSet, until: NaiveDate) -> Result<Loaded> {
        let bar = progress::bar(set.commands() as u64, "commands");
        let key = format!("demo/{}/{until}", self.leads);
        let loaded = load::load(api, set, usize::from(self.at_once), &key, &bar).await;
        bar.finish_and_clear();
        loaded
    }
}

/// A tenant with loaded data, and a client to query it.
pub struct Filled {
    api: Api,
    tenant: TenantId,
    set: DataSet,
    loaded: Loaded,
    until: NaiveDate,
}

/// Runs `work` with a running server, or with one that is started for it and stopped afterwards, also after Ctrl-C.
async fn with_server(place: &Place, format: Format, work: impl AsyncFnOnce(&Context) -> Result<()>) -> Result<()> {
    let stop = signals::stop()?;
    let mut started = server::start_unless_running(place)?;
    let working = async {
        if let Some(started) = &mut started {
            started.ready(place).await?;
        }
        work(&Context::load(place, Vec::new(), format)?).await
    };
    let outcome = tokio::select! {
        outcome = working => outcome,
        () = stop => Err(anyhow!("stopped; what was loaded is kept: run the same command again to continue")),
    };
    if let Some(started) = started {
        started.stop().await?;
    }
    outcome
}

/// Awaits `work`. Returns its result and its duration.
async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let started = Instant::now();
    Ok((work.await?, started.elapsed()))
}
