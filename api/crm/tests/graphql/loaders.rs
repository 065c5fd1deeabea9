//! Objects that many other objects refer to are read in one query, not in one for each.

use crm_commands::{AccountFields, ContactFields, CreateAccount, CreateContact, MoneyFields, OpenOpportunity};
use kernel::{Clock, SystemClock};
use testbed::Statements;

use crate::world::World;

#[tokio::test]
async fn the_accounts_of_many_contacts_are_one_query_and_their_contacts_another() {
    let statements = Statements::capture();
    let world = World::start().await;
    for n in 0..10 {
        let details = AccountFields { name: format!("Account {n}"), ..AccountFields::default() };
        let account = world.command(None, CreateAccount { details, owner: None }).await.unwrap();
        let contact = CreateContact {
            details: ContactFields { name: format!("Contact {n}"), ..ContactFields::default() },
            account: Some(account),
            owner: None,
            allow_duplicate: false,
        };
        world.command(None, contact).await.unwrap();
    }
    // This query waits until the read models have caught up, so only the statements of the next query are recorded after it.
    world.ask("contacts { totalCount }").await;
    statements.clear();
    let seen = world.ask("contacts { nodes { name account { name contacts { name account { name } } } } }").await;
    let nodes = seen["contacts"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 10);
    for (n, node) in nodes.iter().enumerate() {
        assert_eq!(node["account"]["name"], format!("Account {n}"));
        assert_eq!(node["account"]["contacts"][0]["account"]["name"], format!("Account {n}"));
    }
    let (accounts, contacts) = (statements.with("FROM account t"), statements.with("FROM contact t"));
    assert_eq!(accounts.len(), 1, "{accounts:#?}");
    assert_eq!(contacts.len(), 2, "the list, and the contacts of all accounts: {contacts:#?}");
}

#[tokio::test]
async fn the_histories_of_many_deals_are_one_query() {
    let statements = Statements::capture();
    let world = World::start().await;
    let pipeline = world.pipeline(None).await.pipeline;
    for n in 0..5 {
        let deal = OpenOpportunity {
            name: format!("Deal {n}"),
            account: None,
            contact: None,
            pipeline,
            stage: None,
            amount: MoneyFields { minor: 100, currency: "EUR".to_owned() },
            close_date: SystemClock.now().date_naive(),
            owner: None,
            line_items: Vec::new(),
        };
        world.command(None, deal).await.unwrap();
    }
    world.ask("opportunities { totalCount }").await;
    statements.clear();
    let history = "first: history(first: 1) { version change } history(afterVersion: 1) { version }";
    let seen = world.ask(&format!("opportunities {{ nodes {{ {history} }} }}")).await;
    let nodes = seen["opportunities"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 5);
    for node in nodes {
        assert_eq!(node["first"][0]["version"], 1, "{node}");
        assert!(node["history"].as_array().unwrap().is_empty(), "{node}");
    }
    let histories = statements.with("FROM opportunity_history t");
    assert_eq!(histories.len(), 1, "{histories:#?}");
}

#[tokio::test]
async fn an_account_gives_as_many_contacts_as_are_asked_for() {
    let world = World::start().await;
    let details = AccountFields { name: "Acme".to_owned(), ..AccountFields::default() };
    let account = world.command(None, CreateAccount { details, owner: None }).await.unwrap();
    for n in 0..22 {
        let contact = CreateContact {
            details: ContactFields { name: format!("Contact {n}"), ..ContactFields::default() },
            account: Some(account),
            owner: None,
            allow_duplicate: false,
        };
        world.command(None, contact).await.unwrap();
    }
    let asked = format!(
        "account(id: \"{account}\") {{ two: contacts(first: 2) {{ name }} some: contacts {{ name }}
         all: contacts(first: 100) {{ name }} deals: opportunities(first: 1) {{ id }} }}"
    );
    let seen = &world.ask(&asked).await["account"];
    let names = |alias: &str| seen[alias].as_array().unwrap().clone();
    assert_eq!((names("two").len(), names("some").len(), names("all").len()), (2, 20, 22));
    assert_eq!(names("two")[..], names("all")[..2], "the first ones");
    for refused in [0, -1, 101] {
        let asked = format!("account(id: \"{account}\") {{ contacts(first: {refused}) {{ name }} }}");
        let (_, errors) = world.ask_as(world.caller(&[kernel::Role::Viewer]), &asked).await;
        assert_eq!(errors[0]["extensions"]["code"], "page_size", "{errors}");
    }
}
