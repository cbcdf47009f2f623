//! A GET of which only the status is wanted: for probes. Small on purpose; a client library would be most of the agent.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A status line is shorter.
const MAX_LINE: usize = 1024;

pub(super) struct Get<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) tls: bool,
    pub(super) headers: &'a [(String, String)],
}

/// The status of the answer.
pub(super) async fn get(request: &Get<'_>) -> Result<u16, String> {
    let stream =
        TcpStream::connect((request.host, request.port)).await.map_err(|e| format!("dial tcp: {e}"))?;
    if !request.tls {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(request.host.to_owned()).map_err(|e| e.to_string())?;
    let connector = TlsConnector::from(unchecked().map_err(|e| e.to_string())?);
    let stream = connector.connect(name, stream).await.map_err(|e| format!("tls: {e}"))?;
    exchange(stream, request).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &Get<'_>) -> Result<u16, String> {
    let text = request.text()?;
    stream.write_all(text.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut line = Vec::new();
    let mut block = [0; 256];
    while !line.contains(&b'\n') && line.len() < MAX_LINE {
        match stream.read(&mut block).await.map_err(|e| e.to_string())? {
            0 => break,
            count => line.extend_from_slice(&block[..count]),
        }
    }
    status(&line).ok_or_else(|| "malformed HTTP response".to_owned())
}

impl Get<'_> {
    fn text(&self) -> Result<String, String> {
        let own_host = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host =
            own_host.map_or_else(|| format!("{}:{}", self.host, self.port), |(_, value)| value.clone());
        let path = if self.path.starts_with('/') { self.path.to_owned() } else { format!("/{}", self.path) };
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !has("user-agent") {
            text.push_str("User-Agent: gannet-probe\r\n");
        }
        if !has("accept") {
            text.push_str("Accept: */*\r\n");
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        // A manifest must not be able to put a second request into the first.
        let lines = 4 + usize::from(!has("user-agent")) + usize::from(!has("accept")) + self.headers.len()
            - self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count();
        if text.matches('\n').count() != lines || text.matches('\r').count() != lines || path.contains(' ') {
            return Err("path or headers of the probe hold characters that they cannot".to_owned());
        }
        Ok(text)
    }
}

fn status(bytes: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(bytes.split(|b| *b == b'\r' || *b == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

/// TLS without checking who answers, as kubelet probes: the question is whether, not who.
fn unchecked() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn check(answer: &'static [u8], expect: Result<u16, &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                seen.push(byte[0]);
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(seen).unwrap()
        });
        let headers = [("X-A".to_owned(), "b".to_owned()), ("Host".to_owned(), "site".to_owned())];
        let got = get(&Get { host: "127.0.0.1", port, path: "/ok", tls: false, headers: &headers }).await;
        assert_eq!(got, expect.map_err(str::to_owned));
        let seen = server.await.unwrap();
        assert!(
            seen.starts_with("GET /ok HTTP/1.1\r\nHost: site\r\n") && seen.contains("\r\nX-A: b\r\n"),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn answers() {
        check(b"HTTP/1.1 200 OK\r\n\r\n", Ok(200)).await;
        check(b"HTTP/1.0 503 Service Unavailable\r\n", Ok(503)).await;
        check(b"HTTP/1.1 404", Ok(404)).await;
        check(b"SSH-2.0-x\r\n", Err("malformed HTTP response")).await;
        check(b"", Err("malformed HTTP response")).await;
    }

    #[test]
    fn nothing_is_smuggled() {
        let get = |path: &str, value: &str| {
            let headers = [("X".to_owned(), value.to_owned())];
            Get { host: "h", port: 1, path, tls: false, headers: &headers }.text()
        };
        assert!(get("/a?b=c", "v").is_ok());
        assert!(get("/a HTTP/1.1\r\nX: y", "v").is_err());
        assert!(get("/", "v\r\nEvil: 1").is_err());
        assert!(get("/", "v\nEvil: 1").is_err());
    }
}
