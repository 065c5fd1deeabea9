//! A private Postgres server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::programs;
use crate::watchdog::Watchdog;

/// A private Postgres cluster for tests that kill it. On drop it is removed, including its shared memory: with
/// `dynamic_shared_memory_type=mmap` that is a file in its data folder, while a killed server's files in `/dev/shm` would remain.
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    options: &'static str,
    watchdog: Option<Watchdog>,
}

impl Postgres {
    /// Creates and starts a cluster without fsync. Only a crash of the machine could make a difference, and recovery is faster by seconds.
    /// Its folder is below `INOPSIO_TEST_CLUSTERS` if that is set: in memory, if `scripts/with-postgres` finds room for it.
    pub fn unsynced() -> Self {
        let place = std::env::var_os("INOPSIO_TEST_CLUSTERS").map_or_else(std::env::temp_dir, PathBuf::from);
        Self::start(programs::directory_in(&place, "postgres"), "-c fsync=off -c dynamic_shared_memory_type=mmap")
    }

    /// Creates and starts a cluster with fsync, like a real one.
    pub fn private() -> Self {
        Self::start(programs::temporary_directory("postgres"), "-c dynamic_shared_memory_type=mmap")
    }

    /// The same in a new folder of a certain disk, which contains nothing but its data.
    pub fn private_in(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self::start(folder.to_owned(), "")
    }

    fn start(dir: PathBuf, options: &'static str) -> Self {
        initialize(&dir);
        let mut postgres = Self { dir, port: programs::free_port(), options, watchdog: None };
        postgres.restart();
        postgres
    }

    /// The superuser's connection options.
    pub fn admin(&self) -> PgConnectOptions {
        admin(self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id. Its children are the backends.
    pub fn pid(&self) -> u32 {
        server_pid(&self.dir)
    }

    /// The process ids of the server and its backends.
    pub fn processes(&self) -> Vec<u32> {
        let server = self.pid();
        std::iter::once(server).chain(programs::children(server)).collect()
    }

    /// Sends a signal (`STOP`, `CONT`) to one of its [processes](Self::processes).
    pub fn signal(&self, process: u32, signal: &str) {
        assert!(self.processes().contains(&process), "{process} is no process of this server");
        programs::signal(process, signal);
    }

    /// Kills the server and its backends at once (SIGKILL), like a crash.
    pub fn kill(&mut self) {
        let server = server_pid(&self.dir);
        // Stop it first, so that it can't start backends after they are listed.
        programs::signal(server, "STOP");
        let backends = programs::children(server);
        for pid in std::iter::once(server).chain(backends) {
            programs::signal(pid, "KILL");
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
    }

    /// Starts the server again on the same port and data, after it was killed or has ended by itself.
    pub fn restart(&mut self) {
        // The old watchdog would remove the data of the new server.
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
        // The backends of a killed server need a moment to notice and to release its shared memory.
        let begin = Instant::now();
        while !start(&self.dir, self.port, self.options) {
            assert!(begin.elapsed() < Duration::from_secs(30), "Postgres does not start:\n{}", log(&self.dir));
            std::thread::sleep(Duration::from_millis(50));
        }
        self.watchdog = Some(Watchdog::new(server_pid(&self.dir), &self.dir));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        match self.watchdog.take() {
            Some(watchdog) => watchdog.kill_server(),
            None => {
                let _ = std::fs::remove_dir_all(&self.dir);
            }
        }
    }
}

/// The superuser's connection options for a cluster.
pub(crate) fn admin(port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

/// Creates a cluster in `dir` as a copy of a template, which is faster by seconds. Connections from this machine are trusted.
pub(crate) fn initialize(dir: &Path) {
    programs::hand_over(dir);
    programs::run(Command::new("cp").arg("-a").arg(template()).arg(dir.join("data")));
}

/// The template: a cluster that was never started.
fn template() -> PathBuf {
    let home = crate::shared::directory();
    let template = home.join(format!("template-{}", programs::version(&programs::postgres())));
    let making = std::fs::File::create(home.join("template.lock")).expect("template.lock");
    making.lock().expect("template.lock can be locked");
    if !template.exists() {
        let unfinished = programs::temporary_directory("template");
        programs::hand_over(&unfinished);
        programs::run(
            programs::as_postgres(&programs::postgres().join("initdb"))
                .current_dir("/")
                .arg("-D")
                .arg(unfinished.join("data"))
                .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"])
                .arg("--no-sync"),
        );
        std::fs::rename(unfinished.join("data"), &template).expect("the template can be put in its place");
        std::fs::remove_dir(&unfinished).expect("its directory is empty");
    }
    template
}

/// Starts the cluster in `dir`. Returns whether that succeeded.
pub(crate) fn start(dir: &Path, port: u16, options: &str) -> bool {
    programs::as_postgres(&programs::postgres().join("pg_ctl"))
        .current_dir("/")
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-l")
        .arg(dir.join("log"))
        .args(["-w", "-t", "60", "-o"])
        .arg(format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 {options}"
        ))
        .arg("start")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("pg_ctl runs")
        .success()
}

/// The process id of the cluster's server, from its pid file.
pub(crate) fn server_pid(dir: &Path) -> u32 {
    let file = dir.join("data/postmaster.pid");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id")
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}
