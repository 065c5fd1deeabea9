//! Rewraps the tenants' keys after the master key was replaced, or got a new version in Vault.

use std::net::SocketAddr;

use config::Config;
use directory::{Directory, DirectoryError, WriteSideError, check_both_keys, write_side};
use eventstore::Rewrapped;
use kernel::{Refusal, Service, TenantId};

use super::operator;
use crate::domains::{self, DomainDefinition};

/// Why rewrapping stopped. The keys that were rewrapped before stay so; another run continues with the rest.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// A service's log can't be opened.
    #[error(transparent)]
    Start(#[from] WriteSideError),
    /// A log, or the master key, does not answer.
    #[error("the service {service}: {error}")]
    Log {
        /// The service.
        service: Service,
        /// The cause.
        error: eventstore::Error,
    },
    /// The directory of tenants can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// The result for one kind of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The kind: a service's name, such as `crm`, for the tenants' keys in its log; `signing` for the keys of the auth service's secrets.
    pub what: String,
    /// How many keys were processed, how many were changed, and which were left unchanged because of an error.
    pub done: Rewrapped,
}

/// Rewraps all keys with the current master key, service by service, with `at_once` keys in each request to the holder of the master key.
/// `dry_run`: writes nothing. `tell` is called with the progress.
///
/// # Errors
/// When a log or the master key does not answer.
pub async fn rewrap(
    config: &Config,
    at_once: usize,
    dry_run: bool,
    tell: &dyn Fn(&str, &Rewrapped),
) -> Result<Vec<Outcome>, RewrapError> {
    let sealed = domains::all().into_iter().filter(DomainDefinition::is_sealed);
    let sealed: Vec<_> = sealed.map(|domain| domain.service).collect();
    check_both_keys(config, &sealed).await?;
    let mut outcomes = Vec::new();
    for service in sealed {
        let (store, _) = write_side(config, service).await?;
        let done = store.rewrap(at_once, dry_run, |so_far| tell(service.name(), so_far)).await;
        store.close().await;
        let done = done.map_err(|error| RewrapError::Log { service, error })?;
        outcomes.push(Outcome { what: service.name().to_owned(), done });
    }
    outcomes.push(reseal(config, dry_run, tell).await?);
    Ok(outcomes)
}

/// Seals the keys of the auth service's secrets with the tenants' keys in the log. For tenants that were created by an older program,
/// they are wrapped by the master key, in an event.
async fn reseal(config: &Config, dry_run: bool, tell: &dyn Fn(&str, &Rewrapped)) -> Result<Outcome, RewrapError> {
    // Those who live in other cells have their keys there.
    let tenants = Directory::open(config).list_here().await?;
    let (store, executor) = write_side(config, auth_api::SERVICE).await?;
    let authority = operator::authority(config, SocketAddr::new(config.http.host, config.http.port), executor);
    let mut done = Rewrapped { all: tenants.len() as u64, ..Rewrapped::default() };
    let (what, mut ended) = ("signing".to_owned(), Ok(()));
    for tenant in tenants {
        match authority.reseal(tenant.tenant_id, dry_run).await {
            Ok(changed) => {
                done.keys += 1;
                done.renewed += u64::from(changed);
            }
            Err(refusal) => match settled(tenant.tenant_id, refusal) {
                Ok(left) => {
                    done.keys += 1;
                    done.left.push(left);
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            },
        }
        tell(&what, &done);
    }
    store.close().await;
    ended.map(|()| Outcome { what, done })
}

/// Decides whether a refusal concerns only this tenant, whose key is then left unchanged.
///
/// # Errors
/// When the log or the master key does not answer, so that all further tenants would fail, too.
fn settled(tenant: TenantId, refusal: Refusal) -> Result<(TenantId, String), RewrapError> {
    if matches!(refusal.code(), "master_key_unavailable" | "log_unavailable" | "log_busy" | "log_failed") {
        let error = eventstore::Error::Unavailable(refusal.detail().to_owned());
        return Err(RewrapError::Log { service: auth_api::SERVICE, error });
    }
    Ok((tenant, refusal.to_string()))
}

/// The name of the current master key.
pub fn master_key_name(config: &Config) -> Option<String> {
    Some(config.master_key()?.name().to_owned())
}
