//! Contacts and accounts; e-mail addresses are unique among contacts, unless a duplicate is allowed.

use crm_aggregates::{Account, AccountId, Contact};
use crm_commands::{
    AccountFields, ChangeAccountDetails, ChangeContactAccount, ChangeContactDetails, ContactFields, CreateAccount,
    CreateContact, ReassignAccount, ReassignContact,
};
use futures::future::join_all;
use kernel::{Kind, PostalAddress};
use uuid::Uuid;

use super::support::{World, address, contact, field, kept_address, text, wrong_address};

fn details(email: Option<&str>) -> ContactFields {
    ContactFields { name: "Grace Hopper".to_owned(), email: email.map(str::to_owned), ..ContactFields::default() }
}

#[tokio::test]
async fn an_email_address_is_one_contacts_whatever_its_case() {
    let world = World::new().await;
    let grace = world.contact("grace@example.com").await;
    let refusal = world.refused(&contact("Grace@Example.COM")).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "contact_email_taken"));
    assert_eq!(refusal.extra()["holder"], grace.to_string());
    // The same address in another tenant does not conflict.
    world.executor.execute(&world.stranger(), &contact("grace@example.com")).await.unwrap();
}

#[tokio::test]
async fn an_email_address_is_one_contacts_however_its_accents_are_written() {
    let world = World::new().await;
    let rene = world.contact("rene\u{301}@example.com").await;
    let kept = world.state::<Contact>(rene).await;
    assert_eq!(kept.details.email.as_ref().unwrap().reveal(), "ren\u{e9}@example.com");
    let refusal = world.refused(&contact("REN\u{c9}@example.com")).await;
    assert_eq!((refusal.code(), &refusal.extra()["holder"]), ("contact_email_taken", &rene.to_string().into()));
    let change = |email| ChangeContactDetails { contact: rene, details: details(email), allow_duplicate: false };
    world.done(&change(None)).await;
    world.contact("ren\u{e9}@example.com").await;
}

#[tokio::test]
async fn the_subject_of_a_token_keeps_its_characters() {
    let world = World::new().await;
    let rene = world.contact("rene@example.com").await;
    world.done(&ReassignContact { contact: rene, owner: "rene\u{301}".to_owned() }).await;
    assert_eq!(world.state::<Contact>(rene).await.owner.as_deref(), Some("rene\u{301}"));
}

#[tokio::test]
async fn a_duplicate_can_be_allowed_and_takes_nothing_away() {
    let world = World::new().await;
    let grace = world.contact("grace@example.com").await;
    let duplicate = CreateContact { allow_duplicate: true, ..contact("grace@example.com") };
    let second = world.done(&duplicate).await.answer;
    // The second contact never held the claim on the address, so it does not release it.
    world.done(&ChangeContactDetails { contact: second, details: details(None), allow_duplicate: false }).await;
    let refusal = world.refused(&contact("grace@example.com")).await;
    assert_eq!(refusal.extra()["holder"], grace.to_string());
    // Of two contacts, the first that claims a free address keeps it.
    let first = world.done(&CreateContact { allow_duplicate: true, ..contact("free@example.com") }).await.answer;
    assert_eq!(world.refused(&contact("free@example.com")).await.extra()["holder"], first.to_string());
}

#[tokio::test]
async fn a_changed_address_frees_the_old_one_and_takes_the_new_one() {
    let world = World::new().await;
    let grace = world.contact("grace@example.com").await;
    let other = world.contact("other@example.com").await;
    let change = |email| ChangeContactDetails { contact: grace, details: details(email), allow_duplicate: false };
    let refusal = world.refused(&change(Some("other@example.com"))).await;
    assert_eq!((refusal.code(), &refusal.extra()["holder"]), ("contact_email_taken", &other.to_string().into()));
    world.done(&change(Some("hopper@example.com"))).await;
    assert_eq!(world.refused(&contact("hopper@example.com")).await.code(), "contact_email_taken");
    world.contact("grace@example.com").await;
    world.done(&change(None)).await;
    world.contact("hopper@example.com").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_come_at_once_with_one_address_one_is_taken() {
    let world = World::new().await;
    for round in 0..20 {
        let email = format!("grace{round}@example.com");
        let tasks = [world.executor.clone(), world.elsewhere()].map(|executor| {
            let (request, command) = (world.request.clone(), contact(&email));
            tokio::spawn(async move { executor.execute(&request, &command).await })
        });
        let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let winner = outcomes.iter().flatten().map(|done| done.answer).collect::<Vec<_>>();
        let refusals = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect::<Vec<_>>();
        assert_eq!((winner.len(), refusals.len()), (1, 1));
        assert_eq!(refusals[0].extra()["holder"], winner[0].to_string());
    }
    assert_eq!(world.head().await.0, 20);
}

#[tokio::test]
async fn a_contact_belongs_to_an_account_that_exists() {
    let world = World::new().await;
    let account =
        CreateAccount { details: AccountFields { name: "Navy".to_owned(), ..AccountFields::default() }, owner: None };
    let account = world.done(&account).await.answer;
    let nowhere = AccountId::new(Uuid::nil());
    let create = |account| CreateContact { account: Some(account), ..contact("grace@example.com") };
    assert_eq!(world.wrong(&create(nowhere)).await, field("/account", "not_found"));
    let grace = world.done(&create(account)).await.answer;
    let change = |account| ChangeContactAccount { contact: grace, account };
    assert_eq!(world.wrong(&change(Some(nowhere))).await, field("/account", "not_found"));
    world.done(&change(None)).await;
    world.done(&change(Some(account))).await;
    assert_eq!(world.state::<Contact>(grace).await.account, Some(account));
    // Another tenant's account does not exist for this one.
    let theirs = world.refused_as(&world.stranger(), &create(account)).await;
    assert_eq!(theirs.errors()[0].code, "not_found");
}

#[tokio::test]
async fn another_user_takes_a_contact_or_an_account_over() {
    let world = World::new().await;
    let navy = AccountFields { name: "Navy".to_owned(), ..AccountFields::default() };
    let account = world.done(&CreateAccount { details: navy, owner: text("ada") }).await.answer;
    let contact = world.contact("grace@example.com").await;
    let (of_account, of_contact) = (
        |owner: &str| ReassignAccount { account, owner: owner.to_owned() },
        |owner: &str| ReassignContact { contact, owner: owner.to_owned() },
    );
    assert_eq!(world.done(&of_account("joan")).await.version, 2);
    assert_eq!(world.done(&of_contact("joan")).await.version, 2);
    assert_eq!(world.state::<Account>(account).await.owner.as_deref(), Some("joan"));
    assert_eq!(world.state::<Contact>(contact).await.owner.as_deref(), Some("joan"));
    let head = world.head().await;
    assert_eq!(world.done(&of_account("joan")).await.version, 2, "the same is no change");
    assert_eq!(world.done(&of_contact("joan")).await.version, 2, "the same is no change");
    assert_eq!(world.head().await, head);
    assert_eq!(world.wrong(&of_account("")).await, field("/owner", "empty"));
    assert_eq!(world.wrong(&of_contact("")).await, field("/owner", "empty"));
    assert_eq!(world.refused_as(&world.stranger(), &of_account("eve")).await.kind(), Kind::NotFound);
    assert_eq!(world.refused_as(&world.stranger(), &of_contact("eve")).await.kind(), Kind::NotFound);
}

#[tokio::test]
async fn details_are_checked() {
    let world = World::new().await;
    let (address, of_address) = wrong_address();
    let bad = ContactFields {
        name: String::new(),
        title: text("\n"),
        email: text("@"),
        phone: text("0"),
        address: Some(address),
    };
    let expected = [("/name", "empty"), ("/title", "empty"), ("/email", "email"), ("/phone", "phone")];
    let expected = expected.into_iter().chain(of_address).map(|(pointer, code)| (pointer.to_owned(), code));
    let expected: Vec<_> = expected.collect();
    assert_eq!(world.wrong(&CreateContact { details: bad.clone(), ..CreateContact::default() }).await, expected);
    let grace = world.contact("grace@example.com").await;
    let change = ChangeContactDetails { contact: grace, details: bad, allow_duplicate: false };
    assert_eq!(world.wrong(&change).await, expected);
}

#[tokio::test]
async fn a_contact_has_a_postal_address_as_long_as_its_details_say_so() {
    let world = World::new().await;
    let there = ContactFields { address: Some(address()), ..details(None) };
    let create = CreateContact { details: there.clone(), ..CreateContact::default() };
    let grace = world.done(&create).await.answer;
    assert_eq!(world.state::<Contact>(grace).await.details.address.as_ref().unwrap().reveal(), &kept_address());
    let change = |details| ChangeContactDetails { contact: grace, details, allow_duplicate: false };
    assert_eq!(world.done(&change(there)).await.version, 1, "the same is no change");
    let nowhere = ContactFields { address: Some(PostalAddress::default()), ..details(None) };
    assert_eq!(world.wrong(&change(nowhere)).await, field("/address", "empty"));
    assert_eq!(world.done(&change(details(None))).await.version, 2);
    assert_eq!(world.state::<Contact>(grace).await.details.address, None);
}

#[tokio::test]
async fn an_account_is_created_changed_and_checked() {
    let world = World::new().await;
    let details = AccountFields {
        name: "Navy".to_owned(),
        website: text("https://navy.example"),
        industry: text("Defence"),
        country: text("us"),
        employees: Some(300_000),
    };
    let account = world.done(&CreateAccount { details: details.clone(), owner: text("ada") }).await.answer;
    let changed = AccountFields { employees: Some(1), ..details };
    assert_eq!(world.done(&ChangeAccountDetails { account, details: changed.clone() }).await.version, 2);
    assert_eq!(
        world.done(&ChangeAccountDetails { account, details: changed }).await.version,
        2,
        "the same is no change"
    );
    assert_eq!(world.state::<Account>(account).await.details.country.as_deref(), Some("US"));
    let bad = AccountFields {
        name: "x".repeat(201),
        website: text("navy"),
        industry: text(""),
        country: text("USA"),
        employees: None,
    };
    let expected = [("/name", "length"), ("/website", "website"), ("/industry", "empty"), ("/country", "country")];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code));
    assert_eq!(world.wrong(&CreateAccount { details: bad.clone(), owner: None }).await, expected);
    assert_eq!(world.wrong(&ChangeAccountDetails { account, details: bad }).await, expected);
}
