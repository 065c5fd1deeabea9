//! Seals: signed heads of each tenant's Merkle tree, which prove that its history is complete and unaltered.
//!
//! The writer hashes each event ([`kernel::Leaf`]). The [`Sealer`], of which one is active in a service, reads the log in order of
//! positions, extends a tree of each tenant's leaves ([`kernel::Tree`]), and signs its head within a second: a [`Seal`]. None of this is on
//! the write path. A seal states how many events of a tenant the service's log had, and which ones (by the tree's root). Positions are not
//! part of it, so it stays valid when the tenant moves to another cell. Each seal contains the digest of the one before it, so a removed
//! seal is noticed.
//!
//! Anybody who has the events and the public key can verify the history without us: [`Audit`] checks a history event by event, [`verify`]
//! checks the one in the log. In an extract of a history, each event comes with its audit path in the tree ([`kernel::root_by_path`]).

mod audit;
mod key;
pub(crate) mod rows;
mod sealer;
mod verify;

use chrono::{DateTime, SubsecRound, Utc};
use kernel::LeafHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use audit::{Audit, Finding, Verdict, check_signature};
pub use key::{SealKey, SealedBy};
pub use rows::last_seal;
pub use sealer::{Sealer, SealerState, unsealed};
pub use verify::{AuditError, Seen, verify};

/// A signed head of a tenant's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The tenant.
    pub tenant: Uuid,
    /// The service.
    pub service: String,
    /// The number of events in the tree.
    pub size: u64,
    /// Root of the tree over their leaf hashes (RFC 6962).
    #[serde(with = "hex::serde")]
    pub root: LeafHash,
    /// When it was signed; whole microseconds.
    #[serde(deserialize_with = "kernel::deserialize_stored_time")]
    pub sealed_at: DateTime<Utc>,
    /// The id of the key that signed it: [`SealedBy::id`].
    pub key: String,
    /// [`Seal::digest`] of the previous seal; zeros for the first one.
    #[serde(with = "hex::serde")]
    pub previous: [u8; 32],
    /// Ed25519 over [`Seal::statement`].
    #[serde(with = "hex::serde")]
    pub signature: [u8; 64],
}

impl Seal {
    /// Signs a head. `previous` is the tenant's last seal.
    pub fn sign(
        key: &SealKey,
        (tenant, service): (Uuid, &str),
        (size, root): (u64, LeafHash),
        previous: Option<&Self>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut seal = Self {
            tenant,
            service: service.to_owned(),
            size,
            root,
            sealed_at: now.trunc_subsecs(6),
            key: key.sealed_by().id(),
            previous: previous.map_or([0; 32], Self::digest),
            signature: [0; 64],
        };
        seal.signature = key.sign(&seal.statement());
        seal
    }

    /// The bytes that are signed: each field, preceded by its length (u32, big-endian), so that two different heads never have the same
    /// statement.
    pub fn statement(&self) -> Vec<u8> {
        let mut statement = Vec::with_capacity(200);
        let mut part = |bytes: &[u8]| {
            statement.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            statement.extend(bytes);
        };
        part(b"inopsio.seal.1");
        part(self.tenant.as_bytes());
        part(self.service.as_bytes());
        part(&self.size.to_be_bytes());
        part(&self.root);
        part(&self.sealed_at.timestamp_micros().to_be_bytes());
        part(self.key.as_bytes());
        part(&self.previous);
        statement
    }

    /// SHA-256 of statement and signature, by which the next seal refers to this one.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.statement());
        hasher.update(self.signature);
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_of_one_head_and_one_key() {
        let (key, other) = (SealKey::parse(&"11".repeat(32)).unwrap(), SealKey::parse(&"22".repeat(32)).unwrap());
        let whose = (Uuid::from_u128(1), "auth");
        let first = Seal::sign(&key, whose, (3, [7; 32]), None, DateTime::UNIX_EPOCH);
        let second = Seal::sign(&key, whose, (4, [8; 32]), Some(&first), DateTime::UNIX_EPOCH);
        assert_eq!((first.previous, second.previous), ([0; 32], first.digest()));
        assert!(key.sealed_by().has_signed(&first) && key.sealed_by().has_signed(&second));
        assert!(!other.sealed_by().has_signed(&first));
        let altered: [fn(&mut Seal); 8] = [
            |seal| seal.tenant = Uuid::from_u128(2),
            |seal| seal.service = "crm".to_owned(),
            |seal| seal.size += 1,
            |seal| seal.root[31] ^= 1,
            |seal| seal.sealed_at += chrono::TimeDelta::microseconds(1),
            |seal| seal.key.push('0'),
            |seal| seal.previous[0] ^= 1,
            |seal| seal.signature[0] ^= 1,
        ];
        for alter in altered {
            let mut seal = second.clone();
            alter(&mut seal);
            assert!(!key.sealed_by().has_signed(&seal), "{seal:?}");
        }
        let ours = [key.sealed_by()];
        assert_eq!(check_signature(&second, &ours), Ok(()));
        let longer = Seal { size: 5, ..second.clone() };
        let altered = Finding::SealAltered { size: 5, key: ours[0].id() };
        assert_eq!(check_signature(&longer, &ours), Err(altered), "not as if another key had signed it");
        assert!(matches!(check_signature(&second, &[other.sealed_by()]), Err(Finding::NotSigned { size: 4, .. })));
        let text = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Seal>(&text).unwrap(), second);
    }
}
