//! Rewrapping of tenants' keys after a change of the master key, and outages of the master key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::backup::freeze;
use eventstore::sealing::TENANT_KEY;
use eventstore::transfer::{Transfer, TransferError};
use eventstore::{Error, EventStore, Rewrapped, Sealing, Settings, append};
use kernel::{Service, TenantId};
use keys::{Context, DataKey, LocalMasterKey, MasterKey, Succession, SystemRandom, Wrapped};
use testbed::Database;

use super::support::*;

const ADA: &str = r#"{"name":{"personal":"Ada Lovelace"}}"#;

fn local(digit: &str) -> Arc<dyn MasterKey> {
    Arc::new(LocalMasterKey::parse(&digit.repeat(64), SystemRandom).unwrap())
}

/// The master key `b`, which replaces `a`.
fn followed() -> Arc<dyn MasterKey> {
    Arc::new(Succession::new(local("b"), local("a")))
}

fn sealing(master: Arc<dyn MasterKey>) -> Sealing {
    Sealing { master, random: Arc::new(SystemRandom) }
}

/// The settings of a process with this master key.
fn with_master(master: Arc<dyn MasterKey>) -> Settings {
    Settings { sealing: Some(sealing(master)), ..Settings::default() }
}

async fn wrapping(database: &Database, master: Arc<dyn MasterKey>) -> EventStore {
    open(database, with_master(master)).await
}

async fn add(store: &EventStore, tenant: TenantId) -> Result<(), append::Error> {
    let mut stream = stream(&id().to_string(), 0, 0);
    stream.events = vec![event(ADA)];
    store.append(append(tenant, vec![stream])).await.map(drop)
}

/// This many tenants, each with a sealed name.
async fn tenants(store: &EventStore, count: usize) -> Vec<TenantId> {
    let tenants: Vec<_> = (0..count).map(|_| testbed::tenant()).collect();
    for tenant in &tenants {
        add(store, *tenant).await.unwrap();
    }
    tenants
}

/// The number of tenants' keys that each master key wrapped.
async fn wrapped_by(database: &Database) -> BTreeMap<String, usize> {
    let holders: Vec<String> = sqlx::query_scalar("SELECT holder FROM log.claims WHERE kind = $1")
        .bind(TENANT_KEY)
        .fetch_all(&mut superuser(database).await)
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    for holder in &holders {
        *found.entry(Wrapped::read(holder).wrapped_by().to_owned()).or_default() += 1;
    }
    found
}

async fn opens_all(database: &Database, master: Arc<dyn MasterKey>) {
    let store = wrapping(database, master).await;
    for event in store.opened(whole_log(database, &store).await).await.unwrap() {
        assert_eq!(event.payload, r#"{"name":"Ada Lovelace"}"#);
    }
}

/// A master key that answers this many requests, and then none.
struct Answering(Arc<dyn MasterKey>, AtomicUsize);

impl Answering {
    fn so_often(master: Arc<dyn MasterKey>, often: usize) -> Arc<Self> {
        Arc::new(Self(master, AtomicUsize::new(often)))
    }

    fn ask(&self) -> Result<(), keys::Error> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| keys::Error::Unavailable("Vault is sealed".to_owned()))
    }
}

#[async_trait]
impl MasterKey for Answering {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, keys::Error> {
        self.ask()?;
        self.0.wrap(context, key).await
    }

    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, keys::Error> {
        self.ask()?;
        self.0.unwrap(context, wrapped).await
    }
}

#[tokio::test]
async fn all_keys_are_wrapped_by_the_one_that_follows_and_the_history_stays_as_it_is() {
    let database = Database::fresh("crm").await;
    let store = wrapping(&database, local("a")).await;
    tenants(&store, 7).await;
    let before = whole_log(&database, &store).await;
    let both = wrapping(&database, followed()).await;
    let commands = count(&database, "log.commands").await;
    let rehearsed = both.rewrap(3, true, |_| ()).await.unwrap();
    assert_eq!((rehearsed.keys, rehearsed.renewed), (7, 7));
    assert_eq!(count(&database, "log.commands").await, commands, "a rehearsal writes nothing");
    assert_eq!(wrapped_by(&database).await, [(local("a").name().to_owned(), 7)].into());

    let mut told = Vec::new();
    let done = both.rewrap(3, false, |so_far| told.push(so_far.keys)).await.unwrap();
    assert_eq!(done, Rewrapped { all: 7, keys: 7, renewed: 7, left: vec![], copies: vec![] });
    assert_eq!(told, [3, 6, 7]);
    assert_eq!(wrapped_by(&database).await, [(local("b").name().to_owned(), 7)].into());
    assert_eq!(whole_log(&database, &both).await, before);
    // The former master key is not needed any more; a process that still uses it continues to work.
    opens_all(&database, local("b")).await;
    for event in store.opened(before).await.unwrap() {
        assert_eq!(event.payload, r#"{"name":"Ada Lovelace"}"#);
    }
    let again = both.rewrap(3, false, |_| ()).await.unwrap();
    assert_eq!((again.keys, again.renewed), (7, 0), "nothing is left to do");
}

#[tokio::test]
async fn what_broke_off_goes_on_where_it_was() {
    let database = Database::fresh("crm").await;
    tenants(&wrapping(&database, local("a")).await, 6).await;
    // Each key is unwrapped with the former master key, wrapped with the current one, and unwrapped again to verify it.
    let failing = Arc::new(Succession::new(Answering::so_often(local("b"), 5), local("a")));
    let broken = wrapping(&database, failing).await.rewrap(1, false, |_| ()).await.unwrap_err();
    assert!(matches!(&broken, Error::Key(keys::Error::Unavailable(_))), "{broken}");
    let [old, new] = ["a", "b"].map(|digit| local(digit).name().to_owned());
    assert_eq!(wrapped_by(&database).await, [(old, 4), (new.clone(), 2)].into());
    opens_all(&database, followed()).await;
    let done = wrapping(&database, followed()).await.rewrap(100, false, |_| ()).await.unwrap();
    assert_eq!((done.keys, done.renewed), (6, 4));
    assert_eq!(wrapped_by(&database).await, [(new, 6)].into());
    opens_all(&database, local("b")).await;
}

#[tokio::test]
async fn two_who_do_it_at_once_while_tenants_are_made_leave_each_key_whole() {
    let database = Database::fresh("crm").await;
    tenants(&wrapping(&database, local("a")).await, 20).await;
    let stores = [wrapping(&database, followed()).await, wrapping(&database, followed()).await];
    let (first, second, made) =
        tokio::join!(stores[0].rewrap(3, false, |_| ()), stores[1].rewrap(3, false, |_| ()), tenants(&stores[0], 10),);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.left.is_empty() && second.left.is_empty(), "{first:?}, {second:?}");
    assert_eq!((first.renewed + second.renewed, made.len()), (20, 10), "each once");
    assert_eq!(wrapped_by(&database).await, [(local("b").name().to_owned(), 30)].into());
    opens_all(&database, local("b")).await;
}

#[tokio::test]
async fn a_key_that_can_not_be_wrapped_anew_is_left_as_it_is_and_said_with_the_reason() {
    let database = Database::fresh("crm").await;
    let [closed, strange] = tenants(&wrapping(&database, local("a")).await, 2).await[..] else { panic!("two") };
    sqlx::query("UPDATE log.claims SET holder = replace(holder, $1, $2) WHERE tenant_id = $3 AND kind = $4")
        .bind(local("a").name())
        .bind(local("c").name())
        .bind(strange.uuid())
        .bind(TENANT_KEY)
        .execute(&mut superuser(&database).await)
        .await
        .unwrap();
    let elsewhere = Database::fresh("crm").await;
    let crm = Service::new("crm");
    let mut transfer = Transfer::begin(crm, closed, &database.superuser(), &elsewhere.superuser()).await.unwrap();
    transfer.pause("east", Duration::from_mins(5)).await.unwrap();
    let before = wrapped_by(&database).await;
    let done = wrapping(&database, followed()).await.rewrap(100, false, |_| ()).await.unwrap();
    assert_eq!((done.keys, done.renewed, done.left.len()), (2, 0, 2), "{done:?}");
    let why = |tenant| &done.left.iter().find(|(left, _)| *left == tenant).unwrap().1;
    assert!(why(closed).contains("moved"), "{done:?}");
    assert!(why(strange).contains(local("c").name()), "{done:?}");
    assert_eq!(wrapped_by(&database).await, before);
}

#[tokio::test]
async fn of_a_tenant_who_lives_in_another_cell_the_copy_here_is_named_and_keeps_its_key() {
    let database = Database::fresh("crm").await;
    let [gone, arriving, here] = tenants(&wrapping(&database, local("a")).await, 3).await[..] else { panic!("three") };
    for (tenant, state) in [(gone, "left"), (arriving, "arriving")] {
        sqlx::query("INSERT INTO log.closed (tenant_id, state, cell) VALUES ($1, $2, 'east')")
            .bind(tenant.uuid())
            .bind(state)
            .execute(&mut superuser(&database).await)
            .await
            .unwrap();
    }
    let both = wrapping(&database, followed()).await;
    let [old, new] = ["a", "b"].map(|digit| local(digit).name().to_owned());
    for dry_run in [true, false] {
        let done = both.rewrap(100, dry_run, |_| ()).await.unwrap();
        assert_eq!((done.keys, done.renewed, done.left.as_slice()), (3, 1, [].as_slice()), "{done:?}");
        assert_eq!(done.copies.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&gone, &arriving]));
    }
    assert_eq!(wrapped_by(&database).await, [(old, 2), (new, 1)].into());
    // A purge deletes the keys of a copy with its other claims.
    sqlx::query("DELETE FROM log.claims WHERE tenant_id <> $1")
        .bind(here.uuid())
        .execute(&mut superuser(&database).await)
        .await
        .unwrap();
    let done = both.rewrap(100, false, |_| ()).await.unwrap();
    assert_eq!(done, Rewrapped { all: 1, keys: 1, ..Rewrapped::default() }, "nothing is left to do");
}

#[tokio::test]
async fn while_no_master_key_answers_opened_keys_go_on_and_a_tenant_without_one_is_refused_with_nothing_written() {
    let database = Database::fresh("crm").await;
    let master = Answering::so_often(local("a"), 2);
    let store = wrapping(&database, master.clone()).await;
    // One request wraps the key, another one unwraps the stored key.
    let [known] = tenants(&store, 1).await[..] else { panic!("one") };
    assert_eq!(master.1.load(Ordering::SeqCst), 0);
    add(&store, known).await.unwrap();
    let events = whole_log(&database, &store).await;
    assert_eq!(store.opened(events.clone()).await.unwrap().len(), 2);

    let (commands, claims) = (count(&database, "log.commands").await, count(&database, "log.claims").await);
    let refused = add(&store, testbed::tenant()).await.unwrap_err();
    assert!(
        matches!(&refused, append::Error::Keyless(keys::Error::Unavailable(why)) if why.contains("sealed")),
        "{refused}"
    );
    let counts = [("log.events", 2), ("log.commands", commands), ("log.claims", claims)];
    for (table, before) in counts {
        assert_eq!(count(&database, table).await, before, "{table}");
    }
    // Another process has no keys in its cache.
    let other = wrapping(&database, Answering::so_often(local("a"), 0)).await;
    let error = other.opened(events).await.unwrap_err();
    assert!(matches!(&error, Error::Key(keys::Error::Unavailable(_))), "{error}");
}

#[tokio::test]
async fn a_key_that_is_sealed_for_a_tenant_opens_in_every_process_until_the_tenant_is_destroyed() {
    let database = Database::fresh("crm").await;
    let (store, tenant) = (wrapping(&database, local("a")).await, testbed::tenant());
    let context = Context { tenant, purpose: "auth.tenant_key", subject: "" };
    let key = DataKey::generate(&SystemRandom).unwrap();
    let sealed = store.seal_key(context, &key).await.unwrap();
    for digit in ["a", "b"] {
        let other = wrapping(&database, if digit == "a" { local("a") } else { followed() }).await;
        assert_eq!(other.open_key(context, &sealed).await.unwrap().reveal(), key.reveal());
        let elsewhere = Context { purpose: "auth.totp", ..context };
        assert!(matches!(other.open_key(elsewhere, &sealed).await, Err(Error::Key(keys::Error::DoesNotOpen))));
    }
    let nobody = open(&database, Settings::default()).await;
    assert!(matches!(nobody.open_key(context, &sealed).await, Err(Error::NoMasterKey)));
    eventstore::destroy(&database, tenant, &[]).await.unwrap();
    let later = wrapping(&database, local("a")).await;
    assert!(matches!(later.open_key(context, &sealed).await, Err(Error::Key(keys::Error::DoesNotOpen))));
    assert!(
        matches!(later.seal_key(context, &key).await, Err(append::Error::Closed { .. })),
        "nor is another one made"
    );
}

#[tokio::test]
async fn attack_241_who_has_another_master_key_makes_no_tenant_a_key() {
    let database = Database::fresh("crm").await;
    // A mistake that is found before there is any key costs nothing.
    check_keys(&database, with_master(local("b"))).await.unwrap();
    tenants(&wrapping(&database, local("a")).await, 1).await;
    let before = contents(&database).await;
    let wrong = wrapping(&database, local("b")).await;
    let said = check_keys(&database, with_master(local("b"))).await.unwrap_err().to_string();
    let names = [local("a").name().to_owned(), local("b").name().to_owned()];
    assert!(said.contains("INOPSIO_MASTER_KEY") && names.iter().all(|name| said.contains(name)), "{said}");
    // So it is for a process that could not ask when it started.
    let refused = add(&wrong, testbed::tenant()).await.unwrap_err();
    assert!(matches!(&refused, append::Error::Unavailable(why) if why.contains("INOPSIO_MASTER_KEY")), "{refused}");
    let mut snapshot = freeze(&[(*database).clone()]).await.unwrap().remove(0);
    let refused = snapshot.check_master_key(&sealing(local("b"))).await.unwrap_err();
    assert!(matches!(refused, Error::MasterKey { .. }), "no backup has a key that nothing else opens: {refused}");
    drop(snapshot);
    assert_eq!(contents(&database).await, before, "nothing was written");

    // One that is to follow makes keys, and until the others are wrapped anew either process goes on.
    let both = wrapping(&database, followed()).await;
    check_keys(&database, with_master(followed())).await.unwrap();
    add(&both, testbed::tenant()).await.unwrap();
    assert_eq!(wrapped_by(&database).await, names.map(|name| (name, 1)).into());
    for digit in ["a", "b"] {
        let one = wrapping(&database, local(digit)).await;
        check_keys(&database, with_master(local(digit))).await.unwrap();
        add(&one, testbed::tenant()).await.unwrap();
    }
    both.rewrap(100, false, |_| ()).await.unwrap();
    check_keys(&database, with_master(local("b"))).await.unwrap();
    let said = check_keys(&database, with_master(local("a"))).await.unwrap_err();
    assert!(matches!(said, Error::MasterKey { .. }), "the former one opens nothing any more: {said}");
}

/// A master key that has the name of a place, as those in Vault have.
struct At(&'static str, Arc<dyn MasterKey>);

#[async_trait]
impl MasterKey for At {
    fn name(&self) -> &str {
        self.0
    }

    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, keys::Error> {
        let wrapped = self.1.wrap(context, key).await?;
        Ok(Wrapped::new(self.0, wrapped.by(self.1.name())?))
    }

    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, keys::Error> {
        self.1.unwrap(context, &Wrapped::new(self.1.name(), wrapped.by(self.0)?)).await
    }
}

#[tokio::test]
async fn attack_241_nor_does_who_has_another_key_at_the_same_place() {
    let database = Database::fresh("crm").await;
    let at = |digit| Arc::new(At("transit:transit/inopsio", local(digit)));
    let right = wrapping(&database, at("a")).await;
    tenants(&right, 1).await;
    let before = contents(&database).await;
    let refused = add(&wrapping(&database, at("b")).await, testbed::tenant()).await.unwrap_err();
    assert!(matches!(refused, append::Error::Keyless(keys::Error::DoesNotOpen)), "{refused}");
    assert_eq!(contents(&database).await, before, "nothing was written");
    add(&right, testbed::tenant()).await.unwrap();
    tenants(&wrapping(&database, at("a")).await, 2).await;
}

#[tokio::test]
async fn attack_247_nor_does_who_copies_a_tenant_with_another_key_at_the_same_place() {
    let database = Database::fresh("crm").await;
    let at = |digit| Arc::new(At("transit:transit/inopsio", local(digit)));
    tenants(&wrapping(&database, local("a")).await, 1).await;
    let following = |digit| Arc::new(Succession::new(at(digit), local("a")));
    tenants(&wrapping(&database, following("b")).await, 1).await;
    let before = contents(&database).await;
    let wrong = wrapping(&database, following("c")).await;
    // What the former master key wrapped it could copy, under a key that nobody else opens.
    let refused = wrong.copying_for(testbed::tenant()).await.err().unwrap();
    assert!(matches!(refused, Error::Key(keys::Error::DoesNotOpen)), "{refused}");
    assert_eq!(contents(&database).await, before, "nothing was written");
    let right = wrapping(&database, following("b")).await;
    assert!(right.copying_for(testbed::tenant()).await.unwrap().is_some());
}

#[tokio::test]
async fn attack_248_who_has_another_master_key_leaves_no_mark_of_a_claim_key() {
    let database = Database::fresh("crm").await;
    // A log that was written before it had a mark.
    tenants(&wrapping(&database, local("a")).await, 1).await;
    let before = contents(&database).await;
    let with = |digit, byte| Settings { sealing: Some(sealing(local(digit))), ..keyed(byte) };
    let refused = check_keys(&database, with("b", 8)).await.unwrap_err();
    assert!(matches!(refused, Error::MasterKey { .. }), "{refused}");
    assert_eq!(count(&database, "log.claim_key").await, 0, "the secrets of another installation decide nothing here");
    assert_eq!(contents(&database).await, before, "nothing was written");
    check_keys(&database, with("a", 7)).await.unwrap();
    let refused = check_keys(&database, with("a", 8)).await.unwrap_err();
    assert!(matches!(refused, Error::ClaimKey), "{refused}");
}

#[tokio::test]
async fn a_tenant_whose_key_is_lost_keeps_no_other_from_getting_one() {
    let database = Database::fresh("crm").await;
    let [lost, whole] = tenants(&wrapping(&database, local("a")).await, 2).await[..] else { panic!("two") };
    // The one that is written last is found last.
    for (tenant, suffix) in [(lost, "A"), (whole, "")] {
        sqlx::query("UPDATE log.claims SET holder = holder || $1 WHERE tenant_id = $2 AND kind = $3")
            .bind(suffix)
            .bind(tenant.uuid())
            .bind(TENANT_KEY)
            .execute(&mut superuser(&database).await)
            .await
            .unwrap();
    }
    let before = contents(&database).await;
    let refused = add(&wrapping(&database, local("a")).await, lost).await.unwrap_err();
    assert!(matches!(refused, append::Error::Keyless(keys::Error::DoesNotOpen)), "{refused}");
    assert_eq!(contents(&database).await, before, "nothing was written");
    tenants(&wrapping(&database, local("a")).await, 1).await;
}

#[tokio::test]
async fn attack_271_the_copy_of_an_earlier_move_does_not_stand_for_the_master_keys_of_its_cell() {
    let (from, to, alone) = (Database::fresh("crm").await, Database::fresh("crm").await, Database::fresh("crm").await);
    let tenant = tenants(&wrapping(&from, local("a")).await, 1).await[0];
    let begin =
        async |to: &Database| Transfer::begin(Service::new("crm"), tenant, &from.superuser(), &to.superuser()).await;
    for cell in [&to, &alone] {
        begin(cell).await.unwrap().round().await.unwrap();
    }
    // Another master key follows in one cell only, and the copy is as it was.
    tenants(&wrapping(&to, followed()).await, 1).await;
    let before = contents(&to).await;
    let refused = begin(&to).await.err().unwrap();
    assert!(matches!(refused, TransferError::MasterKey { .. }), "{refused}");
    assert_eq!(contents(&to).await, before, "nothing was written");

    // It follows in the tenant's cell, too. Nor does an old copy keep the tenant away.
    wrapping(&from, followed()).await.rewrap(100, false, |_| ()).await.unwrap();
    for cell in [&to, &alone] {
        begin(cell).await.unwrap().round().await.unwrap();
        opens_all(cell, local("b")).await;
    }
}
