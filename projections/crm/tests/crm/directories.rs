use crm_aggregates::{
    AccountCreated, AccountDetails, AccountDetailsChanged, AccountEvent, AccountId, AccountReassigned,
    ContactAccountChanged, ContactCreated, ContactDetails, ContactDetailsChanged, ContactErased, ContactEvent,
    ContactReassigned, ErasureReason,
};
use crm_projections::accounts::{self, AccountFilter, AccountHistoryRow, AccountOrder};
use crm_projections::contacts::{self, ContactFilter, ContactHistoryRow, ContactOrder, ContactRow};
use crm_projections::{Order, versions};
use kernel::PostalAddress;
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

fn details(name: &str, email: Option<&str>) -> ContactDetails {
    ContactDetails {
        name: name.to_owned().into(),
        email: email.map(|email| email.to_owned().into()),
        ..ContactDetails::default()
    }
}

fn contact(story: &mut Story, name: &str, email: Option<&str>, account: Option<Uuid>) -> Uuid {
    let (contact, details) = (id(), details(name, email));
    let account = account.map(AccountId::new);
    story.add::<ContactEvent>(contact, day(1), ContactCreated { details, account, owner: None, lead: None });
    contact
}

#[tokio::test]
async fn a_contact_shows_its_address_and_is_not_found_by_it() {
    let (mut story, ada) = (Story::new(), id());
    let address = PostalAddress { locality: Some("Ockham".to_owned()), ..PostalAddress::default() };
    let details = ContactDetails { address: Some(address.clone().into()), ..details("Ada Lovelace", None) };
    story.add::<ContactEvent>(ada, day(1), ContactCreated { details, account: None, owner: None, lead: None });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let row = contacts::find::<ContactRow>(&mut tables, story.tenant, &[ada]).await.unwrap().remove(0);
    assert_eq!(row.address.map(|address| address.0), Some(address));
    let filter = ContactFilter { search: Some("ockham".to_owned()), ..ContactFilter::default() };
    assert_eq!(contacts::count(&mut tables, story.tenant, &filter).await.unwrap(), 0);
}

#[tokio::test]
async fn a_contact_is_found_by_the_beginnings_of_its_words_and_no_longer_by_old_ones() {
    let mut story = Story::new();
    contact(&mut story, "Žofie Nováková", Some("zofie@example.com"), None);
    let ada = contact(&mut story, "Ada Lovelace", Some("ada@analytical.org"), None);
    contact(&mut story, "Adam Smith", None, None);
    story.add::<ContactEvent>(
        ada,
        day(2),
        ContactDetailsChanged { details: details("Ada King", Some("ada@king.org")) },
    );
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let mut search = async |text: &str| {
            let filter = ContactFilter { search: Some(text.to_owned()), ..ContactFilter::default() };
            let found = contacts::list(&mut tables, story.tenant, &filter, ContactOrder::Name, None, 10).await.unwrap();
            found.into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(search("ada").await, ["Ada King", "Adam Smith"]);
        assert_eq!(search("ADA ki").await, ["Ada King"]);
        assert_eq!(search("lovelace").await, Vec::<String>::new(), "her old name");
        assert_eq!(search("žof").await, ["Žofie Nováková"]);
        assert_eq!(search("zofie@example").await, ["Žofie Nováková"]);
        assert_eq!(search("smith ada").await, ["Adam Smith"]);
        assert_eq!(search("  ").await.len(), 3, "nothing to look for: all");
        assert_eq!(search("'; DROP TABLE contact; --").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_contact_is_found_however_accents_were_stored_or_are_asked_for() {
    let (parted, composed) = ("Rene\u{301}", "Ren\u{e9}");
    let mut story = Story::new();
    // As texts were stored before they were normalized to Unicode's composed form.
    contact(&mut story, parted, Some("rene\u{301}@example.com"), None);
    contact(&mut story, composed, None, None);
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for asked in [parted, composed] {
        let search = ContactFilter { search: Some(asked.to_owned()), ..ContactFilter::default() };
        assert_eq!(contacts::count(&mut tables, story.tenant, &search).await.unwrap(), 2, "{asked:?}");
        let email = ContactFilter { email: Some(format!("{asked}@example.com")), ..ContactFilter::default() };
        assert_eq!(contacts::count(&mut tables, story.tenant, &email).await.unwrap(), 1, "{asked:?}");
    }
}

#[tokio::test]
async fn a_contact_moves_to_another_account() {
    let (mut story, first, second) = (Story::new(), id(), id());
    let ada = contact(&mut story, "Ada", None, Some(first));
    contact(&mut story, "Grace", None, Some(first));
    story.add::<ContactEvent>(ada, day(2), ContactAccountChanged { account: Some(AccountId::new(second)) });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let found = contacts::of_accounts(&mut tables, story.tenant, &[first, second], 10).await.unwrap();
    let mut found: Vec<_> = found.into_iter().map(|row| (row.account_id.unwrap(), row.name)).collect();
    found.sort();
    assert_eq!(found, [(first, "Grace".to_owned()), (second, "Ada".to_owned())]);
    let found = contacts::of_accounts(&mut tables, story.tenant, &[], 10).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn an_account_shows_its_contacts_without_the_erased_ones_as_their_list_does() {
    let (mut story, navy) = (Story::new(), id());
    let ada = contact(&mut story, "Ada", None, Some(navy));
    let grace = contact(&mut story, "Grace", None, Some(navy));
    story.add::<ContactEvent>(ada, day(2), ContactErased { reason: ErasureReason::Requested });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let shown = contacts::of_accounts(&mut tables, story.tenant, &[navy], 10).await.unwrap();
    assert_eq!(shown.iter().map(|row| row.contact_id).collect::<Vec<_>>(), [grace]);
    let filter = ContactFilter { account: Some(navy), ..ContactFilter::default() };
    let listed = contacts::list(&mut tables, story.tenant, &filter, ContactOrder::Name, None, 10).await.unwrap();
    assert_eq!(listed, shown);
}

#[tokio::test]
async fn contacts_and_accounts_are_listed_with_whoever_took_them_over() {
    let mut story = Story::new();
    let (ada, navy, owner) = (contact(&mut story, "Ada", None, None), id(), "grace".to_owned());
    let details = AccountDetails { name: "Navy".to_owned(), ..AccountDetails::default() };
    let created = AccountCreated { details, owner: Some("joan".to_owned()), lead: None };
    story.add::<AccountEvent>(navy, day(1), created);
    story.add::<AccountEvent>(navy, day(2), AccountReassigned { owner: owner.clone() });
    story.add::<ContactEvent>(ada, day(2), ContactReassigned { owner: owner.clone() });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let contacts_of = ContactFilter { owner: Some(owner.clone()), ..ContactFilter::default() };
    let found = contacts::list(&mut tables, story.tenant, &contacts_of, ContactOrder::Name, None, 10).await.unwrap();
    assert_eq!(
        found.iter().map(|row| (row.contact_id, row.version, row.changed_at)).collect::<Vec<_>>(),
        [(ada, 2, day(2))]
    );
    let accounts_of = AccountFilter { owner: Some(owner), ..AccountFilter::default() };
    let found = accounts::list(&mut tables, story.tenant, &accounts_of, AccountOrder::Name, None, 10).await.unwrap();
    assert_eq!(
        found.iter().map(|row| (row.account_id, row.version, row.changed_at)).collect::<Vec<_>>(),
        [(navy, 2, day(2))]
    );
    let gone = AccountFilter { owner: Some("joan".to_owned()), ..AccountFilter::default() };
    assert_eq!(accounts::count(&mut tables, story.tenant, &gone).await.unwrap(), 0);
}

#[tokio::test]
async fn each_version_of_a_contact_and_an_account_is_kept_in_whatever_batches_its_events_come() {
    let (mut story, account) = (Story::new(), id());
    let ada = contact(&mut story, "Ada", None, None);
    let changed = ContactAccountChanged { account: Some(AccountId::new(account)) };
    story.add_late::<ContactEvent>(ada, day(2), day(5), changed);
    story.add::<ContactEvent>(ada, day(6), ContactReassigned { owner: "grace".to_owned() });
    let details = AccountDetails { name: "Navy".to_owned(), ..AccountDetails::default() };
    story.add::<AccountEvent>(account, day(1), AccountCreated { details, owner: None, lead: None });
    story.add::<AccountEvent>(account, day(2), AccountReassigned { owner: "joan".to_owned() });
    for batch in [1, 2, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let kept = versions::<ContactHistoryRow>(&mut tables, story.tenant, ada, 0, 10).await.unwrap();
        let changes: Vec<_> =
            kept.iter().map(|row| (row.change.as_str(), row.account_id, row.owner.as_deref())).collect();
        let expected = [
            ("created", None, None),
            ("account_changed", Some(account), None),
            ("reassigned", Some(account), Some("grace")),
        ];
        assert_eq!(changes, expected, "in batches of {batch}");
        let times: Vec<_> = kept.iter().map(|row| (row.valid_to.0, row.known_from, row.known_to.0)).collect();
        let expected =
            [(Some(day(2)), day(1), Some(day(5))), (Some(day(6)), day(5), Some(day(6))), (None, day(6), None)];
        assert_eq!(times, expected, "in batches of {batch}");
        let kept = versions::<AccountHistoryRow>(&mut tables, story.tenant, account, 1, 10).await.unwrap();
        assert_eq!(kept.iter().map(|row| (row.version, row.owner.as_deref())).collect::<Vec<_>>(), [(2, Some("joan"))]);
    }
}

#[tokio::test]
async fn accounts_are_found_filtered_and_paged_by_name() {
    let mut story = Story::new();
    let names = ["Zeta", "Alpha", "alpha", "Ärger & Söhne", "Beta"];
    let details = |name: &str, country: &str| AccountDetails {
        name: name.to_owned(),
        country: Some(country.to_owned()),
        employees: Some(u32::MAX),
        ..AccountDetails::default()
    };
    for name in names {
        let details = details(name, "DE");
        story.add::<AccountEvent>(id(), day(1), AccountCreated { details, owner: None, lead: None });
    }
    let moved = story.events[4].aggregate_id.parse().unwrap();
    story.add::<AccountEvent>(moved, day(2), AccountDetailsChanged { details: details("Beta Ltd", "GB") });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;

    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (filter, order) = (AccountFilter::default(), AccountOrder::Name);
        let page = accounts::list(&mut tables, story.tenant, &filter, order, after.take(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(order.seek(last));
        found.extend(page.into_iter().map(|row| row.name));
    }
    assert_eq!(found, ["Alpha", "Beta Ltd", "Zeta", "alpha", "Ärger & Söhne"]);

    let british = AccountFilter { country: Some("gb".to_owned()), ..AccountFilter::default() };
    let rows = accounts::list(&mut tables, story.tenant, &british, AccountOrder::Newest, None, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.name.as_str(), row.version)).collect::<Vec<_>>(), [("Beta Ltd", 2)]);
    assert_eq!(rows[0].employees, Some(i64::from(u32::MAX)));
    let searched = AccountFilter { search: Some("söh".to_owned()), ..AccountFilter::default() };
    assert_eq!(accounts::count(&mut tables, story.tenant, &searched).await.unwrap(), 1);
}
