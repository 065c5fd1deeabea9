//! A home and ports for one test, and helpers that run `inopsio` there.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest wait of any condition; only reached if something is broken.
pub const BOUND: Duration = Duration::from_mins(2);

/// A temporary folder and free ports.
pub struct Sandbox {
    pub folder: PathBuf,
    pub http: u16,
    postgres: u16,
    nats: u16,
}

/// The result of a process.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        let ports = [(); 3].map(|()| testbed::free_port());
        let folder = std::env::temp_dir().join(format!("inopsio-cli-{}-{}", std::process::id(), ports[0]));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, http: ports[0], postgres: ports[1], nats: ports[2] }
    }

    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// A command that runs `inopsio` in this sandbox. Of the test run's environment it inherits only the paths of server programs.
    pub fn inopsio(&self, arguments: &[&str]) -> Command {
        let mut command = self.configured(env!("CARGO_BIN_EXE_inopsio"));
        command.args(arguments);
        command
    }

    /// A program that starts with this sandbox's settings.
    fn configured(&self, program: &str) -> Command {
        let mut command = testbed::unconfigured(program);
        command
            .current_dir(&self.folder)
            .env("INOPSIO_HOME", self.home())
            .env("INOPSIO_PORT", self.http.to_string())
            .env("INOPSIO_DEV_POSTGRES_PORT", self.postgres.to_string())
            .env("INOPSIO_DEV_NATS_PORT", self.nats.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.inopsio(arguments).output().unwrap())
    }

    /// Runs a command that must succeed. Returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "inopsio {arguments:?}: {ended:#?}");
        ended.stdout
    }

    /// Runs a command that must succeed on a terminal of this width; its arguments have no blanks. Returns what it shows.
    pub fn on_terminal(&self, columns: u16, arguments: &[&str]) -> String {
        let line = format!("stty cols {columns}; exec \"$PROGRAM\" {}", arguments.join(" "));
        let mut command = self.configured("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let ended = ended(command.env("PROGRAM", env!("CARGO_BIN_EXE_inopsio")).output().unwrap());
        assert!(ended.status.success(), "inopsio {arguments:?}: {ended:#?}");
        ended.stdout
    }

    /// Runs a command that must print one JSON document. Returns the document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [&["--format", "json"], arguments].concat();
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// Sends a REST command with a token. Returns the response's body.
    pub fn post(&self, token: &str, path: &str, body: &Value) -> Value {
        self.send(token, path, "application/json", &body.to_string())
    }

    /// Makes a qualified lead, for which the saga `follow_up_lead` begins and waits for days. Returns the lead's id.
    pub fn lead_to_follow_up(&self, token: &str) -> String {
        let policy = json!({
            "escalate_after_days": 3,
            "escalate_to": "boss",
            "reassign_after_days": 2,
            "reassign_to": "other",
        });
        self.post(token, "/v1/crm/follow-up/set", &policy);
        let lead = self.post(token, "/v1/crm/leads", &json!({ "name": "Ada Lovelace" }));
        let lead = lead["id"].as_str().unwrap().to_owned();
        self.post(token, &format!("/v1/crm/leads/{lead}/assign"), &json!({ "owner": "ada" }));
        for step in ["start-work", "qualify"] {
            self.post(token, &format!("/v1/crm/leads/{lead}/{step}"), &json!({}));
        }
        lead
    }

    /// Sends a body of another media type.
    pub fn send(&self, token: &str, path: &str, media_type: &str, body: &str) -> Value {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", &self.url(path)])
            .args(["-H", &format!("Authorization: Bearer {token}"), "-H", &format!("Content-Type: {media_type}")])
            .args(["--data-binary", body])
            .output()
            .unwrap();
        let ended = ended(output);
        assert!(ended.status.success(), "POST {path}: {ended:#?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Runs SQL statements in CRM's database as the superuser.
    pub fn sql(&self, statements: &str) {
        use sqlx::{ConnectOptions, Connection, Executor};
        let options = self.superuser().unwrap();
        runtime().block_on(async {
            let mut connection = options.database("inopsio_crm").connect().await.unwrap();
            connection.execute(statements).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// Whether anything was written to the log of the user service; also false if that can't be read yet.
    pub fn has_users(&self) -> bool {
        use sqlx::ConnectOptions;
        let Some(options) = self.superuser() else { return false };
        let asked = async {
            let mut connection = options.database("inopsio_user").connect().await?;
            sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM log.events)").fetch_one(&mut connection).await
        };
        runtime().block_on(asked).unwrap_or(false)
    }

    /// How the superuser connects; none before the settings are written.
    fn superuser(&self) -> Option<sqlx::postgres::PgConnectOptions> {
        let config = std::fs::read_to_string(self.home().join("inopsio.toml")).ok()?;
        let line = config.lines().find_map(|line| line.strip_prefix("postgres.admin_url = "))?;
        serde_json::from_str::<String>(line).ok()?.parse().ok()
    }

    /// Whether the private Postgres and nats-server listen.
    pub fn servers_listen(&self) -> (bool, bool) {
        let listens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        (listens(self.postgres), listens(self.nats))
    }

    /// Process ids of the private Postgres and nats-server, from their pid files.
    pub fn server_pids(&self) -> (u32, u32) {
        let first_line = |path: PathBuf| {
            let content = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            content.lines().next().unwrap().trim().parse().unwrap()
        };
        (
            first_line(self.home().join("postgres/data/postmaster.pid")),
            first_line(self.home().join("nats/nats-server.pid")),
        )
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A running `inopsio dev`.
pub struct Dev {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    /// The lines that it printed when it was ready.
    pub welcome: Vec<String>,
}

impl Dev {
    /// Starts it and waits until it is ready.
    pub fn start(sandbox: &Sandbox) -> Self {
        let log = sandbox.folder.join("dev.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = sandbox.inopsio(&["dev"]).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut dev = Self { child, lines, log, welcome: Vec::new() };
        while !dev.welcome.iter().any(|line| line.starts_with("Ctrl-C")) {
            match dev.lines.recv_timeout(BOUND) {
                Ok(line) => dev.welcome.push(line),
                Err(error) => {
                    panic!("dev is not ready ({error}); it said {:?} and logged:\n{}", dev.welcome, dev.log())
                }
            }
        }
        dev
    }

    /// The printed token.
    pub fn token(&self) -> &str {
        self.welcome.iter().find_map(|line| line.strip_prefix("export TOKEN=")).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal and waits for the process to end.
    pub fn signal(mut self, signal: &str) -> ExitStatus {
        kill(signal, self.pid());
        self.end()
    }

    /// Waits for the process to end.
    pub fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("dev ends", || child.try_wait().unwrap())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill("INT", self.child.id());
            let deadline = Instant::now() + BOUND;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

/// Sends a signal to one process.
pub fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Polls until `look` returns a value, at most for [`BOUND`].
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Converts the output of a finished process.
pub fn ended(output: std::process::Output) -> Ended {
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a line in a shell.
pub fn shell(line: &str) -> Ended {
    ended(Command::new("bash").args(["-euc", line]).output().unwrap())
}
