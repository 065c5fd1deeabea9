//! A name server on loopback with configurable answers: by UDP, and by TCP if the answer is long.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{CNAME, RData, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// The answer for a name.
#[derive(Clone)]
enum Has {
    /// Text records, each of one or more strings.
    Texts(Vec<Vec<String>>),
    /// An alias (CNAME).
    Alias(String),
    /// A failure.
    Nothing(RCODE),
}

#[derive(Default)]
struct Zone {
    names: HashMap<String, Has>,
    asked: Vec<String>,
}

/// The name server.
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    answering: Arc<tokio::sync::Mutex<()>>,
}

impl NameServer {
    /// Starts a server that knows no name.
    pub async fn start() -> Self {
        // UDP and TCP on the same port.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = Self { address: udp.local_addr().unwrap(), zone: Arc::default(), answering: Arc::default() };
        tokio::spawn(datagrams(udp, server.zone.clone(), server.answering.clone()));
        tokio::spawn(streams(tcp, server.zone.clone()));
        server
    }

    /// Sets the text records of a name.
    pub fn has(&self, name: &str, texts: &[&[&str]]) {
        let texts = texts.iter().map(|strings| strings.iter().map(|string| (*string).to_owned()).collect());
        self.set(name, Has::Texts(texts.collect()));
    }

    /// Makes a name an alias of another one.
    pub fn leads(&self, name: &str, to: &str) {
        self.set(name, Has::Alias(to.to_owned()));
    }

    /// Makes queries for a name fail.
    pub fn fails(&self, name: &str, code: RCODE) {
        self.set(name, Has::Nothing(code));
    }

    /// Removes a name.
    pub fn forgets(&self, name: &str) {
        self.zone.lock().unwrap().names.remove(name);
    }

    fn set(&self, name: &str, has: Has) {
        self.zone.lock().unwrap().names.insert(name.to_owned(), has);
    }

    /// Makes the server ignore queries until the returned guard is dropped.
    pub async fn hesitates(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.answering.clone().lock_owned().await
    }

    /// The names that were queried.
    pub fn asked(&self) -> Vec<String> {
        self.zone.lock().unwrap().asked.clone()
    }
}

async fn datagrams(socket: UdpSocket, zone: Arc<Mutex<Zone>>, answering: Arc<tokio::sync::Mutex<()>>) {
    let mut buffer = vec![0; 512];
    while let Ok((read, from)) = socket.recv_from(&mut buffer).await {
        let Ok(query) = Packet::parse(&buffer[..read]) else { continue };
        let answer = answer(&query, &zone);
        drop(answering.lock().await);
        // First sends a forged answer, with another id and another question, which the resolver must ignore.
        let forged = forged(&query);
        let _ = socket.send_to(&forged, from).await;
        let answer = if answer.len() > 512 { truncated(&query) } else { answer };
        let _ = socket.send_to(&answer, from).await;
    }
}

async fn streams(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut message = vec![0; usize::from(length)];
        if stream.read_exact(&mut message).await.is_err() {
            continue;
        }
        let Ok(query) = Packet::parse(&message) else { continue };
        let answer = answer(&query, &zone);
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        let _ = stream.write_all(&[&length[..], &answer].concat()).await;
    }
}

fn reply<'a>(query: &Packet<'a>) -> Packet<'a> {
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    reply.questions.clone_from(&query.questions);
    reply
}

fn truncated(query: &Packet<'_>) -> Vec<u8> {
    let mut reply = reply(query);
    reply.set_flags(PacketFlag::TRUNCATION);
    reply.build_bytes_vec().unwrap()
}

fn forged(query: &Packet<'_>) -> Vec<u8> {
    let mut reply = reply(query);
    reply.set_id(query.id().wrapping_add(1));
    *reply.rcode_mut() = RCODE::NameError;
    reply.build_bytes_vec().unwrap()
}

fn answer(query: &Packet<'_>, zone: &Mutex<Zone>) -> Vec<u8> {
    let question = &query.questions[0];
    assert_eq!(question.qtype, QTYPE::TYPE(TYPE::TXT));
    let mut zone = zone.lock().unwrap();
    let mut name = question.qname.to_string();
    zone.asked.push(name.clone());
    let mut reply = reply(query);
    loop {
        let owner = Name::new(&name).unwrap().into_owned();
        match zone.names.get(&name).cloned() {
            Some(Has::Alias(to)) => {
                let other = Name::new(&to).unwrap().into_owned();
                reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 300, RData::CNAME(CNAME(other))));
                name = to;
                continue;
            }
            Some(Has::Texts(texts)) => {
                for strings in texts {
                    let mut text = TXT::new();
                    for string in &strings {
                        text.add_string(string).unwrap();
                    }
                    let text = RData::TXT(text.into_owned());
                    reply.answers.push(ResourceRecord::new(owner.clone(), CLASS::IN, 300, text));
                }
            }
            Some(Has::Nothing(code)) => *reply.rcode_mut() = code,
            None => *reply.rcode_mut() = RCODE::NameError,
        }
        return reply.build_bytes_vec().unwrap();
    }
}
