use tokio::net::TcpListener;

use super::*;

/// A server that answers one request after the other. Gives the requests.
async fn ask(
    path: &str,
    headers: &[(&str, &str)],
    answers: &[String],
) -> (Result<u16, String>, Vec<String>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: Vec<String> = answers.iter().map(|a| a.replace("PORT", &port.to_string())).collect();
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                seen.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(seen).unwrap());
        }
        requests
    });
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let (host, path) = ("127.0.0.1".to_owned(), path.to_owned());
    let got = get(&Get { host, port, path, tls: false, headers: &headers, agent: PROBE_AGENT }).await;
    (got, server.await.unwrap(), port)
}

#[tokio::test]
async fn answers() {
    for (answer, expect) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(200)),
        ("HTTP/1.0 503 Service Unavailable\r\n", Ok(503)),
        ("HTTP/1.1 404", Ok(404)),
        ("HTTP/1.1 302 Found\r\n\r\n", Ok(302)),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere:PORT/\r\n\r\n", Ok(302)),
        ("HTTP/1.1 304 Not Modified\r\nLocation: /x\r\n\r\n", Ok(304)),
        ("SSH-2.0-x\r\n", Err("malformed HTTP response")),
        ("", Err("malformed HTTP response")),
    ] {
        let (got, ..) = ask("/ok", &[], &[answer.to_owned()]).await;
        assert_eq!(got, expect.map_err(str::to_owned), "{answer}");
    }
}

#[tokio::test]
async fn headers_are_kubelets_where_there_are_no_others() {
    let ok = ["HTTP/1.1 200 OK\r\n\r\n".to_owned()];
    let (_, seen, port) = ask("/ok", &[("X-A", "b")], &ok).await;
    let plain = format!(
        "GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nX-A: b\r\n\r\n"
    );
    assert_eq!(seen, [plain]);
    let own = [("Host", "site"), ("user-agent", "me"), ("ACCEPT", "")];
    let (_, seen, _) = ask("/ok", &own, &ok).await;
    assert_eq!(seen, ["GET /ok HTTP/1.1\r\nHost: site\r\nConnection: close\r\nUser-Agent: me\r\n\r\n"]);
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    let to =
        |location: &str| format!("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nlocation: {location}\r\n\r\n");
    let end = "HTTP/1.1 500 No\r\n\r\n".to_owned();
    let (got, seen, _) = ask(
        "/a/b?c",
        &[],
        &[to("d?e"), to("/f"), to("http://127.0.0.1:PORT/g?h"), to("//127.0.0.1:PORT"), end],
    )
    .await;
    assert_eq!(got, Ok(500));
    let paths: Vec<&str> = seen.iter().map(|s| s.split(' ').nth(1).unwrap()).collect();
    assert_eq!(paths, ["/a/b?c", "/a/d?e", "/f", "/g?h", "/"]);
    let (got, ..) = ask("/", &[], &vec![to("/"); MAX_REDIRECTS]).await;
    assert_eq!(got, Err("stopped after 10 redirects".to_owned()));
}

#[tokio::test]
async fn a_certificate_of_anybody_is_good_enough() {
    let key = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], der)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut seen = [0; 4];
        stream.read_exact(&mut seen).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        seen
    });
    let (host, path) = ("127.0.0.1".to_owned(), "/".to_owned());
    let got = get(&Get { host, port, path, tls: true, headers: &[], agent: PROBE_AGENT }).await;
    assert_eq!((got, &server.await.unwrap()), (Ok(204), b"GET "));
}

#[test]
fn nothing_is_smuggled() {
    let get = |path: &str, value: &str| {
        let headers = [("X".to_owned(), value.to_owned())];
        let (host, path) = ("h".to_owned(), path.to_owned());
        Get { host, port: 1, path, tls: false, headers: &headers, agent: PROBE_AGENT }.text()
    };
    assert!(get("/a?b=c", "v").is_ok());
    assert!(get("/a HTTP/1.1\r\nX: y", "v").is_err());
    assert!(get("/", "v\r\nEvil: 1").is_err());
    assert!(get("/", "v\nEvil: 1").is_err());
}
