//! A stub resolver for DNS text records (RFC 1035): queries by UDP, and by TCP if an answer does not fit.
//!
//! It queries recursive servers, such as those of the system, and follows no referrals. It accepts an answer only from the queried
//! address, to the random port of the query, with the random id of the query and the same question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use config::NameSettings;
use keys::{Random, SystemRandom};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The file that names the system's DNS servers.
const SYSTEM: &str = "/etc/resolv.conf";
/// How long one server may take to answer, and how often each is queried.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// The most servers that are queried.
const SERVERS: usize = 3;
/// The largest UDP answer to a query without EDNS, in bytes.
const DATAGRAM: usize = 512;

/// The stub resolver.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Uses the configured servers, or else the system's.
    pub(super) fn of(settings: &NameSettings) -> Self {
        let configured = settings.servers.iter().filter_map(|text| NameSettings::server(text).ok());
        let mut servers: Vec<_> = configured.collect();
        if servers.is_empty() {
            servers = system(&std::fs::read_to_string(SYSTEM).unwrap_or_default());
        }
        servers.truncate(SERVERS);
        Self { servers }
    }

    /// The text records of a name; empty if it has none or does not exist.
    ///
    /// # Errors
    /// When no server gives a usable answer: the reason of the last attempt.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let mut last = "no name server is known".to_owned();
        for _ in 0..ATTEMPTS {
            for server in &self.servers {
                match timeout(TIMEOUT, ask(*server, name)).await {
                    Ok(Ok(texts)) => return Ok(texts),
                    Ok(Err(reason)) => last = format!("the name server {server} does not tell: {reason}"),
                    Err(_) => last = format!("the name server {server} does not answer"),
                }
                tracing::debug!(reason = last, "a name was not looked up");
            }
        }
        Err(last)
    }
}

/// The servers in a `resolv.conf`; localhost, if there are none.
fn system(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53)] } else { named }
}

async fn ask(server: SocketAddr, name: &str) -> Result<Vec<String>, String> {
    let mut number = [0; 2];
    SystemRandom.fill(&mut number).map_err(|error| error.to_string())?;
    let id = u16::from_be_bytes(number);
    let name = Name::new(name).map_err(|error| error.to_string())?;
    let question = Question::new(name, QTYPE::TYPE(TYPE::TXT), QCLASS::CLASS(CLASS::IN), false);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(question.clone());
    let query = query.build_bytes_vec().map_err(|error| error.to_string())?;

    let failed = |error: std::io::Error| error.to_string();
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(&query).await.map_err(failed)?;
    let mut buffer = [0; DATAGRAM];
    loop {
        let read = socket.recv(&mut buffer).await.map_err(failed)?;
        let Some(datagram) = buffer.get(..read) else { continue };
        // Ignores datagrams that don't answer this query; the right answer may still come.
        match read_answer(datagram, id, &question) {
            None => {}
            Some(Answer::Truncated) => break,
            Some(Answer::Texts(texts)) => return Ok(texts),
            Some(Answer::Untold(reason)) => return Err(reason),
        }
    }
    let length = u16::try_from(query.len()).map_err(|error| error.to_string())?;
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await.map_err(failed)?;
    let mut message = vec![0; usize::from(stream.read_u16().await.map_err(failed)?)];
    stream.read_exact(&mut message).await.map_err(failed)?;
    match read_answer(&message, id, &question) {
        Some(Answer::Texts(texts)) => Ok(texts),
        Some(Answer::Untold(reason)) => Err(reason),
        Some(Answer::Truncated) | None => Err("its answer can't be read".to_owned()),
    }
}

/// The answer of a server.
enum Answer {
    /// All text records.
    Texts(Vec<String>),
    /// The answer does not fit into a datagram.
    Truncated,
    /// The server did not resolve the name, for this reason.
    Untold(String),
}

/// Parses an answer; none: it does not belong to this query.
fn read_answer(message: &[u8], id: u16, question: &Question<'_>) -> Option<Answer> {
    let packet = Packet::parse(message).ok()?;
    let [asked] = packet.questions.as_slice() else { return None };
    let the_same = asked.qname == question.qname && asked.qtype == question.qtype && asked.qclass == question.qclass;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !the_same {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Answer::Truncated);
    }
    let knows = packet.has_flags(PacketFlag::RECURSION_AVAILABLE) || packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    Some(match packet.rcode() {
        RCODE::NoError | RCODE::NameError if knows => Answer::Texts(texts(&packet.answers, &question.qname)),
        RCODE::NoError | RCODE::NameError => Answer::Untold("it looks no names up for others".to_owned()),
        code => Answer::Untold(format!("{code:?}")),
    })
}

/// The text records of a name, or of the name that it is an alias (CNAME) of.
fn texts(answers: &[ResourceRecord<'_>], name: &Name<'_>) -> Vec<String> {
    let mut names = vec![name];
    // Follows the chain of aliases, whose records may be in any order. It can't be longer than the number of records.
    for _ in answers {
        let further = answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(other) if names.contains(&&record.name) && !names.contains(&&other.0) => Some(&other.0),
            _ => None,
        });
        match further {
            Some(further) => names.push(further),
            None => break,
        }
    }
    let own = answers.iter().filter(|record| names.contains(&&record.name));
    let texts = own.filter_map(|record| match &record.rdata {
        RData::TXT(text) => String::try_from(text.clone()).ok(),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_are_those_that_it_names() {
        let text = "# generated\nsearch example.com\nnameserver 192.0.2.53\nnameserver\n  nameserver 2001:db8::53 # far\nnameserver x\n";
        let expected = ["192.0.2.53:53", "[2001:db8::53]:53"].map(|text| text.parse().unwrap());
        assert_eq!(system(text), expected);
        assert_eq!(system("search example.com\n"), ["127.0.0.1:53".parse().unwrap()]);
    }
}
