//! `inopsio migrate`: creates and migrates databases, roles and tables.

use anyhow::{Context as _, Result, anyhow, bail};
use eventstore::admin::Mode;
use gateway::{Config, Migrated};

use crate::context::{Context, Place};
use crate::output::{self, Format};
use crate::{dev, signals};

/// Creates and migrates the databases of all services; safe to run again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio migrate --dry-run
  INOPSIO_POSTGRES_ADMIN_URL=postgres://postgres@db.example.com/postgres inopsio migrate

If no Postgres is configured, the private one of `inopsio dev` is used; it is started for the migration if it is not running.")]
pub struct Migrate {
    /// Only reports what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    ports: dev::ports::Ports,
}

impl Migrate {
    /// Runs the command.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        if !place.is_private() {
            let context = Context::load(place, Vec::new(), format)?;
            return self.migrate(&context.config, format).await;
        }
        let home = dev::home::Home::at(&place.home)?;
        if dev::lock::holder(&home).is_some() {
            return self.migrate(&Config::load(Some(&home.config()), [], &gateway::known())?, format).await;
        }
        let mut stop = std::pin::pin!(signals::stop()?);
        let lock = dev::lock::Lock::take(&home, self.ports)?;
        let config = dev::config::write_and_read(&home, self.ports)?;
        let environment = tokio::select! {
            environment = dev::environment::Environment::start(&home, self.ports, lock) => environment?,
            () = &mut stop => bail!("stopped; nothing was migrated"),
        };
        let outcome = tokio::select! {
            outcome = self.migrate(&config, format) => outcome,
            () = &mut stop => Err(anyhow!("stopped; run the same command again to continue")),
        };
        environment.stop().await.and(outcome)
    }

    async fn migrate(&self, config: &Config, format: Format) -> Result<()> {
        let admin = directory::admin_options(config)?;
        let server = || format!("Postgres at {}:{}", admin.get_host(), admin.get_port());
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Apply };
        let migrated = gateway::migrate(config, mode).await.with_context(server)?;
        match format {
            Format::Json => output::print_json(&migrated),
            Format::Text => migrated.iter().try_for_each(|database| self.print(database)),
        }
    }

    fn print(&self, database: &Migrated) -> Result<()> {
        let (verb, made, divided, nothing) = if self.dry_run {
            ("would apply", "would create", "would divide", "nothing to do")
        } else {
            ("applied", "created", "divided", "is current")
        };
        let mut did = Vec::new();
        if !database.applied.is_empty() {
            did.push(format!("{verb} {}", database.applied.join(", ")));
        }
        if !database.projections.is_empty() {
            did.push(format!("{made} the tables of {}", database.projections.join(", ")));
        }
        if !database.needs_rebuild.is_empty() {
            did.push(format!("rebuild these (inopsio projection rebuild): {}", database.needs_rebuild.join(", ")));
        }
        for (name, partitions) in &database.divided {
            let plural = if *partitions == 1 { "" } else { "s" };
            did.push(format!("{divided} {name} into {partitions} partition{plural}"));
        }
        let did = if did.is_empty() { nothing.to_owned() } else { did.join("; ") };
        output::print(format!("{}: {did}", database.service))
    }
}
