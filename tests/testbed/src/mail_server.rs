//! A mail server for tests that accepts everything: the part of SMTP (RFC 5321) that a client without TLS and login needs.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A received mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedMail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipient; of several, the last one.
    pub to: String,
    /// Headers and body, with dot-stuffing removed.
    pub data: String,
}

/// A mail server on its own port. It stops on drop.
pub struct MailServer {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    mails: Vec<ReceivedMail>,
    recipients: String,
}

impl MailServer {
    /// Starts a server.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State { mails: Vec::new(), recipients: "250 OK".to_owned() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move { _ = converse(stream, state).await });
            }
        });
        Self { port, state, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The received mails, in order.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.state.lock().expect("no test panics in here").mails.clone()
    }

    /// Sets the answer to each `RCPT TO` from now on.
    pub fn answer_recipients(&self, answer: &str) {
        answer.clone_into(&mut self.state.lock().expect("no test panics in here").recipients);
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Handles one connection.
async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mail = ReceivedMail::default();
    stream.write_all(b"220 testbed ESMTP\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-testbed\r\n250 8BITMIME".to_owned(),
            "HELO" | "NOOP" => "250 OK".to_owned(),
            "RSET" => {
                mail = ReceivedMail::default();
                "250 OK".to_owned()
            }
            "MAIL" => {
                mail = ReceivedMail { from: address(&command), ..ReceivedMail::default() };
                "250 OK".to_owned()
            }
            "RCPT" => {
                let answer = state.lock().expect("no test panics in here").recipients.clone();
                if answer.starts_with('2') {
                    mail.to = address(&command);
                }
                answer
            }
            "DATA" if mail.to.is_empty() => "503 no recipient".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                while stream.read_line(&mut line).await? > 0 && line != ".\r\n" {
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    line.clear();
                }
                line.clear();
                state.lock().expect("no test panics in here").mails.push(std::mem::take(&mut mail));
                "250 OK".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 not known here".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// The address between the angle brackets.
fn address(command: &str) -> String {
    command.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(address, _)| address).to_owned()
}
