//! Wrapping tenants' keys anew: after the master key followed another one, or got a new version where it lives.

use std::net::SocketAddr;

use config::Config;
use directory::{Directory, DirectoryError, WriteSideError, write_side};
use eventstore::Rewrapped;
use kernel::{Refusal, Service, TenantId};

use super::operator;
use crate::domains::{self, DomainDefinition};

/// Keys that can't be wrapped anew. What was done until then is done, and whoever begins again finds what is left.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// A service's log can't be opened.
    #[error(transparent)]
    Start(#[from] WriteSideError),
    /// A log, or the master key, does not answer.
    #[error("the service {service}: {error}")]
    Log {
        /// Whose.
        service: Service,
        /// What is wrong.
        error: eventstore::Error,
    },
    /// The directory of tenants.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// What became of one sort of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What they are: `crm` for the tenants' keys in the log of CRM; `signing` for those under which the auth service's secrets are.
    pub what: String,
    /// How many were looked at, how many are other than before, and whose were left as they are.
    pub done: Rewrapped,
}

/// Has all that the master key wraps wrapped as it is wrapped today, service by service, `at_once` keys in a question to where the master key
/// is. `rehearsed`: nothing is written. `tell` hears how far it is.
///
/// # Errors
/// When a log or the master key does not answer.
pub async fn rewrap(
    config: &Config,
    at_once: usize,
    rehearsed: bool,
    tell: &dyn Fn(&str, &Rewrapped),
) -> Result<Vec<Outcome>, RewrapError> {
    let mut outcomes = Vec::new();
    for domain in domains::all().into_iter().filter(DomainDefinition::is_sealed) {
        let service = domain.service;
        let (store, _) = write_side(config, service).await?;
        let done = store.rewrap(at_once, rehearsed, |so_far| tell(service.name(), so_far)).await;
        store.close().await;
        let done = done.map_err(|error| RewrapError::Log { service, error })?;
        outcomes.push(Outcome { what: service.name().to_owned(), done });
    }
    outcomes.push(reseal(config, rehearsed, tell).await?);
    Ok(outcomes)
}

/// Has the keys of the auth service's secrets sealed under those that the log has for their tenants: of tenants that were made before that
/// was so, they are wrapped by the master key, in an event.
async fn reseal(config: &Config, rehearsed: bool, tell: &dyn Fn(&str, &Rewrapped)) -> Result<Outcome, RewrapError> {
    let tenants = Directory::open(config).list().await?;
    let (store, executor) = write_side(config, auth_api::SERVICE).await?;
    let authority = operator::authority(config, SocketAddr::new(config.http.host, config.http.port), executor);
    let mut done = Rewrapped { all: tenants.len() as u64, ..Rewrapped::default() };
    let (what, mut ended) = ("signing".to_owned(), Ok(()));
    for tenant in tenants {
        match authority.reseal(tenant.tenant_id, rehearsed).await {
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

/// Whose key is left as it is; an error ends it for all: with the next one it would be the same.
fn settled(tenant: TenantId, refusal: Refusal) -> Result<(TenantId, String), RewrapError> {
    if matches!(refusal.code(), "master_key_unavailable" | "log_unavailable" | "log_busy" | "log_failed") {
        let error = eventstore::Error::Unavailable(refusal.detail().to_owned());
        return Err(RewrapError::Log { service: auth_api::SERVICE, error });
    }
    Ok((tenant, refusal.to_string()))
}

/// The name of the master key that wraps today.
pub fn master_key_name(config: &Config) -> Option<String> {
    Some(config.master_key()?.name().to_owned())
}
