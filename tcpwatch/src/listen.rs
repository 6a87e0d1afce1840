//! Where the daemon listens: the ADDR[=ROUTES] of the command line, and binding to it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{
    api::Routes,
    cli::client::{DEFAULT_PORT, DEFAULT_SOCKET},
};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// One `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// What.
    pub routes: Routes,
}

impl Listen {
    /// The defaults of the daemon.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let unix = Self {
            address: Address::Unix(DEFAULT_SOCKET.into()),
            routes: Routes::All,
        };
        let tcp = Self {
            address: Address::Tcp((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()),
            routes: Routes::All,
        };
        vec![unix, tcp]
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.routes {
            Routes::All => write!(f, "{}", self.address),
            Routes::MetricsOnly => write!(f, "{} (metrics only)", self.address),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may hold a '=', so only a known word behind the last one is taken for ROUTES.
        let (address, routes) = match text.rsplit_once('=') {
            Some((address, "all")) => (address, Some(Routes::All)),
            Some((address, "metrics")) => (address, Some(Routes::MetricsOnly)),
            Some((_, word)) if !text.starts_with("unix:") => {
                return Err(format!("unknown routes {word}; use all or metrics"));
            }
            _ => (text, None),
        };
        if let Some(path) = address.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("the socket's path {path:?} is not absolute"));
            }
            let address = Address::Unix(path.into());
            return Ok(Self {
                address,
                routes: routes.unwrap_or(Routes::All),
            });
        }
        let address: SocketAddr = address.parse().map_err(|_| {
            format!("{address:?} is neither unix:/PATH nor an IP address with a port")
        })?;
        // Connections tell who talks to whom: what leaves this host is asked for by name.
        let default = if address.ip().is_loopback() {
            Routes::All
        } else {
            Routes::MetricsOnly
        };
        Ok(Self {
            address: Address::Tcp(address),
            routes: routes.unwrap_or(default),
        })
    }
}

/// A bound listener, for the runtime to take over.
#[derive(Debug)]
pub enum Bound {
    /// A unix socket; the file goes when this is dropped.
    Unix(UnixListener, SocketFile),
    /// A TCP socket.
    Tcp(std::net::TcpListener),
}

/// The file of a unix socket, removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    address: Address,
    reason: String,
}

/// Binds a listener; a stale unix socket is replaced.
///
/// # Errors
/// When the address is in use, not local, or not permitted.
pub fn bind(listen: &Listen) -> Result<Bound, ListenError> {
    let bound = match &listen.address {
        Address::Unix(path) => unix(path),
        Address::Tcp(address) => tcp(*address),
    };
    bound.map_err(|reason| ListenError {
        address: listen.address.clone(),
        reason,
    })
}

fn tcp(address: SocketAddr) -> Result<Bound, String> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; stop its owner or choose another with --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "no interface has this address".to_owned(),
        _ => error.to_string(),
    };
    let listener = std::net::TcpListener::bind(address).map_err(explain)?;
    listener
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(Bound::Tcp(listener))
}

fn unix(path: &Path) -> Result<Bound, String> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err("another tcpwatch answers there; stop it or use --listen".to_owned());
            }
            remove_stale(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
    .map_err(|error| error.to_string())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .and_then(|()| listener.set_nonblocking(true))
        .map_err(|error| error.to_string())?;
    Ok(Bound::Unix(listener, SocketFile(path.to_owned())))
}

/// Removes what a daemon that was killed left behind, but nothing that is not a socket.
fn remove_stale(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt as _;
    let file = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !file.file_type().is_socket() {
        return Err("a file that is not a socket is in the way".to_owned());
    }
    std::fs::remove_file(path).map_err(|error| format!("a stale socket is in the way: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, Routes), &str>) {
        let found = text.parse::<Listen>();
        match (found, expected) {
            (Ok(listen), Ok((address, routes))) => {
                assert_eq!(
                    (listen.address.to_string().as_str(), listen.routes),
                    (address, routes)
                );
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_serve_everything_unasked() {
        check("127.0.0.1:9777", Ok(("127.0.0.1:9777", Routes::All)));
        check("[::1]:9777", Ok(("[::1]:9777", Routes::All)));
        check("0.0.0.0:9777", Ok(("0.0.0.0:9777", Routes::MetricsOnly)));
        check("0.0.0.0:9777=all", Ok(("0.0.0.0:9777", Routes::All)));
        check(
            "127.0.0.1:9777=metrics",
            Ok(("127.0.0.1:9777", Routes::MetricsOnly)),
        );
        check("unix:/run/x.sock", Ok(("unix:/run/x.sock", Routes::All)));
        check(
            "unix:/run/a=b.sock",
            Ok(("unix:/run/a=b.sock", Routes::All)),
        );
        check(
            "unix:/run/x.sock=metrics",
            Ok(("unix:/run/x.sock", Routes::MetricsOnly)),
        );
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        check("localhost", Err("neither unix:/PATH nor an IP address"));
        check("127.0.0.1", Err("neither"));
        check("unix:x.sock", Err("not absolute"));
        check("0.0.0.0:1=some", Err("unknown routes some"));
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = std::env::temp_dir().join(format!("tcpwatch-listen-{}", std::process::id()));
        let path = folder.join("t.sock");
        let listen = Listen {
            address: Address::Unix(path.clone()),
            routes: Routes::All,
        };
        std::fs::create_dir_all(&folder).unwrap();
        // std leaves the file behind, as a killed daemon does.
        drop(UnixListener::bind(&path).unwrap());
        let first = bind(&listen).unwrap();
        let error = bind(&listen).unwrap_err().to_string();
        assert!(error.contains("another tcpwatch answers"), "{error}");
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        let error = bind(&listen).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
