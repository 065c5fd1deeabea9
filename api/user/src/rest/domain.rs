//! Domains: claim, look for the record, release.

use face::operation::{Done, Found, Made, change, create, find, id};
use face::{Authenticated, Command, Empty, Example, Hold, NamesError, example};
use kernel::{Caller, Refusal, TenantId};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{ClaimedDomain, DomainId};
use user_commands::{ClaimDomain, NoteDomainRecordMissing, ReleaseDomain, VerifyDomain, lengths};
use uuid::Uuid;

use super::{Service, Tag};

/// What one needs to see domains, and to claim them.
pub(crate) const READ: &str = "user:domain:read";
const WRITE: &str = "user:domain:write";

/// How many of the records that were found instead are told.
const TOLD: usize = 10;

/// The operations on domains.
pub struct Domains {
    service: Service,
}

impl Domains {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A domain that the tenant says is its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"domain": "example.com"}))]
struct NewDomain {
    /// Its name, such as `example.com`; in another script or as `xn--…`. Not an address, and not a name of one part.
    #[schemars(length(min = *lengths::DOMAIN.start(), max = *lengths::DOMAIN.end()))]
    domain: String,
}

/// How far it is shown that a domain is the tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainStatus {
    /// The tenant says so.
    Claimed,
    /// Its record was there.
    Verified,
    /// Its record was there, and was not when it was last looked for.
    RecordMissing,
    /// The tenant does not say so any more.
    Released,
}

/// The record by which it is shown that a domain is the tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct DomainRecord {
    /// Its name.
    pub name: String,
    /// Its type: TXT.
    pub r#type: &'static str,
    /// Its value.
    pub value: String,
}

/// What the value of a record begins with; what proves a claim follows.
const VALUE: &str = "inopsio-verification=";

/// What a record has to say for a claim of a tenant. A copy of a tenant has claims with the same ids, and nobody has shown anything for it.
fn proof(tenant: TenantId, claim: Uuid) -> Uuid {
    Uuid::new_v5(&tenant.uuid(), claim.as_bytes())
}

impl DomainRecord {
    /// Of a tenant's claim.
    pub(crate) fn of(domain: &str, tenant: TenantId, claim: Uuid) -> Self {
        let proof = proof(tenant, claim);
        Self { name: format!("_inopsio.{domain}"), r#type: "TXT", value: format!("{VALUE}{proof}") }
    }
}

/// The proofs that are among these texts.
fn shown(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| kernel::read_uuid(text.trim().strip_prefix(VALUE)?).ok()).collect()
}

/// A domain.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Domain")]
struct DomainResource {
    /// Its id.
    id: Uuid,
    /// Its name, as the domain name system has it.
    domain: String,
    /// How far it is shown that it is the tenant's.
    status: DomainStatus,
    /// What has to be there to show it.
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
    tracing::warn!(%error, "a domain can't be looked at");
    Refusal::unavailable(
        "names_unavailable",
        "the domain name system, or who has which domain, can't be asked now; try again",
    )
}

fn missing(record: &DomainRecord, found: Vec<String>) -> Refusal {
    let DomainRecord { name, value, .. } = record;
    let detail = format!(
        "the name {name} has no text record (TXT) {value}; put it there and try again: name servers may take some time to tell it"
    );
    let found: Vec<String> = found.into_iter().take(TOLD).map(|text| text.chars().take(255).collect()).collect();
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
    /// It says then which record shows that the domain is the tenant's. A claim that is not shown means nothing to anybody else.
    #[oai(path = "/v1/user/domains", method = "post", operation_id = "claimDomain")]
    async fn claim(&self, command: Command<NewDomain>) -> Made {
        let claim = ClaimDomain { domain: command.body.domain };
        create(&self.service.runtime, &command.request, "domains", claim, |id: &DomainId| id.uuid()).await
    }

    /// A domain as it is now
    ///
    /// Needs the permission `user:domain:read`.
    #[oai(path = "/v1/user/domains/:domain", method = "get", operation_id = "getDomain")]
    async fn get(&self, Authenticated(caller): Authenticated, domain: Path<Uuid>) -> Found<DomainResource> {
        let show = |state: &ClaimedDomain| resource(caller.tenant(), domain.0, state);
        find(&self.service.runtime, &caller, READ, domain.0, show).await
    }

    /// Look for a domain's record
    ///
    /// If it is there, the domain is verified: no other tenant has it as long as the record is there. A verified domain whose record is
    /// not there any more is shown so; it stays the tenant's until another one shows a record of its own.
    #[oai(path = "/v1/user/domains/:domain/verify", method = "post", operation_id = "verifyDomain")]
    async fn verify(&self, command: Command<Empty>, domain: Path<Uuid>) -> Done {
        let (runtime, claim) = (&self.service.runtime, domain.0);
        let caller = &command.request.caller;
        let state = self.known(caller, claim).await?;
        if state.released {
            return Err(Refusal::from(user_aggregates::DomainError::Released).into());
        }
        let record = DomainRecord::of(&state.domain, caller.tenant(), claim);
        let texts = runtime.names.texts(&record.name).await.map_err(|error| unavailable(&error))?;
        let shown = shown(&texts);
        let proof = proof(caller.tenant(), claim);
        if !shown.contains(&proof) {
            if !state.verified {
                return Err(missing(&record, texts).into());
            }
            return change(runtime, &command.request, claim, NoteDomainRecordMissing { domain: id(&domain) }).await;
        }
        let hold = Hold { domain: &state.domain, tenant: caller.tenant(), proof, at: runtime.executor.now() };
        if !runtime.names.hold(&hold, &shown).await.map_err(|error| unavailable(&error))? {
            let detail = "the record is there, but so is that of another tenant of this installation, which has this domain; \
                          remove its record, or have it release the domain";
            return Err(Refusal::conflict("domain_held", detail).into());
        }
        let done = change(runtime, &command.request, claim, VerifyDomain { domain: id(&domain) }).await;
        // Name servers take their time: whoever released it meanwhile had given back what was not held yet. A release is final, so
        // nothing of another request is given back here; one that comes now gives it back itself.
        if self.known(caller, claim).await?.released {
            self.give_back(caller, claim, &state.domain).await?;
        }
        done
    }

    /// Release a domain
    ///
    /// Another tenant may show then that the domain is theirs. Needs the permission `user:domain:write`.
    #[oai(path = "/v1/user/domains/:domain/release", method = "post", operation_id = "releaseDomain")]
    async fn release(&self, command: Command<Empty>, domain: Path<Uuid>) -> Done {
        let (runtime, claim) = (&self.service.runtime, domain.0);
        let caller = &command.request.caller;
        let state = self.known(caller, claim).await?;
        let done = change(runtime, &command.request, claim, ReleaseDomain { domain: id(&domain) }).await?;
        // Afterwards, also when it was released before: what was broken off here is mended by asking again.
        self.give_back(caller, claim, &state.domain).await?;
        Ok(done)
    }
}

impl Domains {
    async fn give_back(&self, caller: &Caller, claim: Uuid, domain: &str) -> Result<(), Refusal> {
        // What was verified at first is held by the claim's id itself, which its record said then.
        let by = [proof(caller.tenant(), claim), claim];
        let given = self.service.runtime.names.give_back(domain, caller.tenant(), &by).await;
        given.map_err(|error| unavailable(&error))
    }

    /// The domain that is to be changed, of whoever may.
    async fn known(&self, caller: &Caller, claim: Uuid) -> Result<ClaimedDomain, Refusal> {
        caller.require(WRITE)?;
        let found = self.service.runtime.executor.load::<ClaimedDomain>(caller, &claim.to_string()).await?;
        let not_found = || executor::not_found::<ClaimedDomain>(&claim.to_string());
        found.map(|(state, _)| (*state).clone()).ok_or_else(not_found)
    }
}
