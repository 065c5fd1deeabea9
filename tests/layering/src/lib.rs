//! Checks which crate may depend on which: the diagram below as a table ([`station`]), compared with the output of `cargo metadata`
//! ([`metadata`]).
//!
//! ```text
//! kernel ◀ aggregates/* ◀ commands/* ◀ api/* ◀ api/gateway ◀ cli
//! kernel ◀ keys ◀ aggregates/*, commands/*, eventstore, commands/executor, projections/projector, api/*
//! kernel ◀ nats ◀ eventstore ◀ commands/executor, projections/projector, sagas/coordinator, webhooks, jobs/queue ◀ api/*
//! aggregates/* ◀ projections/* ◀ api/*        aggregates/* + commands/* ◀ sagas ◀ api/gateway
//! keys ◀ saml ◀ commands/*, api/*
//! kernel ◀ mailer ◀ sagas, api/*        kernel ◀ texting ◀ sagas        mailer + sagas/coordinator ◀ sagas/mailing ◀ sagas
//! projections/projector ◀ projections/folding ◀ projections/*, api/face
//! eventstore ◀ deadletters ◀ projections/projector, sagas/coordinator, webhooks, api/*
//! keys ◀ vault; keys, vault, nats, eventstore, projections/projector, webhooks ◀ config ◀ directory ◀ api/gateway
//! sagas + commands/* + aggregates/* + commands/executor, projections/projector, sagas/coordinator, deadletters ◀ directory
//! sagas/coordinator ◀ sagas, api/*        aggregates/* + commands/* + projections/* + jobs/queue ◀ jobs/* ◀ api/*
//! never: aggregates → I/O · projections → commands · one domain → another domain · anything → api
//! ```
//!
//! A new domain needs no change here. A new layer (a top-level folder) needs a variant of [`Station`] and its line in
//! [`Station::may_use`].

pub mod metadata;
pub mod sources;
pub mod station;

use metadata::{Kind, Workspace};
use station::Station;

/// Third-party crates that do I/O. Pure crates must not depend on them, directly or indirectly.
const IO: &[&str] =
    &["async-nats", "axum", "hyper", "juniper", "poem", "postgres-es", "reqwest", "sqlx", "sqlx-core", "tonic"];

/// Also does I/O, but `cqrs-es` depends on it for its channels. A pure crate must not depend on it directly.
const RUNTIME: &str = "tokio";

/// All dependencies that the diagram does not allow, with a hint on how to resolve each.
pub fn violations(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for member in &workspace.members {
        let Some(from) = Station::of(&member.folder) else {
            found.push(format!(
                "{} is in {}: no station of the road; say in tests/layering who may depend on it",
                member.name, member.folder
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let Some(target) = workspace.member(&dependency.name) else { continue };
            let Some(to) = Station::of(&target.folder) else { continue };
            let allowed = from.may_use(&to) || (dependency.kind == Kind::Dev && from.tests_may_use(&to));
            if !allowed {
                found.push(format!(
                    "{} ({}) depends on {} ({}), an arrow that the drawing at the head of tests/layering/src/lib.rs does not have: move the code to the layer whose work it is",
                    member.name, member.folder, target.name, target.folder
                ));
            }
        }
        if from.is_pure() {
            if member.dependencies.iter().any(|dependency| dependency.name == RUNTIME && dependency.kind == Kind::Build)
            {
                found.push(format!(
                    "{} ({}) depends on {RUNTIME}: kernel and aggregates are pure",
                    member.name, member.folder
                ));
            }
            for name in workspace.reached_by(&member.id).into_iter().filter(|name| IO.contains(name)) {
                found.push(format!(
                    "{} ({}) reaches {name}, which does I/O: kernel and aggregates are pure; do it in the layer above",
                    member.name, member.folder
                ));
            }
        }
    }
    found
}
