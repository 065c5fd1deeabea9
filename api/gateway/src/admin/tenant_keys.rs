//! The keys that sign a tenant's tokens, for operators of the platform.

use std::net::SocketAddr;

use auth_aggregates::{KeyRing, SigningKeyAdded};
use auth_api::authority::Authority;
use auth_commands::{GRANTS, Reach, RetireSigningKey};
use chrono::{DateTime, Utc};
use config::Config;
use directory::write_side;
use eventstore::EventStore;
use kernel::{Caller, Role, TenantId};

pub use auth_aggregates::{KeyUse, OurAlgorithm};

use super::operator::{self, IssueError};

/// The signing keys of a tenant.
pub struct TenantKeys {
    store: EventStore,
    authority: Authority,
    caller: Caller,
}

/// A signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKey {
    /// Its id.
    pub kid: String,
    /// Its algorithm: `EdDSA`, `ES256` or `RS256`.
    pub algorithm: &'static str,
    /// When it starts to sign.
    pub signs_from: DateTime<Utc>,
    /// Its current use.
    pub status: Option<KeyUse>,
}

impl TenantKeys {
    /// Opens the log of the auth service.
    ///
    /// # Errors
    /// When it can't be opened.
    pub async fn open(config: &Config, tenant: TenantId) -> Result<Self, IssueError> {
        let (store, executor) = write_side(config, auth_api::SERVICE).await?;
        let address = SocketAddr::new(config.http.host, config.http.port);
        let authority = operator::authority(config, address, executor);
        Ok(Self { store, authority, caller: Caller::new(tenant, "operator", &[Role::Admin], GRANTS) })
    }

    /// All keys, in the order in which they were created.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn list(&self) -> Result<Vec<TenantKey>, IssueError> {
        let id = self.caller.tenant().to_string();
        let found = self.authority.executor().load::<KeyRing>(&self.caller, &id).await?;
        let Some((ring, _)) = found else { return Ok(Vec::new()) };
        let now = self.authority.now();
        let shown = |key: &SigningKeyAdded| TenantKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm.as_str(),
            signs_from: key.signs_from,
            status: ring.use_of(&key.kid, now),
        };
        Ok(ring.keys.iter().map(shown).collect())
    }

    /// Creates and publishes a new key of an algorithm. Returns its id.
    ///
    /// # Errors
    /// When it can't be created or written to the log.
    pub async fn rotate(&self, algorithm: OurAlgorithm) -> Result<String, IssueError> {
        let request = self.authority.executor().internal_request(&self.caller, None);
        Ok(self.authority.rotate(&request, algorithm.into()).await?.answer)
    }

    /// Retires a key: tokens that it signed are refused from now on.
    ///
    /// # Errors
    /// When it is the key that signs now, or does not exist.
    pub async fn retire(&self, kid: &str) -> Result<(), IssueError> {
        let retire = RetireSigningKey { kid: kid.to_owned(), reach: Reach::Everything };
        self.authority.run(&self.caller, &retire).await?;
        Ok(())
    }

    /// Closes the log.
    pub async fn close(self) {
        self.store.close().await;
    }
}
