//! The ports of a development environment, with helpful errors for occupied ones.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// The ports of the development environment, which listens only on 127.0.0.1.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Ports {
    /// Port of the API
    #[arg(long = "port", env = "INOPSIO_PORT", default_value_t = 8080, value_parser = read("INOPSIO_PORT", 0))]
    pub http: u16,
    /// Port of the private Postgres
    #[arg(
        long = "postgres-port",
        env = "INOPSIO_DEV_POSTGRES_PORT",
        default_value_t = 15432,
        value_parser = read("INOPSIO_DEV_POSTGRES_PORT", 1)
    )]
    pub postgres: u16,
    /// Port of the private nats-server
    #[arg(
        long = "nats-port",
        env = "INOPSIO_DEV_NATS_PORT",
        default_value_t = 14222,
        value_parser = read("INOPSIO_DEV_NATS_PORT", 1)
    )]
    pub nats: u16,
}

/// A value parser for a port of a flag or its environment variable. `least` is 0 if any free port will do, and 1 for the private servers,
/// which others must find.
pub fn read(
    variable: &'static str,
    least: u16,
) -> impl Fn(&str) -> Result<u16, String> + Clone + Send + Sync + 'static {
    move |text: &str| {
        let port = text.parse().ok().filter(|port: &u16| *port >= least);
        port.ok_or_else(|| format!("allowed is a number from {least} to 65535, also in {variable}"))
    }
}

impl Ports {
    /// Checks that the ports differ and are free. The error names the port and a setting that chooses another one.
    pub fn check(self) -> Result<()> {
        let ours = [
            ("the API", self.http, "INOPSIO_PORT"),
            ("the private Postgres", self.postgres, "INOPSIO_DEV_POSTGRES_PORT"),
            ("the private nats-server", self.nats, "INOPSIO_DEV_NATS_PORT"),
        ];
        for (place, (what, port, _)) in ours.iter().enumerate() {
            let same = ours[place + 1..].iter().find(|(_, other, _)| other == port && *port != 0);
            if let Some((other, _, setting)) = same {
                bail!("port {port} can't be used for both {what} and {other}: choose another with {setting}");
            }
        }
        self.check_one("the API", self.http, "INOPSIO_PORT")?;
        self.check_servers()
    }

    /// As [`check`](Self::check), for the private servers only.
    pub fn check_servers(self) -> Result<()> {
        self.check_one("the private Postgres", self.postgres, "INOPSIO_DEV_POSTGRES_PORT")?;
        self.check_one("the private nats-server", self.nats, "INOPSIO_DEV_NATS_PORT")
    }

    fn check_one(self, what: &str, port: u16, setting: &str) -> Result<()> {
        if port == 0 || is_free(port) {
            return Ok(());
        }
        let ours = [self.http, self.postgres, self.nats];
        let free = (port..u16::MAX).skip(1).find(|port| !ours.contains(port) && is_free(*port)).unwrap_or_default();
        bail!("port {port}, for {what}, is taken by another program: choose another with {setting}={free}")
    }
}

/// Whether a server can listen on the port. `TcpListener` sets SO_REUSEADDR, so connections in TIME_WAIT don't count.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_one_that_is_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = Ports { http: port, postgres: port.saturating_add(1), nats: port.saturating_add(2) };
        let said = ports.check().unwrap_err().to_string();
        let (named, choice) = said.rsplit_once('=').unwrap();
        assert!(named.contains(&port.to_string()) && named.ends_with("INOPSIO_PORT"), "{said}");
        let choice: u16 = choice.parse().unwrap();
        assert!(![port, ports.postgres, ports.nats].contains(&choice), "{said}");
    }

    #[test]
    fn a_port_that_two_are_to_have_is_named_before_anything_is_started() {
        let said = Ports { http: 9, postgres: 9, nats: 10 }.check().unwrap_err().to_string();
        assert!(said.contains("port 9") && said.ends_with("INOPSIO_DEV_POSTGRES_PORT"), "{said}");
        let said = Ports { http: 9, postgres: 10, nats: 10 }.check().unwrap_err().to_string();
        assert!(said.contains("port 10") && said.ends_with("INOPSIO_DEV_NATS_PORT"), "{said}");
    }

    #[test]
    fn what_is_no_port_is_refused_with_what_may_stand_there() {
        let server = read("INOPSIO_DEV_NATS_PORT", 1);
        assert_eq!(server("1"), Ok(1));
        let said = server("0").unwrap_err();
        assert!(said.contains("1 to 65535") && said.contains("INOPSIO_DEV_NATS_PORT"), "{said}");
        let read = read("INOPSIO_PORT", 0);
        assert_eq!((read("8080"), read("0")), (Ok(8080), Ok(0)));
        for text in ["abc", "-1", "65536", ""] {
            let said = read(text).unwrap_err();
            assert!(said.contains("0 to 65535") && said.contains("INOPSIO_PORT"), "{said}");
        }
    }
}
