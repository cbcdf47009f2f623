//! The smallest registry that serves one image: busybox.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use gannet_images::{PackConfig, PackFile, Platform, pack};
use gannet_protocols_model::Digest;

/// Serves `busybox:1` at a port of its own until the program ends.
///
/// # Panics
/// Busybox is not installed, or loopback has no free port.
pub fn serve() -> u16 {
    let busybox = std::fs::read("/usr/bin/busybox").or_else(|_| std::fs::read("/bin/busybox"));
    let busybox = busybox.expect("busybox is installed");
    let mut files = vec![PackFile { path: "/bin/busybox".into(), bytes: busybox, mode: 0o755 }];
    files.push(PackFile {
        path: "/etc/passwd".into(),
        bytes: b"root:x:0:0::/root:/bin/sh\n".to_vec(),
        mode: 0o644,
    });
    let config = PackConfig { entrypoint: vec!["/bin/busybox".into()], ..PackConfig::default() };
    let packed = pack(files, &config, &Platform::of_this_build()).expect("busybox is packed");
    let manifest = packed.manifest.clone();
    let blobs =
        [packed.manifest, packed.config, packed.layer].map(|bytes| (Digest::of(&bytes).to_string(), bytes));
    let blobs: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(blobs.into_iter().collect());
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (blobs, manifest) = (Arc::clone(&blobs), manifest.clone());
            std::thread::spawn(move || answer(stream, &blobs, &manifest));
        }
    });
    port
}

fn answer(mut stream: TcpStream, blobs: &BTreeMap<String, Vec<u8>>, manifest: &[u8]) {
    let Ok(read) = stream.try_clone() else { return };
    let mut reader = BufReader::new(read);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap_or(0) > 2 {
            header.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let body = match (path, last) {
            ("/v2/", _) => Some(&b"{}"[..]),
            (_, "1") => Some(manifest),
            (_, digest) => blobs.get(digest).map(Vec::as_slice),
        };
        let kind = if path.contains("/manifests/") {
            "application/vnd.oci.image.manifest.v1+json"
        } else {
            "application/octet-stream"
        };
        let (status, body) = body.map_or(("404 Not Found", &b"{}"[..]), |body| ("200 OK", body));
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = if first.starts_with("HEAD") { &b""[..] } else { body };
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_err() {
            return;
        }
    }
}
