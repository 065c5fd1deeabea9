//! Whether sign-ins slow down commands: response times at 200 commands/s, without sign-ins and with twenty password sign-ins (Argon2id) per
//! second.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use serde_json::json;
use testbed::Browser;

use crate::infrastructure::Infrastructure;
use crate::load::{self, Connection, Latencies};
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Name, Target};

/// Commands per second, and the number of connections.
const COMMANDS: u32 = 200;
const CLIENTS: usize = 8;

/// Sign-ins per second.
const LOGINS: u32 = 20;

/// Number of people who sign in in turn: enough that nobody exceeds a rate limit.
const PEOPLE: usize = 40;

const PASSWORD: &str = "correct horse battery staple 42";

/// Maximum time for a mail.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures both in turns and prints the figures.
pub async fn part(
    options: &Options,
    infrastructure: &Infrastructure,
    targets: &[Target],
    results: &mut Results,
) -> anyhow::Result<()> {
    let Some(target) = targets.iter().find(|target| target.name == Name::Ours) else { return Ok(()) };
    let people = people(infrastructure, target, if options.quick { 2 } else { PEOPLE }).await?;
    let (mut quiet, mut beside, mut signed_in) = (Latencies::default(), Latencies::default(), 0);
    let seconds = options.seconds(10.0);
    let began = Instant::now();
    for _ in 0..options.rounds() {
        quiet.merge(commands(target, seconds).await?);
        let (latencies, count) = tokio::try_join!(commands(target, seconds), sign_ins(target, &people, seconds))?;
        beside.merge(latencies);
        signed_in += count;
    }
    target.settle().await?;
    let mut rows = Vec::new();
    for (key, what, latencies) in [("quiet", "quiet", &mut quiet), ("beside", "beside sign-ins", &mut beside)] {
        let (p50, p99) = (latencies.percentile_ms(0.50), latencies.percentile_ms(0.99));
        results.number(&format!("logins.{key}.p50"), p50);
        results.number(&format!("logins.{key}.p99"), p99);
        rows.push(vec![what.to_owned(), latencies.count().to_string(), show(p50), show(p99)]);
    }
    results.number("logins.ratio", beside.percentile_ms(0.99) / quiet.percentile_ms(0.99));
    println!("{}", table(&["200 commands/s", "commands", "answer p50 ms", "p99 ms"], rows));
    println!("{signed_in} people signed in meanwhile, of {} s", show(began.elapsed().as_secs_f64()));
    Ok(())
}

async fn commands(target: &Target, seconds: Duration) -> anyhow::Result<Latencies> {
    let outcome = load::open(target.aim.clone(), CLIENTS, COMMANDS, seconds).await?;
    ensure!(outcome.failed == 0, "a command was refused: {:?}", outcome.first_failure);
    Ok(outcome.latencies)
}

/// Invites `count` people, who follow the mailed link and set a password. Returns the sign-in page's URL and their addresses.
async fn people(infrastructure: &Infrastructure, target: &Target, count: usize) -> anyhow::Result<People> {
    let origin = format!("http://{}", target.aim.addr);
    let mut connection = Connection::open(target.aim.addr).await?;
    let mut people = People { login: String::new(), addresses: Vec::new() };
    for number in 0..count {
        let address = format!("person.{number}@example.com");
        let body = json!({ "email": address, "roles": ["member"] }).to_string();
        let request = format!(
            "POST /v1/user/invitations HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            target.aim.tokens[0],
            body.len()
        );
        let answer = connection.send(request.as_bytes()).await?;
        ensure!(answer.status == 201, "{} {}", answer.status, String::from_utf8_lossy(answer.body));
        let mut browser = Browser::default();
        let (location, _) = browser.open(&infrastructure.mailed_link(&address, PATIENCE).await?).await.leads_to();
        let page = browser.open(&format!("{origin}{location}")).await;
        let accept = location.split('?').next().unwrap_or_default();
        let fields = [("link", page.hidden("link")), ("name", "Ada Byron".into()), ("password", PASSWORD.into())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let accepted = browser.submit(&format!("{origin}{accept}"), &fields).await;
        ensure!(accepted.status == 303, "the invitation was not accepted: {} {}", accepted.status, accepted.body);
        people.login = format!("{origin}{}", accept.replace("/invitation", "/login"));
        people.addresses.push(address);
    }
    Ok(people)
}

struct People {
    login: String,
    addresses: Vec<String>,
}

/// Signs people in at a fixed rate, independently of earlier sign-ins. Returns the number of sign-ins.
async fn sign_ins(target: &Target, people: &People, seconds: Duration) -> anyhow::Result<u32> {
    let start = Instant::now();
    let count = (seconds.as_secs_f64() * f64::from(LOGINS)) as u32;
    let all = (0..count).map(|number| async move {
        tokio::time::sleep_until((start + Duration::from_secs(1) * number / LOGINS).into()).await;
        let address = &people.addresses[number as usize % people.addresses.len()];
        sign_in(&people.login, address).await.with_context(|| format!("{address} at {}", target.aim.addr))
    });
    try_join_all(all).await?;
    Ok(count)
}

/// Signs in with a new browser without cookies.
async fn sign_in(login: &str, address: &str) -> anyhow::Result<()> {
    let mut browser = Browser::default();
    let page = browser.open(login).await;
    let pending = page.hidden("pending");
    let fields = [("pending", pending.as_str()), ("login", address), ("password", PASSWORD)];
    let shown = browser.submit(login, &fields).await;
    ensure!(shown.status == 303, "they are not signed in: {} {}", shown.status, shown.body);
    Ok(())
}
