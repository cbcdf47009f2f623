//! A GET of which only the status is wanted: for probes and hooks. Small on purpose; a client library would be most of the
//! agent.

mod tls;

use std::net::IpAddr;

use gannet_protocols_model::HttpGet;
use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A head with all its headers is shorter.
const MAX_HEAD: usize = 16 << 10;
/// Redirects that are followed, as in kubelet.
const MAX_REDIRECTS: usize = 10;

/// What probes say that they are: servers know kubelet's.
pub(super) const PROBE_AGENT: &str = "kube-probe/1.37";
/// What hooks say that they are.
pub(super) const LIFECYCLE_AGENT: &str = "kube-lifecycle/1.37";

#[derive(Debug, Clone)]
pub(super) struct Get<'a> {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) tls: bool,
    pub(super) headers: &'a [(String, String)],
    pub(super) agent: &'a str,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    location: Option<String>,
}

/// The status of the answer. Redirects on the same host are followed; one to another host is the answer itself.
pub(super) async fn get(request: &Get<'_>) -> Result<u16, String> {
    let mut request = request.clone();
    for _ in 0..MAX_REDIRECTS {
        let head = once(&request).await?;
        let redirect = matches!(head.status, 301 | 302 | 303 | 307 | 308);
        let Some(location) = head.location.filter(|_| redirect) else { return Ok(head.status) };
        match request.redirected(&location) {
            Some(next) => request = next,
            None => return Ok(head.status),
        }
    }
    Err(format!("stopped after {MAX_REDIRECTS} redirects"))
}

async fn once(request: &Get<'_>) -> Result<Head, String> {
    let address = (request.host.as_str(), request.port);
    let stream = TcpStream::connect(address).await.map_err(|e| dial_failure(address.0, address.1, &e))?;
    if !request.tls {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(request.host.clone()).map_err(|e| e.to_string())?;
    let connector = TlsConnector::from(tls::unchecked().map_err(|e| e.to_string())?);
    let stream = connector.connect(name, stream).await.map_err(|e| format!("tls: {e}"))?;
    exchange(stream, request).await
}

/// In the words of kubelet's language.
pub(super) fn dial_failure(host: &str, port: u16, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {host}:{port}: {why}")
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Get<'_>,
) -> Result<Head, String> {
    let text = request.text()?;
    stream.write_all(text.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let mut block = [0; 512];
    while !is_whole(&bytes) && bytes.len() < MAX_HEAD {
        match stream.read(&mut block).await.map_err(|e| e.to_string())? {
            0 => break,
            count => bytes.extend_from_slice(&block[..count]),
        }
    }
    head(&bytes).ok_or_else(|| "malformed HTTP response".to_owned())
}

/// Whether there is nothing more to read: of a redirect its headers are wanted too.
fn is_whole(bytes: &[u8]) -> bool {
    match status(bytes) {
        Some(300..400) => {
            bytes.windows(4).any(|w| w == b"\r\n\r\n") || bytes.windows(2).any(|w| w == b"\n\n")
        }
        _ => bytes.contains(&b'\n'),
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let status = status(bytes)?;
    let mut lines = bytes.split(|b| *b == b'\n').skip(1).map_while(|line| {
        let line = std::str::from_utf8(line).ok()?.trim_end();
        (!line.is_empty()).then_some(line)
    });
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Some(Head { status, location })
}

impl<'a> Get<'a> {
    /// A GET of a manifest.
    pub(super) fn of(get: &'a HttpGet, pod: IpAddr, agent: &'a str) -> Self {
        let host = get.host.clone().unwrap_or_else(|| pod.to_string());
        let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
        Self { host, port: get.port, path, tls: get.tls, headers: &get.headers, agent }
    }

    /// Why it failed, as kubelet's client says it.
    pub(super) fn failure(&self, why: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("Get \"{scheme}://{}:{}{}\": {why}", self.host, self.port, self.path)
    }

    /// The request that a redirect asks for; `None` where it leads to another host, or nowhere.
    fn redirected(&self, location: &str) -> Option<Self> {
        let mut next = self.clone();
        let location = match location.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", if self.tls { "https" } else { "http" }),
            None => location.to_owned(),
        };
        if !location.contains("://") {
            next.path = match location.strip_prefix('/') {
                Some(_) => location,
                None => {
                    let folder = self.path.split('?').next().and_then(|p| p.rsplit_once('/'));
                    format!("{}/{location}", folder.map_or("", |(folder, _)| folder))
                }
            };
            return Some(next);
        }
        let uri: Uri = location.parse().ok()?;
        next.tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        if uri.host()?.trim_matches(['[', ']']) != self.host {
            return None;
        }
        next.port = uri.port_u16().unwrap_or(if next.tls { 443 } else { 80 });
        next.path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Some(next)
    }

    fn text(&self) -> Result<String, String> {
        let header = |wanted: &str| {
            let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_str())
        };
        let host = header("host").map_or_else(|| format!("{}:{}", self.host, self.port), str::to_owned);
        let mut lines = vec![
            format!("GET {} HTTP/1.1", self.path),
            format!("Host: {host}"),
            "Connection: close".to_owned(),
        ];
        for (name, own) in [("User-Agent", self.agent), ("Accept", "*/*")] {
            // One that is given as empty is left out.
            let value = header(name).unwrap_or(own);
            if !value.is_empty() {
                lines.push(format!("{name}: {value}"));
            }
        }
        let known = ["host", "user-agent", "accept", "connection"];
        let others =
            self.headers.iter().filter(|(name, _)| !known.iter().any(|k| name.eq_ignore_ascii_case(k)));
        lines.extend(others.map(|(name, value)| format!("{name}: {value}")));
        // A manifest must not be able to put a second request into the first.
        if self.path.contains(' ') || lines.iter().any(|line| line.contains(['\r', '\n'])) {
            return Err("path or headers of the probe hold characters that they cannot".to_owned());
        }
        Ok(lines.join("\r\n") + "\r\n\r\n")
    }
}

fn status(bytes: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(bytes.split(|b| *b == b'\r' || *b == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
#[path = "http_test.rs"]
mod tests;
