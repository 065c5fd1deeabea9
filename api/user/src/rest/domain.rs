//! Domains: claim, verify by the DNS record, release.

use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, DomainOwnership, Empty, Example, NamesError, example};
use kernel::{Caller, Refusal, TenantId};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{ClaimedDomain, DomainId};
use user_commands::{ClaimDomain, NoteDomainRecordMissing, ReleaseDomain, VerifyDomain, lengths};
use uuid::Uuid;

use super::{Service, Tag};

/// The permissions to see domains, and to claim, verify and release them.
pub(crate) const READ: &str = "user:domain:read";
const WRITE: &str = "user:domain:write";

/// Maximum number of other TXT records that the refusal of a missing record lists.
const MAX_LISTED: usize = 10;

/// Operations on domains.
pub struct Domains {
    service: Service,
}

impl Domains {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A domain that the tenant claims as its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"domain": "example.com"}))]
struct NewDomain {
    /// Domain name, such as `example.com`, in Unicode or in its `xn--…` form. E-mail addresses and names of a single label are refused.
    #[schemars(length(min = *lengths::DOMAIN.start(), max = *lengths::DOMAIN.end()))]
    domain: String,
}

/// Verification state of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainStatus {
    /// Claimed, but not verified.
    Claimed,
    /// Verified: the TXT record was found.
    Verified,
    /// Verified before, but the TXT record was missing when it was last looked up.
    RecordMissing,
    /// Released: the tenant no longer claims it.
    Released,
}

/// The DNS record that proves that a domain belongs to the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct DomainRecord {
    /// Name of the record.
    pub name: String,
    /// Type of the record: TXT.
    pub r#type: &'static str,
    /// Value of the record.
    pub value: String,
}

/// Prefix of the record's value; the proof of the claim follows.
const VALUE: &str = "inopsio-verification=";

/// The proof that the record of a tenant's claim must contain. It depends on the tenant as well as on the claim, because a copy of a tenant
/// has claims with the same ids, for which no record was verified.
fn proof(tenant: TenantId, claim: Uuid) -> Uuid {
    Uuid::new_v5(&tenant.uuid(), claim.as_bytes())
}

impl DomainRecord {
    /// The record for a tenant's claim.
    pub(crate) fn of(domain: &str, tenant: TenantId, claim: Uuid) -> Self {
        let proof = proof(tenant, claim);
        Self { name: format!("_inopsio.{domain}"), r#type: "TXT", value: format!("{VALUE}{proof}") }
    }
}

/// The proofs in the values of TXT records.
fn proofs(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| kernel::read_uuid(text.trim().strip_prefix(VALUE)?).ok()).collect()
}

/// A domain claimed by the tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Domain")]
struct DomainResource {
    /// Id of the domain.
    id: Uuid,
    /// Domain name, in ASCII (`xn--…`) form.
    domain: String,
    /// Verification state.
    status: DomainStatus,
    /// DNS record that has to exist for the domain to be verified.
    record: DomainRecord,
}

fn resource(tenant: TenantId, id: Uuid, state: &ClaimedDomain) -> DomainResource {
    let status = match state {
        ClaimedDomain { released: true, .. } => DomainStatus::Released,
        ClaimedDomain { record_missing: true, .. } => DomainStatus::RecordMissing,
        ClaimedDomain { verified: true, .. } => DomainStatus::Verified,
        ClaimedDomain { .. } => DomainStatus::Claimed,
    };
    DomainResource { id, domain: state.domain.clone(), status, record: DomainRecord::of(&state.domain, tenant, id) }
}

fn unavailable(error: &NamesError) -> Refusal {
    tracing::warn!(%error, "a domain can't be looked up");
    Refusal::unavailable(
        "names_unavailable",
        "the DNS, or the directory of verified domains, can't be queried now; try again",
    )
}

fn missing(record: &DomainRecord, found: Vec<String>) -> Refusal {
    let DomainRecord { name, value, .. } = record;
    let detail = format!(
        "{name} has no TXT record with the value {value}; add it and try again: DNS changes may take some time to become visible"
    );
    let found: Vec<String> = found.into_iter().take(MAX_LISTED).map(|text| text.chars().take(255).collect()).collect();
    Refusal::conflict("domain_record_missing", detail).with("record", serde_json::json!(record)).with("found", found)
}

impl Example for DomainResource {
    fn example() -> Self {
        let record = DomainRecord {
            name: "_inopsio.example.com".to_owned(),
            r#type: "TXT",
            value: format!("{VALUE}{}", example::id(2)),
        };
        Self { id: example::id(1), domain: "example.com".to_owned(), status: DomainStatus::Verified, record }
    }
}

#[OpenApi(tag = "Tag::Domains")]
impl Domains {
    /// Claim a domain
    ///
    /// `GET /v1/user/domains/{domain}` then shows the DNS record that proves that the domain belongs to the tenant. An unverified claim has
    /// no effect on other tenants.
    #[oai(path = "/v1/user/domains", method = "post", operation_id = "claimDomain")]
    async fn claim(&self, command: Command<NewDomain>) -> CreateResult {
        let claim = ClaimDomain { domain: command.body.domain };
        create(&self.service.runtime, &command.request, "domains", claim, |id: &DomainId| id.uuid()).await
    }

    /// Get a domain
    ///
    /// Needs the permission `user:domain:read`.
    #[oai(path = "/v1/user/domains/:domain", method = "get", operation_id = "getDomain")]
    async fn get(&self, Authenticated(caller): Authenticated, domain: Path<Uuid>) -> ReadResult<DomainResource> {
        let show = |state: &ClaimedDomain| resource(caller.tenant(), domain.0, state);
        find(&self.service.runtime, &caller, READ, domain.0, show).await
    }

    /// Verify a domain by its DNS record
    ///
    /// If the record is found, the domain is verified, and no other tenant can verify it as long as the record exists. If the record of a
    /// verified domain is missing, the domain gets the status `record_missing`; it stays the tenant's until another tenant verifies it with
    /// a record of its own.
    ///
    /// If the registration policy lets people of verified domains register, callers can't verify a domain whose people would then get more
    /// permissions than they have themselves (`exceeds_own_permissions`).
    #[oai(path = "/v1/user/domains/:domain/verify", method = "post", operation_id = "verifyDomain")]
    async fn verify(&self, command: Command<Empty>, domain: Path<Uuid>) -> ChangeResult {
        let (runtime, claim) = (&self.service.runtime, domain.0);
        let caller = &command.request.caller;
        let state = self.load(caller, claim).await?;
        if state.released {
            return Err(Refusal::from(user_aggregates::DomainError::Released).into());
        }
        let record = DomainRecord::of(&state.domain, caller.tenant(), claim);
        let texts = runtime.names.texts(&record.name).await.map_err(|error| unavailable(&error))?;
        let proofs = proofs(&texts);
        let proof = proof(caller.tenant(), claim);
        if !proofs.contains(&proof) {
            if !state.verified {
                return Err(missing(&record, texts).into());
            }
            return change(runtime, &command.request, claim, NoteDomainRecordMissing { domain: id(&domain) }).await;
        }
        let verify = VerifyDomain { domain: id(&domain), catalogue: self.service.catalogue.clone() };
        // The directory is another database: it must not say that the domain is held if this is refused.
        runtime.executor.dry_run(&command.request, &verify).await?;
        let owned =
            DomainOwnership { domain: &state.domain, tenant: caller.tenant(), proof, at: runtime.executor.now() };
        if !runtime.names.record_owner(&owned, &proofs).await.map_err(|error| unavailable(&error))? {
            let detail = "the record was found, but another tenant of this installation has verified this domain, and its record exists too; remove that record, or have that tenant release the domain";
            return Err(Refusal::conflict("domain_held", detail).into());
        }
        let done = change(runtime, &command.request, claim, verify).await;
        // The DNS lookup takes time. A release meanwhile could not give the domain back, because it was not held yet; so that is done
        // here. A release is final, so this takes nothing from another request; a release from now on gives the domain back itself.
        // The same goes for what was refused after all, for example because the registration policy changed meanwhile; unless another
        // request of the tenant verified the domain at the same time.
        let after = self.load(caller, claim).await?;
        if after.released || (done.is_err() && !after.verified) {
            self.release_name(caller, claim, &state.domain).await?;
            let now = self.load(caller, claim).await?;
            if now.verified && !now.released {
                runtime.names.record_owner(&owned, &proofs).await.map_err(|error| unavailable(&error))?;
            }
        }
        done
    }

    /// Release a domain
    ///
    /// Another tenant may then verify it. Needs the permission `user:domain:write`.
    #[oai(path = "/v1/user/domains/:domain/release", method = "post", operation_id = "releaseDomain")]
    async fn release(&self, command: Command<Empty>, domain: Path<Uuid>) -> ChangeResult {
        let (runtime, claim) = (&self.service.runtime, domain.0);
        let caller = &command.request.caller;
        let state = self.load(caller, claim).await?;
        let done = change(runtime, &command.request, claim, ReleaseDomain { domain: id(&domain) }).await?;
        // After the command, and also if the domain was released before: repeating the request completes an interrupted release.
        self.release_name(caller, claim, &state.domain).await?;
        Ok(done)
    }
}

impl Domains {
    async fn release_name(&self, caller: &Caller, claim: Uuid, domain: &str) -> Result<(), Refusal> {
        // Domains that were verified by an early version are held by the claim's id itself, which was the record's value then.
        let by = [proof(caller.tenant(), claim), claim];
        let given = self.service.runtime.names.release(domain, caller.tenant(), &by).await;
        given.map_err(|error| unavailable(&error))
    }

    /// Loads a claimed domain to change it; checks the caller's permission.
    async fn load(&self, caller: &Caller, claim: Uuid) -> Result<ClaimedDomain, Refusal> {
        caller.require(WRITE)?;
        let found = self.service.runtime.executor.load::<ClaimedDomain>(caller, &claim.to_string()).await?;
        let not_found = || executor::not_found::<ClaimedDomain>(&claim.to_string());
        found.map(|(state, _)| (*state).clone()).ok_or_else(not_found)
    }
}
