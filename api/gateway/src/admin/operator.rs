//! Tokens for operators of the platform. The command line acts as a machine of the tenant, and the tenant's issuer signs its tokens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_aggregates::{GrantKind, GrantTerms, Machine};
use auth_api::authority::{AccessClaims, Authority, Parts};
use auth_commands::{GRANTS, OpenGrant, Reach, RegisterMachine, protocol};
use chrono::TimeDelta;
use config::Config;
use directory::{Directory, DirectoryError, Tenant, WriteSideError, write_side};
use executor::Executor;
use kernel::{Caller, MachineId, Refusal, Role, SystemClock, TenantId};
use keys::SystemRandom;

use crate::adapters::CachedTenants;
use crate::auth::issuers;

/// Why a token could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The auth service's log can't be used.
    #[error(transparent)]
    WriteSide(#[from] WriteSideError),
    /// The directory of tenants can't be used.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// A command was refused.
    #[error("{0}")]
    Refused(#[source] Refusal),
    /// The issuer's URL is unknown: the server chooses its port at start, and no public URL is configured.
    #[error(
        "the server listens on a port of its own choice, so its tenants' issuers are not known here: set http.public_url"
    )]
    NoAddress,
    /// Somebody changed the roles of the machine.
    #[error("the machine {name:?} ({id}) now has other roles ({roles}): restore its roles, or rename it")]
    Changed {
        /// Its name.
        name: String,
        /// Its id.
        id: MachineId,
        /// Its current roles.
        roles: String,
    },
    /// Somebody deactivated the machine.
    #[error(
        "the machine {name:?} ({id}) is deactivated: reactivate it, or give it another name and a new one is registered"
    )]
    Deactivated {
        /// Its name.
        name: String,
        /// Its id.
        id: MachineId,
    },
}

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The address that a server with this configuration listens on.
///
/// # Errors
/// When the port is 0 (chosen at start), and no public URL is configured either.
pub fn address(config: &Config) -> Result<SocketAddr, IssueError> {
    if config.http.port == 0 && config.http.public_url.is_empty() {
        return Err(IssueError::NoAddress);
    }
    Ok(SocketAddr::new(config.http.host, config.http.port))
}

/// Issues a token of the tenant's issuer for the command line, as a machine with these roles. The issuer's URL is the public URL of the
/// configuration, or else `address`. The machine is registered on first use; the tenant's administrators can see and deactivate it like
/// any other.
///
/// # Errors
/// When the tenant lives in another cell, the log can't be written, or the machine was deactivated or its roles were changed.
pub async fn issue(
    config: &Config,
    address: SocketAddr,
    tenant: &Tenant,
    roles: &[Role],
    lifetime: Duration,
) -> Result<String, IssueError> {
    // What would be written for it here could not be told from a history of its own: it could never move here.
    Directory::open(config).find_here(&tenant.tenant_id.to_string()).await?;
    let (store, executor) = write_side(config, auth_api::SERVICE).await?;
    let authority = authority(config, address, executor);
    let issued = token(&authority, tenant, roles, lifetime).await;
    store.close().await;
    issued
}

/// The authority over the tenants' signing keys and tokens, with the master key of the configuration.
pub(crate) fn authority(config: &Config, address: SocketAddr, executor: Executor) -> Authority {
    Authority::new(Parts {
        executor,
        tenants: Arc::new(CachedTenants::new(Directory::open(config))),
        active_tenants: face::all_tenants_active(),
        people: None,
        permissions: Arc::new(face::NoPermissions),
        links: None,
        pictures: None,
        admission: None,
        master: config.master_key(),
        random: Arc::new(SystemRandom),
        clock: Arc::new(SystemClock),
        settings: issuers::settings(config, address),
    })
}

async fn token(
    authority: &Authority,
    tenant: &Tenant,
    roles: &[Role],
    lifetime: Duration,
) -> Result<String, IssueError> {
    let mut roles: Vec<String> = roles.iter().map(|role| role.as_str().to_owned()).collect();
    roles.sort_unstable();
    roles.dedup();
    let machine = machine(authority, tenant.tenant_id, &roles).await?;
    let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
    let now = authority.now();
    let expires_at = now.checked_add_signed(lifetime).unwrap_or(now);
    let scope = vec!["api".to_owned()];
    let terms =
        GrantTerms::new(GrantKind::ClientCredentials, (machine.uuid(), machine.uuid()), scope.clone(), now, expires_at);
    let caller = protocol(tenant.tenant_id, &machine.to_string());
    let grant = authority.run(&caller, &OpenGrant { terms: terms.clone() }).await?.answer;
    let claims = AccessClaims {
        tenant: tenant.tenant_id.uuid(),
        roles,
        scope: scope.join(" "),
        client_id: machine.to_string(),
        grant,
        sid: None,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
        act: None,
    };
    let known = authority.tenant(&tenant.slug).await?;
    Ok(authority.access_token(&known, &terms, claims, lifetime).await?.text)
}

/// The machine of the command line with these roles; it is registered if it does not exist.
async fn machine(authority: &Authority, tenant: TenantId, roles: &[String]) -> Result<MachineId, IssueError> {
    let operator = Caller::new(tenant, "operator", &[Role::Admin], GRANTS);
    let name = format!("inopsio command line ({})", roles.join(", "));
    let register = RegisterMachine { name: name.clone(), roles: roles.to_vec(), reach: Reach::Everything };
    let refusal = match authority.run(&operator, &register).await {
        Ok(done) => return Ok(done.answer),
        Err(refusal) => refusal,
    };
    let holder = refusal.extra().get("holder").and_then(|holder| holder.as_str()).and_then(|id| id.parse().ok());
    let id: MachineId = match holder {
        Some(id) if refusal.code() == "machine_name_taken" => id,
        _ => return Err(refusal.into()),
    };
    let Some((state, _)) = authority.executor().load::<Machine>(&operator, &id.to_string()).await? else {
        return Err(refusal.into());
    };
    if !state.active {
        return Err(IssueError::Deactivated { name, id });
    }
    let mut has = state.roles.clone();
    has.sort_unstable();
    if has != roles {
        return Err(IssueError::Changed { name, id, roles: has.join(", ") });
    }
    Ok(id)
}
