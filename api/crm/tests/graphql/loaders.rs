//! What many objects name of each other is read once.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crm_commands::{AccountFields, ContactFields, CreateAccount, CreateContact};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::world::World;

/// The statements that were sent to Postgres.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Layer<Registry> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = String::new();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                write!(text, "{field}={value:?} ").unwrap();
            });
            self.0.lock().unwrap().push(text);
        }
    }
}

#[tokio::test]
async fn the_accounts_of_many_contacts_are_one_query_and_their_contacts_another() {
    let statements = Statements::default();
    tracing_subscriber::registry().with(statements.clone()).init();
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
    // Everything is applied when this is answered, so that what follows is only what is asked.
    world.ask("contacts { totalCount }").await;
    statements.0.lock().unwrap().clear();
    let seen = world.ask("contacts { nodes { name account { name contacts { name account { name } } } } }").await;
    let nodes = seen["contacts"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 10);
    for (n, node) in nodes.iter().enumerate() {
        assert_eq!(node["account"]["name"], format!("Account {n}"));
        assert_eq!(node["account"]["contacts"][0]["account"]["name"], format!("Account {n}"));
    }
    let sent = statements.0.lock().unwrap();
    let of = |table: &str| sent.iter().filter(|statement| statement.contains(table)).count();
    assert_eq!(of("FROM account t"), 1, "{sent:#?}");
    assert_eq!(of("FROM contact t"), 2, "the list, and the contacts of all accounts: {sent:#?}");
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
