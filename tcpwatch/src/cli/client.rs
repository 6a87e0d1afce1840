//! One HTTP/1.1 GET over a unix socket or TCP.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// The daemon's unix socket unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tcpwatch/tcpwatch.sock";
/// The daemon's TCP port unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 9777;
/// How long a daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// A host, without the brackets of an IPv6 address, and a port.
    Tcp(String, u16),
}

impl Target {
    /// Where to ask: `url` if it was given, else where a daemon listens by default. The unix
    /// socket comes first: a connection to it is not one that is being counted.
    #[must_use]
    pub fn candidates(url: Option<Self>) -> Vec<Self> {
        match url {
            Some(url) => vec![url],
            None => vec![
                Self::Unix(DEFAULT_SOCKET.into()),
                Self::Tcp("127.0.0.1".to_owned(), DEFAULT_PORT),
            ],
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => {
                write!(formatter, "http://[{host}]:{port}")
            }
            Self::Tcp(host, port) => write!(formatter, "http://{host}:{port}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// `unix:/path`, or `http://host:port` where the port may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "neither unix:/path nor http://host:port".to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err("unix: needs a path from the root, such as unix:/run/x.sock".to_owned());
            }
            return Ok(Self::Unix(path.into()));
        }
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(wrong)?,
            None => match authority.find(':') {
                Some(colon) => authority.split_at(colon),
                None => (authority, ""),
            },
        };
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(wrong());
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err(wrong()),
        };
        Ok(Self::Tcp(host.to_owned(), port))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens there.
    #[error("no daemon answers at {tried}; start one with `sudo tcpwatch daemon`")]
    Nowhere {
        /// Each target with its error.
        tried: String,
    },
    /// Something listens, and the exchange failed.
    #[error("{target}: {reason}")]
    Broken {
        /// Who was asked.
        target: Target,
        /// What went wrong.
        reason: String,
    },
    /// The daemon refused a parameter.
    #[error("{0}")]
    Usage(String),
    /// The daemon answered with any other error.
    #[error("{0}")]
    Refused(String),
}

/// The body of the first target that can be reached, asked for `path`.
///
/// # Errors
/// [`Error`]; a target that was reached is the last one to be tried.
pub async fn get(targets: &[Target], path: &str) -> Result<String, Error> {
    let mut tried = Vec::new();
    for target in targets {
        let answer = timeout(TIMEOUT, exchange(target, path)).await;
        let broken = |reason| Error::Broken {
            target: target.clone(),
            reason,
        };
        match answer {
            Err(_) => return Err(broken(format!("no answer within {TIMEOUT:?}"))),
            Ok(Err(Step::Connect(error))) => tried.push(format!("{target} ({})", plain(&error))),
            Ok(Err(Step::Exchange(error))) => return Err(broken(error.to_string())),
            Ok(Ok((StatusCode::OK, body))) => return Ok(body),
            Ok(Ok((status, body))) => return Err(refusal(status, &body, broken)),
        }
    }
    Err(Error::Nowhere {
        tried: tried.join(" nor at "),
    })
}

/// Which step failed.
enum Step {
    Connect(io::Error),
    Exchange(hyper::Error),
}

impl From<hyper::Error> for Step {
    fn from(error: hyper::Error) -> Self {
        Self::Exchange(error)
    }
}

async fn exchange(target: &Target, path: &str) -> Result<(StatusCode, String), Step> {
    match target {
        Target::Unix(socket) => {
            let stream = UnixStream::connect(socket).await.map_err(Step::Connect)?;
            send(stream, "localhost", path).await
        }
        Target::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(Step::Connect)?;
            let url = target.to_string();
            send(stream, url.trim_start_matches("http://"), path).await
        }
    }
}

async fn send<S>(stream: S, host: &str, path: &str) -> Result<(StatusCode, String), Step>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; its error, if any, is the request's too.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    // Both are made of our own flags, percent-encoded, so neither can be invalid; what should be
    // all the same goes out as the default, and the daemon answers that.
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(HOST, host);
    }
    if let Ok(agent) = concat!("tcpwatch/", env!("CARGO_PKG_VERSION")).parse() {
        request.headers_mut().insert(USER_AGENT, agent);
    }
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The error that the API's one shape of errors tells.
fn refusal(status: StatusCode, body: &str, broken: impl Fn(String) -> Error) -> Error {
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match json
        .pointer("/error/message")
        .and_then(|text| text.as_str())
    {
        Some(message) if status == StatusCode::BAD_REQUEST => Error::Usage(message.to_owned()),
        Some(message) => Error::Refused(message.to_owned()),
        None => broken(format!("answered {status}; is that tcpwatch?")),
    }
}

/// The system's words without Rust's number behind them.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
