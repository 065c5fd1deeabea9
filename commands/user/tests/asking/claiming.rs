//! The claims that commands took equal those derived from the events. Otherwise a history that is copied into another tenant would lose its
//! unique values.

use std::collections::BTreeSet;

use eventstore::ReplayFilter;
use eventstore::backup::{StoredClaim, freeze};
use executor::ClaimHistory;
use futures::{StreamExt, TryStreamExt};
use user_commands::{
    ChangeLogin, ClaimDomain, Claims, CloseOrganization, CreateOrganization, DissolveGroup, EraseUser, InviteUser,
    LoginFields, RegisterUser, ReleaseDomain, RemoveUser, RenameGroup, RenameOrganization, RevokeInvitation,
};

use super::support::*;

/// The claims in the log, and those derived from its events.
async fn both(world: &World) -> (Vec<StoredClaim>, Vec<StoredClaim>) {
    let mut snapshot = freeze(&[world.store.database().clone()]).await.unwrap().remove(0);
    let mut stored: Vec<_> = snapshot.claims().try_collect().await.unwrap();
    stored.sort_unstable();
    let tenant = world.request.caller.tenant();
    let mut claims = Claims::default();
    let mut events = std::pin::pin!(world.store.replay(tenant, ReplayFilter::default()));
    while let Some(event) = events.next().await {
        claims.observe(&event.unwrap()).unwrap();
    }
    (stored, claims.held().stored(&[7; 32], tenant))
}

#[tokio::test]
async fn every_claim_that_commands_take_is_told_by_the_events() {
    let world = World::with_jobs().await;
    let login = |email: &str, user_name: Option<&str>| LoginFields {
        email: email.to_owned(),
        user_name: user_name.map(str::to_owned),
    };
    let ada = world.done(&RegisterUser { login: login("ada@example.com", Some("ada")), ..user("ada", &[]) }).await;
    let change =
        |email: &str, user_name| ChangeLogin { user: ada, login: login(email, user_name), catalogue: catalogue() };
    world.done(&change("countess@example.com", Some("ada"))).await;
    world.done(&change("countess@example.com", None)).await;
    let (grace, hedy) = (world.user("grace", &[]).await, world.user("hedy", &[]).await);
    world.done(&RemoveUser { user: grace, catalogue: catalogue() }).await;
    world.done(&EraseUser { user: grace, catalogue: catalogue(), forget: forget() }).await;
    world.done(&EraseUser { user: hedy, catalogue: catalogue(), forget: forget() }).await;
    world.user("grace", &[]).await;

    let invite = |name: &str| InviteUser {
        email: format!("{name}@example.com"),
        name: None,
        roles: vec![],
        groups: vec![],
        catalogue: catalogue(),
    };
    world.done(&invite("pending")).await;
    let accepted = world.done(&invite("accepted")).await;
    let follower = world.with_permissions(&["user:invitation:accept"]);
    world.done_as(&follower, &accept(accepted, 1)).await;
    let revoked = world.done(&invite("revoked")).await;
    world.done(&RevokeInvitation { invitation: revoked, catalogue: catalogue() }).await;

    let (sales, gone) = (world.group("Sales", &[]).await, world.group("Gone", &[]).await);
    world.done(&RenameGroup { group: sales, name: "SALES".to_owned(), catalogue: catalogue() }).await;
    world.done(&RenameGroup { group: sales, name: "Buying".to_owned(), catalogue: catalogue() }).await;
    world.done(&DissolveGroup { group: gone, catalogue: catalogue() }).await;
    let organization = |name: &str| CreateOrganization { name: name.to_owned(), parent: None };
    let north = world.done(&organization("North")).await;
    world.done(&RenameOrganization { organization: north, name: "South".to_owned() }).await;
    let east = world.done(&organization("East")).await;
    world.done(&CloseOrganization { organization: east }).await;

    let domain = |name: &str| ClaimDomain { domain: name.to_owned() };
    world.done(&domain("example.com")).await;
    let released = world.done(&domain("example.org")).await;
    world.done(&ReleaseDomain { domain: released }).await;

    let (stored, told) = both(&world).await;
    assert_eq!(told, stored);
    let kinds: BTreeSet<_> = stored.iter().map(|claim| claim.kind.as_str()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["user.domain.name", "user.group.name", "user.invitation.email", "user.login", "user.organization.name"],
        "a kind of claim that nothing here takes: add it, and what its events say in claims.rs"
    );
}
