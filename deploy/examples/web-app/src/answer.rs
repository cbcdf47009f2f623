//! From a request's first line to its answer: pure.

/// What the page tells.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) pod: String,
    pub(crate) version: String,
}

/// An answer of HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    reason: &'static str,
    body: String,
    /// Of an answer to HEAD only the length is told.
    head: bool,
}

/// Answers `METHOD PATH VERSION`.
pub(crate) fn answer(request: &str, page: &Page) -> Answer {
    let mut words = request.split_whitespace();
    let (method, path, version) = (words.next(), words.next(), words.next());
    let head = method == Some("HEAD");
    let text = |status, reason, body: &str| Answer { status, reason, body: body.into(), head };
    let (Some(method), Some(path), Some("HTTP/1.0" | "HTTP/1.1")) = (method, path, version) else {
        return text(400, "Bad Request", "this is not HTTP/1.1\n");
    };
    if !matches!(method, "GET" | "HEAD") {
        return text(405, "Method Not Allowed", "only GET and HEAD\n");
    }
    match path.split('?').next() {
        Some("/") => text(200, "OK", &format!("Hello from {}, version {}\n", page.pod, page.version)),
        Some("/healthz") => text(200, "OK", "ok\n"),
        _ => text(404, "Not Found", "there are / and /healthz\n"),
    }
}

impl Answer {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { status, reason, body, head } = self;
        let mut text = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        if !head {
            text.push_str(body);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let page = Page { pod: "web-1".into(), version: "v2".into() };
        for (request, status, body) in [
            ("GET / HTTP/1.1\r\n", 200, "\r\n\r\nHello from web-1, version v2\n"),
            ("GET /?x=1 HTTP/1.0\r\n", 200, "Hello"),
            ("HEAD / HTTP/1.1\r\n", 200, "Content-Length: 29\r\nConnection: close\r\n\r\n"),
            ("GET /healthz HTTP/1.1\r\n", 200, "ok\n"),
            ("GET /nothing HTTP/1.1\r\n", 404, "/healthz\n"),
            ("POST / HTTP/1.1\r\n", 405, "only GET and HEAD\n"),
            ("GET /\r\n", 400, "not HTTP/1.1\n"),
            ("", 400, "not HTTP/1.1\n"),
            ("\u{16}\u{3}\u{1}", 400, "not HTTP/1.1\n"),
        ] {
            let answer = answer(request, &page);
            let bytes = String::from_utf8(answer.to_bytes()).unwrap();
            assert_eq!(answer.status, status, "{request}");
            assert!(bytes.ends_with(body) || bytes.contains(body), "{request}: {bytes}");
        }
    }
}
