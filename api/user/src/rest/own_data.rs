//! Export and erasure of the caller's own data, and verification of what the logs still reveal about an erased user.

use std::collections::BTreeMap;
use std::pin::Pin;

use eventstore::ReplayFilter;
use face::operation::{self, ChangeResult};
use face::{
    Authenticated, Command, Erasure, Example, KnownWhereSignedIn, PersonEvent, Plain, Problem, Streamed, example,
    log_unreadable,
};
use futures::stream::{self, BoxStream, Peekable, Stream, StreamExt, TryStreamExt};
use kernel::{Aggregate, Caller, Personal, Position, RecordedEvent, Refusal, UserId};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use user_aggregates::{Group, Invitation, Label, Labels, Organization, Preferences, User};
use user_commands::{EraseOneself, not_a_user, require_recent_sign_in};
use user_jobs::FORGET_IMPORTS;
use uuid::Uuid;

use super::me::oneself;
use super::user::UserResource;
use super::{Service, Tag, form};
use crate::permission_resolver::PermissionResolver;

/// Maximum number of events that are decrypted and sent at once.
const BATCH_SIZE: usize = 64;

/// Operations on the caller's own data.
pub struct OwnData {
    service: Service,
    permission_resolver: PermissionResolver,
}

/// A group or organization that the user belongs to.
#[derive(Debug, Serialize, JsonSchema)]
struct OwnMembership {
    /// Id of the group or organization.
    id: Uuid,
    /// Name of the group or organization.
    name: String,
}

/// All data that the user and auth services hold about a user.
#[derive(Debug, Serialize, JsonSchema)]
struct OwnDataExport {
    /// When the export was made.
    exported_at: chrono::DateTime<chrono::Utc>,
    /// The user and their profile.
    user: UserResource,
    /// Id of the user at their identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// Further data from the identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<OwnLabels>,
    /// Groups of the user.
    groups: Vec<OwnMembership>,
    /// Organizations of the user.
    organizations: Vec<OwnMembership>,
    /// Permissions of the user.
    permissions: Vec<&'static str>,
    /// Preferences that the user chose.
    preferences: BTreeMap<String, Value>,
    /// Data about how the user signs in.
    signing_in: KnownWhereSignedIn,
    /// All events about the user, oldest first: of the invitation that they accepted, of the user and of their preferences.
    // Must be the last field: it is streamed after the others, so that not all events have to be in memory.
    history: Vec<PersonEvent>,
}

/// Data from an identity provider that is stored but not used here.
#[derive(Debug, Serialize, JsonSchema)]
struct OwnLabels {
    /// Full formatted name.
    #[serde(skip_serializing_if = "Option::is_none")]
    formatted_name: Option<String>,
    /// Formatted postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    formatted_address: Option<String>,
    /// Label of the e-mail address.
    email: OwnLabel,
    /// Label of the telephone number.
    phone: OwnLabel,
    /// Label of the postal address.
    address: OwnLabel,
}

/// How the identity provider labels an e-mail address, telephone number or postal address.
#[derive(Debug, Serialize, JsonSchema)]
struct OwnLabel {
    /// Purpose, such as `work` or `home`.
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    /// Whether it is the primary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<bool>,
}

impl OwnLabels {
    /// The labels; `None` if there are none.
    fn of(labels: &Labels) -> Option<Self> {
        let text = |kept: Option<&Personal<String>>| kept.map(|text| text.reveal().clone());
        let label = |kept: &Label| OwnLabel { purpose: text(kept.purpose.as_ref()), primary: kept.primary };
        (*labels != Labels::default()).then(|| Self {
            formatted_name: text(labels.formatted_name.as_ref()),
            formatted_address: text(labels.formatted_address.as_ref()),
            email: label(&labels.email),
            phone: label(&labels.phone),
            address: label(&labels.address),
        })
    }
}

/// What the logs still reveal about a user: the log of the user service, and the log of the auth service, which learns of an erasure a
/// moment later.
#[derive(Debug, Serialize, JsonSchema)]
struct UserErasure {
    #[serde(flatten)]
    user: Erasure,
    /// The same for the log of the auth service: the user's account, sessions and sign-in attempts.
    signing_in: Erasure,
}

/// Confirmation of the erasure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"email": "ada@example.com"}))]
struct Confirmation {
    /// The caller's own e-mail address.
    #[schemars(with = "form::Email")]
    email: String,
}

impl OwnData {
    pub(super) fn new(service: Service) -> Self {
        let permission_resolver = PermissionResolver::new(service.runtime.executor.clone(), &service.runtime.grants);
        Self { service, permission_resolver }
    }

    async fn load<A: Aggregate>(&self, caller: &Caller, id: Uuid) -> Result<Option<std::sync::Arc<A>>, Refusal> {
        Ok(self.service.runtime.executor.load::<A>(caller, &id.to_string()).await?.map(|(state, _)| state))
    }

    /// The events of one stream as they are stored, up to a position (`None`: until now), in order.
    fn replay_of(&self, caller: &Caller, (aggregate_type, id): (&str, Uuid), to: Option<Position>) -> History {
        let (aggregate_type, aggregate_id) = (Some(aggregate_type.to_owned()), Some(id.to_string()));
        let filter = ReplayFilter { aggregate_type, aggregate_id, to, ..ReplayFilter::default() };
        self.service.runtime.store.replay(caller.tenant(), filter).boxed()
    }

    /// The events of these streams until now, oldest first, with personal data decrypted. They are read in batches, because they can
    /// contain every picture that the user ever uploaded. An error in the first batch becomes a refusal; a later one ends the answer, which
    /// has begun by then.
    async fn history(&self, caller: &Caller, of: &[(&str, Uuid)]) -> Result<Batches, Refusal> {
        let store = self.service.runtime.store.clone();
        let to = store.head().await.map_err(|error| log_unreadable(&error))?;
        let histories = of.iter().map(|stream| self.replay_of(caller, *stream, Some(to)));
        let events = merged(histories.collect()).boxed();
        let opened = events.ready_chunks(BATCH_SIZE).then(move |events| {
            let store = store.clone();
            async move { store.opened(events.into_iter().collect::<Result<Vec<_>, _>>()?).await }
        });
        let mut opened = opened.boxed().peekable();
        if let Some(Err(error)) = Pin::new(&mut opened).peek().await {
            return Err(log_unreadable(error));
        }
        Ok(opened.boxed())
    }
}

/// The events of one stream, in order.
type History = BoxStream<'static, Result<RecordedEvent, eventstore::Error>>;

/// The events of several streams that are not merged yet.
type Histories = Vec<Peekable<History>>;

/// Events in batches.
type Batches = BoxStream<'static, Result<Vec<RecordedEvent>, eventstore::Error>>;

/// Merges the events of several streams into the order of the log.
fn merged(histories: Vec<History>) -> impl Stream<Item = Result<RecordedEvent, eventstore::Error>> + Send {
    let histories: Histories = histories.into_iter().map(StreamExt::peekable).collect();
    stream::try_unfold(histories, take_first)
}

/// Returns the event with the lowest position, and the remaining events. If a stream's next item is an error, that is returned first.
async fn take_first(mut left: Histories) -> Result<Option<(RecordedEvent, Histories)>, eventstore::Error> {
    let mut first: Option<(usize, Position)> = None;
    for (nth, history) in left.iter_mut().enumerate() {
        let at = match Pin::new(history).peek().await {
            Some(Ok(event)) => event.position,
            Some(Err(_)) => Position::START,
            None => continue,
        };
        if first.is_none_or(|(_, earliest)| at < earliest) {
            first = Some((nth, at));
        }
    }
    let Some((nth, _)) = first else { return Ok(None) };
    let event = left[nth].try_next().await?;
    Ok(event.map(|event| (event, left)))
}

/// The event streams that contain a user's data.
fn streams(user: Uuid, state: &User) -> Vec<(&'static str, Uuid)> {
    let invitation = state.invitation.map(|invitation| (Invitation::TYPE, invitation.uuid()));
    invitation.into_iter().chain([(User::TYPE, user), (Preferences::TYPE, user)]).collect()
}

impl Example for OwnDataExport {
    fn example() -> Self {
        let membership = |number, name: &str| OwnMembership { id: example::id(number), name: name.to_owned() };
        Self {
            exported_at: example::time(120),
            user: UserResource::example(),
            external_id: None,
            labels: None,
            groups: vec![membership(2, "Sales")],
            organizations: vec![membership(4, "Sales, northern region")],
            permissions: vec!["crm:lead:read", "crm:lead:write"],
            preferences: BTreeMap::from([("theme".to_owned(), Value::from("dark"))]),
            signing_in: KnownWhereSignedIn::example(),
            history: vec![PersonEvent::example()],
        }
    }
}

impl Example for UserErasure {
    fn example() -> Self {
        Self { user: Erasure::example(), signing_in: Erasure::example() }
    }
}

#[OpenApi(tag = "Tag::Me")]
impl OwnData {
    /// Export the caller's personal data
    ///
    /// Contains what the user and auth services hold about the caller: profile, history, passkeys, sessions, sign-in attempts and consents
    /// for applications. Other services' data is not included. A token that tells when the caller signed in must be from a sign-in within
    /// the last ten minutes (`sign_in_too_old`).
    #[oai(path = "/v1/user/me/export", method = "get", operation_id = "exportMe")]
    async fn export(&self, Authenticated(caller): Authenticated) -> Result<Streamed<OwnDataExport>, Problem> {
        let user = oneself(&caller)?.uuid();
        require_recent_sign_in(&caller, self.service.runtime.executor.now())?;
        let Some(state) = self.load::<User>(&caller, user).await? else {
            return Err(not_a_user().into());
        };
        let mut groups = Vec::new();
        for group in &state.groups {
            if let Some(found) = self.load::<Group>(&caller, group.uuid()).await? {
                groups.push(OwnMembership { id: group.uuid(), name: found.name.clone() });
            }
        }
        let mut organizations = Vec::new();
        for organization in &state.organizations {
            if let Some(found) = self.load::<Organization>(&caller, organization.uuid()).await? {
                organizations.push(OwnMembership { id: organization.uuid(), name: found.name.clone() });
            }
        }
        let preferences = self.load::<Preferences>(&caller, user).await?;
        let chosen = preferences.iter().flat_map(|preferences| &preferences.chosen);
        let standing = self.permission_resolver.of(caller.tenant(), caller.subject(), &[]).await?;
        let export = OwnDataExport {
            exported_at: self.service.runtime.executor.now(),
            user: self.service.shown(caller.tenant(), user, &state),
            external_id: state.external_id.as_ref().map(|id| id.reveal().clone()),
            labels: OwnLabels::of(&state.labels),
            groups,
            organizations,
            permissions: standing.permissions.into_iter().collect(),
            preferences: chosen.map(|(key, value)| (key.clone(), serde_json::json!(value))).collect(),
            signing_in: self.service.runtime.signing_in.known(caller.tenant(), UserId::new(user)).await?,
            history: Vec::new(),
        };
        let history = self.history(&caller, &streams(user, &state)).await?;
        let told = |events: Vec<RecordedEvent>| events.iter().map(PersonEvent::from).collect::<Vec<_>>();
        Ok(Streamed::new(export, history.map_ok(told)))
    }

    /// Erase the caller's own user
    ///
    /// Has the same effect as when an administrator erases a user: nobody can tell any more who it was. This can't be undone. The caller
    /// has to confirm it with their e-mail address, and a token that tells when they signed in must be from a sign-in within the last ten
    /// minutes. The tenant's last owner can't be erased.
    #[oai(path = "/v1/user/me/erase", method = "post", operation_id = "eraseMe")]
    async fn erase(&self, command: Command<Confirmation>) -> ChangeResult {
        let user = oneself(&command.request.caller)?;
        let Command { request, body: Confirmation { email } } = command;
        let erase = |forget| EraseOneself { email, forget };
        Ok(operation::erase(&self.service.runtime, &request, user.uuid(), FORGET_IMPORTS, erase).await?)
    }

    /// Check what the logs still reveal about a user
    ///
    /// An erased user remains in the log only as an id and as data that can't be decrypted any more. This operation checks every event of
    /// the user again, also in the log of the auth service.
    #[oai(path = "/v1/user/users/:user/erasure", method = "get", operation_id = "getUserErasure")]
    async fn erasure(
        &self,
        Authenticated(caller): Authenticated,
        user: Path<Uuid>,
    ) -> Result<Plain<UserErasure>, Problem> {
        caller.require("user:user:erase")?;
        // Load the user from those events that can be read, as the erasure does.
        let runtime = &self.service.runtime;
        if runtime.executor.load_lossy::<User>(&caller, &user.0.to_string()).await?.is_none() {
            return Err(Refusal::absent(User::TYPE, user.0).into());
        }
        let mut of = vec![(User::TYPE, user.0)];
        // The state of an erased user does not contain the invitation any more, but the user's first event still does.
        let first = self.replay_of(&caller, of[0], None).try_next().await.map_err(|error| log_unreadable(&error))?;
        let invitation = first.and_then(|event| serde_json::from_slice::<Value>(&event.payload).ok());
        let invitation = invitation.and_then(|data| data["invitation"].as_str().and_then(|id| id.parse().ok()));
        of.extend(invitation.map(|invitation| (Invitation::TYPE, invitation)));
        let erasure = Erasure::of(&runtime.store, caller.tenant(), &of, true).await?;
        let signing_in = runtime.signing_in.erasure(caller.tenant(), UserId::new(user.0)).await?;
        Ok(Plain(UserErasure { user: erasure, signing_in }))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn history(positions: &[u64]) -> History {
        stream::iter(positions.iter().map(|position| Ok(testbed::event(*position))).collect::<Vec<_>>()).boxed()
    }

    fn told(histories: Vec<History>) -> Result<Vec<u64>, eventstore::Error> {
        merged(histories).map_ok(|event| event.position.0).try_collect().now_or_never().unwrap()
    }

    #[test]
    fn several_histories_are_told_in_the_order_of_the_log() {
        let histories = vec![history(&[2, 5]), history(&[]), history(&[1, 3, 4])];
        assert_eq!(told(histories).unwrap(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_history_that_cannot_be_read_is_not_told_without_the_rest() {
        let gone = stream::iter([Err(eventstore::Error::Unavailable("gone".to_owned()))]);
        assert!(told(vec![history(&[1, 2]), history(&[3]).chain(gone).boxed()]).is_err());
    }
}
