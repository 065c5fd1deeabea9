//! Migrates the databases of all services and of the directory.

use std::collections::BTreeMap;

use config::Config;
use directory::{DirectoryError, admin_options};
use eventstore::admin::Mode;
use kernel::Service;
use serde::Serialize;

use crate::domains;

/// The changes that were made (or, in a dry run, would be made) to one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The service's name, or `directory`.
    pub service: String,
    /// Migrations that were applied.
    pub applied: Vec<String>,
    /// Projections whose tables were created.
    pub projections: Vec<String>,
    /// Projections that must be rebuilt, because the program has another version of them.
    pub needs_rebuild: Vec<String>,
    /// Projections whose number of partitions was changed, with the new number.
    pub divided: BTreeMap<String, u32>,
}

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The directory of tenants.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A service's log.
    #[error("the service {service}: {error}")]
    Log {
        /// The service.
        service: Service,
        /// The cause.
        error: eventstore::Error,
    },
    /// A service's webhooks.
    #[error("the service {service}: its webhooks: {error}")]
    Webhooks {
        /// The service.
        service: Service,
        /// The cause.
        error: sqlx::Error,
    },
    /// A service's read models.
    #[error("the service {service}: {error}")]
    ReadModels {
        /// The service.
        service: Service,
        /// The cause.
        error: projector::Error,
    },
    /// A service's jobs.
    #[error("the service {service}: its jobs: {error}")]
    Jobs {
        /// The service.
        service: Service,
        /// The cause.
        error: sqlx::Error,
    },
    /// A service's sagas.
    #[error("the service {service}: {error}")]
    Sagas {
        /// The service.
        service: Service,
        /// The cause.
        error: coordinator::Error,
    },
}

/// Migrates the databases of all services and the directory of tenants. Safe to run repeatedly and concurrently.
pub async fn migrate(config: &Config, mode: Mode) -> Result<Vec<Migrated>, MigrateError> {
    let admin = admin_options(config)?;
    let mut done = Vec::new();
    let made = directory::migrate(config, mode).await?;
    done.push(Migrated {
        service: "directory".to_owned(),
        applied: made.then(|| "tenants".to_owned()).into_iter().collect(),
        ..Migrated::default()
    });
    for domain in domains::all() {
        let service = domain.service;
        let database = config.database(service);
        let applied = eventstore::admin::migrate(&admin, &database, mode)
            .await
            .map_err(|error| MigrateError::Log { service, error })?;
        let mut migrated = Migrated {
            service: service.name().to_owned(),
            applied: applied.into_iter().map(|applied| applied.name).collect(),
            ..Migrated::default()
        };
        let webhooks = webhooks::migrate(&admin, &database, mode)
            .await
            .map_err(|error| MigrateError::Webhooks { service, error })?;
        if webhooks {
            migrated.applied.push("webhooks".to_owned());
        }
        let jobs =
            jobs::migrate(&admin, &database, mode).await.map_err(|error| MigrateError::Jobs { service, error })?;
        if jobs {
            migrated.applied.push("jobs".to_owned());
        }
        if domain.sagas.is_some()
            && coordinator::migrate(&admin, &database, mode)
                .await
                .map_err(|error| MigrateError::Sagas { service, error })?
        {
            migrated.applied.push("sagas".to_owned());
        }
        let projections = if mode == Mode::DryRun {
            projector::plan(&admin, &database, &domain.projections).await
        } else {
            projector::migrate(&admin, &database, &domain.projections).await
        };
        let projections = projections.map_err(|error| MigrateError::ReadModels { service, error })?;
        let owned = |names: Vec<&'static str>| names.into_iter().map(str::to_owned).collect();
        migrated.projections = owned(projections.created);
        migrated.needs_rebuild = owned(projections.needs_rebuild);
        for projection in &domain.projections {
            let name = projection.name();
            let Some(into) = config.projections.partitions_of(name) else { continue };
            // A projection that does not exist yet would be created with one partition.
            let from = if mode == Mode::DryRun && migrated.projections.iter().any(|created| created == name) {
                1
            } else {
                let divided = projector::divide(&admin, &database, name, into, mode).await;
                divided.map_err(|error| MigrateError::ReadModels { service, error })?.from
            };
            if from != into {
                migrated.divided.insert(name.to_owned(), into);
            }
        }
        done.push(migrated);
    }
    Ok(done)
}
