//! Operations on machines.

use auth_aggregates::{Jwk, Machine};
use auth_commands::{
    ChangeMachine, DeactivateMachine, ReactivateMachine, RegisterMachine, SetMachineKeys, SetMachineSecret, lengths,
};
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Changed, Command, Empty, Example, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::public_key::PublicKey;
use super::secret::{self, SecretMade};
use super::{Tag, reach};
use crate::SERVICE;

/// Operations on machines.
pub struct Machines {
    runtime: Runtime,
}

impl Machines {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// Name and roles of a machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Warehouse sensor 7", "roles": ["member"]}))]
struct MachineBody {
    /// Name, unique in the tenant.
    #[schemars(length(min = *lengths::NAME.start(), max = *lengths::NAME.end()))]
    name: String,
    /// Roles: admin, manager, member, viewer, auditor, or a role of the tenant's own.
    #[schemars(length(max = lengths::ROLES))]
    roles: Vec<String>,
}

/// Public keys of a machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}))]
struct MachineKeys {
    /// Public keys (RFC 7517) of type Ed25519, P-256 or RSA; empty: the machine can't authenticate with a key any more.
    #[schemars(length(max = lengths::KEYS))]
    keys: Vec<PublicKey>,
}

/// A machine: a sensor or an integration.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Machine")]
struct MachineResource {
    /// Id of the machine; at the token endpoint, its `client_id`.
    id: Uuid,
    /// Name of the machine.
    name: String,
    /// Roles of the machine.
    roles: Vec<String>,
    /// Whether the machine has a secret.
    has_secret: bool,
    /// Public keys with which the machine authenticates.
    keys: Vec<Jwk>,
    /// Whether the machine is active and may get tokens.
    active: bool,
}

impl Example for MachineResource {
    fn example() -> Self {
        // The example of RFC 8037, appendix A.2.
        let key = Jwk {
            kty: "OKP".to_owned(),
            kid: Some("2026-05".to_owned()),
            crv: Some("Ed25519".to_owned()),
            x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            y: None,
            n: None,
            e: None,
        };
        Self {
            id: example::id(1),
            name: "warehouse-sensor".to_owned(),
            roles: vec!["viewer".to_owned()],
            has_secret: false,
            keys: vec![key],
            active: true,
        }
    }
}

#[OpenApi(tag = "Tag::Machines")]
impl Machines {
    /// Register a machine
    ///
    /// Its roles may not allow more than the caller's own permissions (`exceeds_own_permissions`). Needs the permission
    /// `auth:machine:write`.
    #[oai(path = "/v1/auth/machines", method = "post", operation_id = "registerMachine")]
    async fn register(&self, command: Command<MachineBody>) -> CreateResult {
        let MachineBody { name, roles } = command.body;
        let register = RegisterMachine { name, roles, reach: reach(&self.runtime) };
        create(&self.runtime, &command.request, "machines", register, |id| id.uuid()).await
    }

    /// Get a machine
    ///
    /// Needs the permission `auth:machine:read`.
    #[oai(path = "/v1/auth/machines/:machine", method = "get", operation_id = "getMachine")]
    async fn get(&self, Authenticated(caller): Authenticated, machine: Path<Uuid>) -> ReadResult<MachineResource> {
        find(&self.runtime, &caller, "auth:machine:read", machine.0, |state: &Machine| MachineResource {
            id: machine.0,
            name: state.name.clone(),
            roles: state.roles.clone(),
            has_secret: state.secret_hash.is_some(),
            keys: state.keys.clone(),
            active: state.active,
        })
        .await
    }

    /// Change a machine's name and roles
    ///
    /// The new roles apply within a second, to its API keys as well as to tokens that it already has.
    #[oai(path = "/v1/auth/machines/:machine/change", method = "post", operation_id = "changeMachine")]
    async fn change(&self, command: Command<MachineBody>, machine: Path<Uuid>) -> ChangeResult {
        let MachineBody { name, roles } = command.body;
        let changed = ChangeMachine { machine: id(&machine), name, roles, reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, machine.0, changed).await
    }

    /// Set a new secret for a machine
    ///
    /// The previous secret is no longer valid. The new one is shown only in this answer.
    #[oai(path = "/v1/auth/machines/:machine/secret", method = "post", operation_id = "setMachineSecret")]
    async fn set_secret(&self, command: Command<Empty>, machine: Path<Uuid>) -> ChangeResult<SecretMade> {
        let (secret, secret_hash) = secret::fresh()?;
        let set = SetMachineSecret { machine: id(&machine), secret_hash, reach: reach(&self.runtime) };
        let done = self.runtime.executor.execute(&command.request, &set).await?;
        let secret = (!done.repeated).then(|| secret.to_string());
        Ok(Changed::new(SERVICE, done, |()| SecretMade { id: machine.0, secret }))
    }

    /// Set the public keys of a machine
    ///
    /// The machine authenticates at the token endpoint with one of these keys (`private_key_jwt`), so that no secret is sent.
    #[oai(path = "/v1/auth/machines/:machine/keys", method = "post", operation_id = "setMachineKeys")]
    async fn set_keys(&self, command: Command<MachineKeys>, machine: Path<Uuid>) -> ChangeResult {
        let keys = command.body.keys.into_iter().map(Jwk::from).collect();
        let set = SetMachineKeys { machine: id(&machine), keys, reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, machine.0, set).await
    }

    /// Deactivate a machine
    ///
    /// The machine's current tokens and API keys are refused everywhere within a second, permanently.
    #[oai(path = "/v1/auth/machines/:machine/deactivate", method = "post", operation_id = "deactivateMachine")]
    async fn deactivate(&self, command: Command<Empty>, machine: Path<Uuid>) -> ChangeResult {
        let deactivate = DeactivateMachine { machine: id(&machine), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, machine.0, deactivate).await
    }

    /// Reactivate a machine
    ///
    /// Needs the permission `auth:machine:write`.
    #[oai(path = "/v1/auth/machines/:machine/reactivate", method = "post", operation_id = "reactivateMachine")]
    async fn reactivate(&self, command: Command<Empty>, machine: Path<Uuid>) -> ChangeResult {
        let reactivate = ReactivateMachine { machine: id(&machine), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, machine.0, reactivate).await
    }
}
