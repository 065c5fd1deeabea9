//! Questions about signing in.

use face::graphql::Context;
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::denied_access::{self, DeniedAccess};
use super::machine::{self, Machine, MachineConnection, MachineFilter};
use super::refused_sign_in::{self, RefusedSignIn};
use super::saml_connection::{self, SamlConnection};
use super::session::{self, SignInSession};

/// Machines and their keys, and where people are signed in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthQuery;

#[graphql_object(context = Context)]
impl AuthQuery {
    /// A machine; `null`: unknown.
    async fn machine(context: &Context, id: Uuid) -> FieldResult<Option<Machine>> {
        Machine::of(context, id).await
    }

    /// Machines, by name.
    async fn machines(
        context: &Context,
        filter: Option<MachineFilter>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<MachineConnection> {
        machine::list(context, filter, first, after).await
    }

    /// The identity providers that sign people in, at most 100, oldest first; of those made after the one with the id `after`.
    async fn saml_connections(
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Uuid>,
    ) -> FieldResult<Vec<SamlConnection>> {
        saml_connection::list(context, first, after).await
    }

    /// The newest sessions of a person, ended ones included, at most 100: when, from where and by what they signed in; of those that
    /// began before the one with the id `after`.
    async fn sessions(
        context: &Context,
        user_id: Uuid,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Uuid>,
    ) -> FieldResult<Vec<SignInSession>> {
        session::of_user(context, user_id, first, after).await
    }

    /// The newest attempts to sign in that were refused, at most 100: those at a person's account, or without `userId` those at
    /// nobody's; of those before the one with the id `after`.
    async fn refused_sign_ins(
        context: &Context,
        user_id: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Uuid>,
    ) -> FieldResult<Vec<RefusedSignIn>> {
        refused_sign_in::list(context, user_id, first, after).await
    }

    /// What callers who are known were denied, newest first, at most 100: those of a user or a machine, or without `subject` all; of those
    /// before the one with the id `after`.
    async fn denied_accesses(
        context: &Context,
        subject: Option<String>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Uuid>,
    ) -> FieldResult<Vec<DeniedAccess>> {
        denied_access::list(context, subject, first, after).await
    }
}
