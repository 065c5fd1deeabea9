//! Erasures remove personal data, and read models that are rebuilt without the key are the same as the live ones.

use crm_aggregates::{
    AccountId, ContactCreated, ContactDetails, ContactErased, ContactEvent, ContactId, ContactLeadJoined,
    DisqualifyReason, ErasureReason, ImportId, LeadAssigned, LeadCaptured, LeadConverted, LeadDetails,
    LeadDisqualified, LeadErased, LeadEscalated, LeadEvent, LeadId, LeadQualified, LeadRecycled, LeadSource,
    LeadStatus, LeadWithdrawn, LeadWorkStarted,
};
use crm_projections::contacts::{self, ContactFilter, ContactOrder, ContactRow};
use crm_projections::leads::{self, LeadFilter, LeadHistoryRow, LeadRow};
use crm_projections::{AsOf, versions};
use kernel::{Personal, PostalAddress, TenantId};
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

/// A personal text, or what a reader gets when the key is deleted.
fn text(known: bool, text: &str) -> Personal<String> {
    if known { Personal::new(text.to_owned()) } else { Personal::forgotten() }
}

/// A personal address, or what a reader gets when the key is deleted.
fn address(known: bool) -> Personal<PostalAddress> {
    let address = PostalAddress { locality: Some("Ockham".to_owned()), ..PostalAddress::default() };
    if known { address.into() } else { Personal::forgotten() }
}

fn captured(known: bool, import: Option<ImportId>) -> LeadCaptured {
    let details = LeadDetails {
        name: text(known, "Ada Lovelace"),
        company: Some("Analytical Engines".to_owned()),
        title: Some("Countess".to_owned()),
        email: Some(text(known, "ada@example.com")),
        phone: Some(text(known, "+442079460958")),
        country: Some("GB".to_owned()),
        address: Some(address(known)),
    };
    LeadCaptured { details, source: LeadSource::Event, owner: None, import }
}

/// A lead that was recycled, escalated and converted, one that was disqualified, one that was withdrawn, and their contact; all erased.
fn erased(story: &mut Story, ids: &[Uuid; 5], known: bool) {
    let [converted, lost, withdrawn, contact, account] = *ids;
    let gone = || LeadErased { reason: ErasureReason::Requested };
    story.add::<LeadEvent>(converted, day(1), captured(known, None));
    story.add::<LeadEvent>(converted, day(2), LeadRecycled { reason: text(known, "Ada is on leave") });
    story.add::<LeadEvent>(converted, day(3), LeadAssigned { owner: "grace".to_owned() });
    story.add::<LeadEvent>(converted, day(4), LeadWorkStarted {});
    story.add::<LeadEvent>(converted, day(5), LeadQualified { note: Some(text(known, "Ada has a budget")) });
    story.add::<LeadEvent>(converted, day(6), LeadEscalated { to: "joan".to_owned(), untouched_since: day(5) });
    let (account, lead) = (AccountId::new(account), Some(LeadId::new(converted)));
    let details = ContactDetails {
        name: text(known, "Ada Lovelace"),
        title: Some("Countess".to_owned()),
        email: Some(text(known, "ada@example.com")),
        phone: None,
        address: Some(address(known)),
    };
    let created = ContactCreated { details, account: Some(account), owner: None, lead };
    story.add::<LeadEvent>(
        converted,
        day(7),
        LeadConverted { account, contact: ContactId::new(contact), opportunity: None },
    );
    story.add::<ContactEvent>(contact, day(7), created);
    story.add::<ContactEvent>(contact, day(8), ContactLeadJoined { lead: LeadId::new(lost) });
    story.add::<LeadEvent>(lost, day(2), captured(known, None));
    let disqualified =
        LeadDisqualified { reason: DisqualifyReason::Duplicate, note: Some(text(known, "Ada once more")) };
    story.add::<LeadEvent>(lost, day(3), disqualified);
    let import = ImportId::new(Uuid::from_u128(7));
    story.add::<LeadEvent>(withdrawn, day(3), captured(known, Some(import)));
    story.add::<LeadEvent>(withdrawn, day(4), LeadWithdrawn { import });
    story.add::<LeadEvent>(converted, day(9), gone());
    story.add::<LeadEvent>(lost, day(9), gone());
    story.add::<LeadEvent>(withdrawn, day(9), gone());
    story.add::<ContactEvent>(contact, day(9), ContactErased { reason: ErasureReason::Requested });
}

type Rows = (Vec<LeadRow>, Vec<Vec<LeadHistoryRow>>, Vec<ContactRow>);

async fn rows(stage: &Stage, tenant: TenantId, ids: &[Uuid; 5]) -> Rows {
    let mut tables = stage.read(tenant).await;
    let mut found = leads::find::<LeadRow>(&mut tables, tenant, &ids[..3]).await.unwrap();
    found.sort_by_key(|row| ids.iter().position(|id| *id == row.lead_id));
    let mut histories = Vec::new();
    for lead in &ids[..3] {
        histories.push(versions::<LeadHistoryRow>(&mut tables, tenant, *lead, 0, 100).await.unwrap());
    }
    let contacts = contacts::find::<ContactRow>(&mut tables, tenant, &ids[3..4]).await.unwrap();
    (found, histories, contacts)
}

#[tokio::test]
async fn the_rows_of_who_is_erased_tell_nobody_who_it_was() {
    let (mut story, ids) = (Story::new(), [(); 5].map(|()| id()));
    erased(&mut story, &ids, true);
    for batch in [1, 3, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let (leads, histories, contacts) = rows(&stage, story.tenant, &ids).await;
        let shown = format!("{leads:?} {histories:?} {contacts:?}");
        assert!(!shown.contains("Ada") && !shown.contains("ada@") && !shown.contains("+44"), "{shown}");
        assert!(!shown.contains("Ockham"), "{shown}");
        assert!(!shown.contains("Countess") && !shown.contains("Analytical") && !shown.contains("GB"), "{shown}");
        for row in &leads {
            assert_eq!((row.status.0, row.name.as_str(), &row.reason), (LeadStatus::Erased, "", &None));
        }
        assert_eq!(leads[0].contact_id, Some(ids[3]), "what became of it stays");
        let notes: Vec<_> = histories[0].iter().map(|row| (row.change.as_str(), row.note.as_deref())).collect();
        let expected = [
            ("captured", None),
            ("recycled", None),
            ("assigned", None),
            ("work_started", None),
            ("qualified", None),
            ("escalated", Some("joan")),
            ("converted", None),
            ("erased", None),
        ];
        assert_eq!(notes, expected);
        assert_eq!((contacts[0].name.as_str(), contacts[0].erased_at), ("", Some(day(9))));

        // They are found only by a filter that includes erased contacts.
        let mut tables = stage.read(story.tenant).await;
        let tenant = story.tenant;
        let mut found = async |search: Option<&str>, erased| {
            let filter = ContactFilter { search: search.map(str::to_owned), erased, ..ContactFilter::default() };
            let list = contacts::list(&mut tables, tenant, &filter, ContactOrder::Name, None, 10).await.unwrap();
            assert_eq!(contacts::count(&mut tables, tenant, &filter).await.unwrap(), list.len() as i64);
            list.len()
        };
        assert_eq!([found(Some("ada"), true).await, found(None, false).await, found(None, true).await], [0, 0, 1]);
        let filter = LeadFilter { email: Some("ada@example.com".to_owned()), ..LeadFilter::default() };
        assert_eq!(leads::count(&mut tables, tenant, &filter).await.unwrap(), 0);
        // Erased leads still count in the funnel, which has no personal data. Withdrawn ones do not count.
        let funnel = leads::funnel(&mut tables, tenant, day(0), day(20), AsOf::TODAY).await.unwrap();
        let counted: Vec<_> = funnel.iter().map(|of| (of.captured, of.converted, of.disqualified)).collect();
        assert_eq!(counted, [(2, 1, 1)]);
    }
}

#[tokio::test]
async fn read_models_that_are_built_when_the_keys_are_gone_are_the_same() {
    let ids = [(); 5].map(|()| id());
    let (mut before, mut after) = (Story::new(), Story::new());
    after.tenant = before.tenant;
    erased(&mut before, &ids, true);
    erased(&mut after, &ids, false);
    let (live, rebuilt) = (Stage::fresh().await, Stage::fresh().await);
    live.apply(&before.events, 2).await.unwrap();
    rebuilt.apply(&after.events, 100).await.unwrap();
    assert_eq!(rows(&live, before.tenant, &ids).await, rows(&rebuilt, before.tenant, &ids).await);
    assert_eq!(live.rows().await, rebuilt.rows().await);
}

#[tokio::test]
async fn who_is_erased_while_their_events_wait_is_forgotten_at_once_and_what_comes_later_finds_its_rows() {
    let ids = [(); 5].map(|()| id());
    let (mut before, mut after) = (Story::new(), Story::new());
    after.tenant = before.tenant;
    erased(&mut before, &ids, true);
    erased(&mut after, &ids, false);
    let erase = |event: &&kernel::RecordedEvent| kernel::personal::erases(&event.event_type);
    let (erasures, earlier): (Vec<_>, Vec<_>) = before.events.iter().partition(erase);
    let earlier: Vec<_> = earlier.into_iter().cloned().collect();
    let (live, rebuilt) = (Stage::fresh().await, Stage::fresh().await);
    live.apply(&earlier, 100).await.unwrap();
    // `forget` can be called repeatedly.
    for event in erasures.iter().chain(&erasures) {
        live.forget(event).await.unwrap();
    }
    let shown = format!("{:?}", rows(&live, before.tenant, &ids).await);
    assert!(!shown.contains("Ada") && !shown.contains("ada@") && !shown.contains("+44"), "{shown}");
    assert!(!shown.contains("Ockham"), "{shown}");
    // The same rows as built without the keys.
    rebuilt.apply(&after.events[..earlier.len()], 100).await.unwrap();
    assert_eq!(rows(&live, before.tenant, &ids).await, rows(&rebuilt, before.tenant, &ids).await);
    let mut tables = live.read(before.tenant).await;
    let filter = ContactFilter { search: Some("ada".to_owned()), erased: true, ..ContactFilter::default() };
    assert_eq!(contacts::count(&mut tables, before.tenant, &filter).await.unwrap(), 0);
    drop(tables);

    // Later the erasing events are applied.
    live.apply(&before.events[earlier.len()..], 100).await.unwrap();
    rebuilt.apply(&after.events[earlier.len()..], 100).await.unwrap();
    assert_eq!(rows(&live, before.tenant, &ids).await, rows(&rebuilt, before.tenant, &ids).await);
    assert_eq!(live.rows().await, rebuilt.rows().await);
}
