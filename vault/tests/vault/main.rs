//! A client and a master key, held against a double of Vault: [`testbed::VaultDouble`] says what that is.

#![allow(clippy::unwrap_used, clippy::panic)]

mod encrypted;
mod saying;
mod tokens;
mod wrapping;

use std::sync::Arc;
use std::time::Duration;

use kernel::TenantId;
use keys::{Context, DataKey, SystemRandom};
use testbed::{VAULT_TOKEN, VaultDouble};
use uuid::Uuid;
use vault::{Client, Credentials, Place, Secret, Settings, Source, Transit};

/// Longer than any answer takes that comes.
const LONG: Duration = Duration::from_secs(30);
/// For what does not come.
const SHORT: Duration = Duration::from_secs(1);

fn given(token: &str) -> Credentials {
    Credentials::Token(Source::Text(Secret::new(token)))
}

fn settings(vault: &VaultDouble, credentials: Credentials) -> Settings {
    Settings { address: vault.address.clone(), namespace: None, credentials, ca_file: None, patience: LONG }
}

fn key_with(settings: Settings, place: &str) -> Transit {
    Transit::new(Arc::new(Client::open(settings).unwrap()), Place::read(place).unwrap().unwrap())
}

/// The key of the double, asked for with its token.
fn key(vault: &VaultDouble) -> Transit {
    key_with(settings(vault, given(VAULT_TOKEN)), "transit:transit/inopsio")
}

#[expect(clippy::disallowed_methods, reason = "a test's tenants")]
fn context(tenant: u128) -> Context<'static> {
    Context { tenant: TenantId::vouched(Uuid::from_u128(tenant)), purpose: "log.tenant_key", subject: "crm" }
}

fn data_key() -> DataKey {
    DataKey::generate(&SystemRandom).unwrap()
}
